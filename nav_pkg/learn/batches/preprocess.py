"""Conversion of a camera image to a network's input; training and flight use the same code.

It has two steps. `resize` gives uint8 at the network's input size; packs contain these images. `normalise`
gives float32 on the device, just before the network. A checkpoint stores the settings: in flight a network
gets the same input as in training.
"""

from __future__ import annotations

import functools
import math
from dataclasses import asdict, dataclass
from typing import Any, Mapping, Optional, Sequence

import numpy as np
import torch

from nav_pkg.core import DataError, UsageError
from nav_pkg.data.resize import resize

MODES = ("none", "shifted", "scaled")

MEANS = (0.5, 0.46, 0.42)
"""Default channel means for scaled input: red, green, blue, of pixels in [0, 1]."""

STDS = (0.2575, 0.239, 0.218)
"""Default channel standard deviations for scaled input: red, green, blue."""

_MINUS_HALF = torch.tensor(-0.5)


@functools.lru_cache(maxsize=8)
def _repeated(channels: tuple[float, ...], count: int, device: torch.device) -> torch.Tensor:
    """Repeat the values of the three channels, float32 (count,), to match the bytes of the pixels."""
    return torch.tensor(channels, device=device).repeat(count // 3)


@dataclass(frozen=True)
class Preprocessing:
    """Settings for converting an image to a network's input.

    Attributes:
        size: height and width of the network's input, pixels.
        mode: `none`: x in [0, 1]; `shifted`: x - 0.5; `scaled`: (x - mean) / std per channel.
        means: red, green, blue, used by `scaled`.
        stds: red, green, blue, used by `scaled`.
    """

    size: tuple[int, int]
    mode: str = "none"
    means: tuple[float, ...] = MEANS
    stds: tuple[float, ...] = STDS

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"input mode {self.mode!r}: must be one of {', '.join(MODES)}")
        if len(self.means) != 3 or not all(math.isfinite(mean) for mean in self.means):
            raise UsageError(f"--scale_means {self.means}: three finite numbers (red green blue) are needed")
        if len(self.stds) != 3 or not all(math.isfinite(std) and std > 0 for std in self.stds):
            raise UsageError(f"--scale_stds {self.stds}: three numbers above 0 (red green blue) are needed")

    @staticmethod
    def from_flags(
        size: tuple[int, int],
        shifted_input: bool = False,
        scaled_input: bool = False,
        scale_means: Optional[Sequence[float]] = None,
        scale_stds: Optional[Sequence[float]] = None,
    ) -> Preprocessing:
        """The preprocessing that the command line selects.

        Raises:
            UsageError: both modes are given, or means and stds would have no effect.
        """
        if shifted_input and scaled_input:
            raise UsageError("--shifted_input and --scaled_input exclude each other: give one of them")
        if not scaled_input and (scale_means is not None or scale_stds is not None):
            raise UsageError("--scale_means and --scale_stds have no effect without --scaled_input: add it")
        return Preprocessing(
            size=size,
            mode="shifted" if shifted_input else "scaled" if scaled_input else "none",
            means=tuple(MEANS if scale_means is None else scale_means),
            stds=tuple(STDS if scale_stds is None else scale_stds),
        )

    def resize(self, rgb: np.ndarray) -> np.ndarray:
        """Resize an image to the network's input size: uint8 (*size, 3) from uint8 (height, width, 3), RGB.

        See `nav_pkg.data.resize`, which also creates the packs for training.

        Raises:
            DataError: the array has another type or shape.
        """
        return resize(rgb, self.size)

    def normalise(self, pixels: torch.Tensor, out: Optional[torch.Tensor] = None) -> torch.Tensor:
        """Convert resized images to a network's input, on their device.

        The conversion is elementwise: an image gives the same numbers alone and within a batch.

        Args:
            pixels: uint8 (batch, *size, 3), the layout of a pack.
            out: output buffer on that device, float32 or bfloat16 (batch, 3, *size) in torch's channels_last
                format, which has the memory layout of `pixels`; None allocates a float32 buffer. (Reused
                memory saves half of the time, because new pages have to be cleared.)

        Returns:
            (batch, 3, *size), channels_last, of the type of `out`: computed in float32, rounded last.
        """
        planes = pixels.permute(0, 3, 1, 2)
        if out is None:
            out = torch.empty(planes.shape, device=pixels.device, memory_format=torch.channels_last)
        place = out.permute(0, 2, 3, 1).view(-1)
        values = place if out.dtype == torch.float32 else torch.empty(len(place), device=pixels.device)
        values.copy_(pixels.reshape(-1))
        if self.mode == "none":
            values.mul_(1 / 255)
        elif self.mode == "shifted":  # x / 255 - 0.5 in one pass
            torch.add(_MINUS_HALF, values, alpha=1 / 255, out=values)
        else:
            means, stds = (_repeated(each, len(values), values.device) for each in (self.means, self.stds))
            values.mul_(1 / 255).sub_(means).div_(stds)
        if values is not place:
            place.copy_(values)
        return out

    def input(self, rgb: np.ndarray, device: str = "cpu") -> torch.Tensor:
        """Convert one camera image to a network's input: float32 (1, 3, *size) on a device."""
        pixels = torch.from_numpy(np.array(self.resize(rgb)))
        return self.normalise(pixels[None].to(device))

    def state(self) -> dict[str, Any]:
        """Return the preprocessing as plain values, for a checkpoint."""
        values = asdict(self).items()
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values}

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> Preprocessing:
        """Restore the preprocessing from `state()`.

        Raises:
            DataError: the values do not describe a preprocessing.
        """
        try:
            height, width = state["size"]
            return Preprocessing(
                size=(int(height), int(width)),
                mode=str(state["mode"]),
                means=tuple(float(mean) for mean in state["means"]),
                stds=tuple(float(std) for std in state["stds"]),
            )
        except (LookupError, TypeError, ValueError, RuntimeError, OverflowError, UsageError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise DataError(f"the preprocessing is damaged ({reason})") from error
