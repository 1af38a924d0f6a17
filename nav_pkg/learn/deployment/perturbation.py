"""Perturbations of camera images before they reach a network, to test its robustness.

A perturbation is written KIND:STRENGTH. A recorder stores the unperturbed images.
"""

from __future__ import annotations

from typing import Callable, Dict

import numpy as np

from nav_pkg.config.types import parse_perturbation
from nav_pkg.control.seeds import generator


class Perturbation:
    """Perturbs the images of a run in order; the same seed gives the same bytes.

    `light:0.5` darkens half of the runs to half of their light and brightens the others twofold (the seed
    selects which). `blur:2` blurs. `noise:0.1` adds normal noise, drawn anew for every frame.

    Args:
        kind: `none`, `light`, `blur` or `noise`.
        strength: above 0; see `nav_pkg.config.types.PERTURBATIONS`.
    """

    def __init__(self, kind: str = "none", strength: float = 0.0):
        self.kind, self.strength = kind, strength
        self.reset(0, 0)

    @staticmethod
    def parse(text: str) -> Perturbation:
        """Parse the perturbation of a flag.

        Args:
            text: `none`, or `KIND:STRENGTH`.

        Raises:
            UsageError: the kind is unknown, or the strength is invalid.
        """
        return Perturbation(*parse_perturbation(text))

    def __str__(self) -> str:
        return "none" if self.kind == "none" else f"{self.kind}:{self.strength:g}"

    def reset(self, seed: int, run: int) -> None:
        """Begin a run.

        Args:
            seed: of the series of runs.
            run: number of the run.
        """
        self._seed, self._run, self._frame = seed, run, 0
        dark = bool(generator(seed, "light", run).random() < 0.5)
        share = 1 - self.strength if self.kind == "light" else 1.0
        self._gain = share if dark else 1 / share

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """Perturb the next image of the run.

        Args:
            rgb: uint8 (height, width, 3); not changed.

        Returns:
            uint8 (height, width, 3).
        """
        frame = self._frame
        self._frame += 1
        change: Dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
            "none": lambda image, _: image,
            "light": self._light,
            "blur": self._blur,
            "noise": self._noise,
        }
        return change[self.kind](rgb, frame)

    def _light(self, rgb: np.ndarray, _frame: int) -> np.ndarray:
        import cv2

        table = np.clip(np.rint(np.arange(256) * self._gain), 0, 255).astype(np.uint8)
        return cv2.LUT(rgb, table)

    def _blur(self, rgb: np.ndarray, _frame: int) -> np.ndarray:
        import cv2

        # pixels beyond the border have the border's colour
        return cv2.GaussianBlur(rgb, (0, 0), self.strength, borderType=cv2.BORDER_REPLICATE)

    def _noise(self, rgb: np.ndarray, frame: int) -> np.ndarray:
        import cv2

        chance = generator(self._seed, "image noise", self._run, frame)
        noise = np.float32(255 * self.strength) * chance.standard_normal(rgb.shape, dtype=np.float32)
        return cv2.add(rgb.astype(np.float32), noise, dtype=cv2.CV_8U)  # rounds; 0 to 255
