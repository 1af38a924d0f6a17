"""Set up torch for repeatable results at full speed.

With the same seed, data, versions and number of threads, training on the same kind of machine gives
the same bytes. Another processor, another number of threads or another torch may change the
last bits of sums, and training amplifies them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

import torch


def cores() -> int:
    """Number of processor cores that this process may use; at most OMP_NUM_THREADS, which a cluster sets."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # some systems lack it
        available = os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(available, int(asked)) if asked.isdigit() and int(asked) else available


def prepare(seed: int, threads: int) -> None:
    """Set up torch for a repeatable training run; call it before the first tensor computation.

    Args:
        seed: of torch's random states (CPU and GPU).
        threads: threads of one operation on the CPU.
    """
    # cuBLAS reads this when it starts; without it, its sums depend on timing
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    _keep_memory()
    # Denormal numbers slow x86 down up to a hundredfold, and weights that decay reach them. Worker threads
    # inherit the setting from this thread; it must be set before they start.
    torch.set_flush_denormal(True)
    # Some operations have no deterministic implementation on some GPUs; torch then warns once.
    # This call, unlike use_deterministic_algorithms, does not load the compiler, which takes a second.
    torch.set_deterministic_debug_mode("warn" if torch.cuda.is_available() else "error")
    # the default fills every new tensor with nan as a safeguard
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.manual_seed(seed)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3), from /usr/include/malloc.h."""


def _keep_memory() -> None:
    """Make this process keep the memory of freed tensors, and allocate it in large pages.

    Each step allocates and frees activations and gradients. By default glibc returns the larger ones to the
    system, which clears every page of the next allocation: on two cores a third of the time of
    tiny_LSTM_net's step.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read at torch's first allocation
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def random_states() -> dict[str, torch.Tensor]:
    """Return the random states of torch for a checkpoint."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: dict[str, torch.Tensor]) -> None:
    """Restore torch's random states."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
