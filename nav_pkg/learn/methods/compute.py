"""Settings of the computation with a network: device, precision, memory format, compilation."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Callable, ContextManager, Optional

import torch
from torch import nn

from nav_pkg.core import UsageError
from nav_pkg.machine import vector_instructions


@dataclass(frozen=True)
class ComputeSettings:
    """Settings of the computation with a network.

    Attributes:
        device: torch device.
        amp: compute matrix products and convolutions in bfloat16 (torch.autocast); parameters, losses
            and gradients' sums stay float32.
        compile: use torch.compile.
        channels_last: store images and kernels with the channels innermost.
    """

    device: str = "cpu"
    amp: bool = False
    compile: bool = False
    channels_last: bool = True

    def __post_init__(self) -> None:
        if self.amp and self.device == "cuda" and not torch.cuda.is_bf16_supported():
            raise UsageError("--amp: this GPU does not compute in bfloat16: leave --amp out")

    @property
    def warning(self) -> Optional[str]:
        """A warning if a setting is slow on this machine; None if not.

        bfloat16 pays off with AMX. With AVX2 alone, a training step of alex_net or res18_net takes ten times
        as long as in float32. With AVX-512 (and avx512_bf16) but no AMX, it takes 1.5 to 1.7 times as long.
        Measured with torch 2.13.
        """
        instructions = vector_instructions()
        if self.amp and self.device == "cpu" and instructions in ("AVX2", "AVX-512"):
            return (
                f"--amp: this processor ({instructions}) has no matrix instructions for bfloat16: training "
                "takes longer than without --amp"
            )
        return None

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format of images and kernels."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def prepare(self, net: nn.Module) -> nn.Module:
        """Move a network to the device and its kernels into the memory format."""
        return net.to(self.device, memory_format=self.memory_format)

    def maybe_compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, compiled if `compile` is set.

        Its first call then compiles, which takes a minute. That call raises UsageError if this machine cannot
        compile.
        """
        if not self.compile:
            return function
        if torch.are_deterministic_algorithms_enabled():  # also tells the compiler
            warn = torch.is_deterministic_algorithms_warn_only_enabled()
            torch.use_deterministic_algorithms(True, warn_only=warn)
        fast = torch.compile(function, dynamic=False)

        def call(*arguments: Any) -> Any:
            try:
                return fast(*arguments)
            except torch._dynamo.exc.TorchDynamoException as error:
                reason = str(error).strip().splitlines()[0]
                raise UsageError(f"--compile: torch cannot compile here ({reason}): leave it out") from error

        return call

    def autocast(self) -> ContextManager[Any]:
        """Return the context for a forward pass."""
        if not self.amp:
            return contextlib.nullcontext()
        return torch.autocast(self.device, torch.bfloat16)
