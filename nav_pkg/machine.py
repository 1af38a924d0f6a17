"""Properties of this machine: processor, vector instructions, free memory."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Optional

_INSTRUCTIONS = (("amx_bf16", "AMX"), ("avx512bw", "AVX-512"), ("avx2", "AVX2"))
"""Flags of /proc/cpuinfo; the fastest for matrix products first."""


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def vector_instructions() -> str:
    """The x86 processor's fastest instructions for matrix products: AMX, AVX-512 or AVX2; else empty."""
    words = set(_cpuinfo().split())
    return next((name for flag, name in _INSTRUCTIONS if flag in words), "")


def processor_name() -> str:
    """The processor's model, with its vector instructions."""
    lines = (
        line.split(":", 1)[1].strip() for line in _cpuinfo().splitlines() if line.startswith("model name")
    )
    name = next(lines, platform.processor() or platform.machine())
    return " with ".join(filter(None, (name, vector_instructions())))


def available_memory() -> Optional[int]:
    """Available memory of this machine in bytes; None if /proc does not state it."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
