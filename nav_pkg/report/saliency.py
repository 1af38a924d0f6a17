"""Saliency maps of a network: gradient-weighted class activation maps (Grad-CAM).

R. R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization" (ICCV 2017), equations 1 and 2, at the network's last convolution.
"""

from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np
import torch
from torch import nn

from nav_pkg import nets
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint


class Saliency:
    """Computes saliency maps of a checkpoint's network.

    Args:
        loaded: the checkpoint.

    Attributes:
        layer: name of the used convolution; empty for a network without one.
    """

    def __init__(self, loaded: Checkpoint):
        self._space, self._preprocessing = loaded.action_space, loaded.preprocessing
        self._kind = nets.spec(loaded.network).kind
        self._count = loaded.net_options.get("n_frames", 1)
        self._net = loaded.build().eval().requires_grad_(False)
        convolutions = [
            (name, module) for name, module in self._net.named_modules() if isinstance(module, nn.Conv2d)
        ]
        self.layer, self._module = convolutions[-1] if convolutions else ("", None)

    def map(self, rgb: np.ndarray) -> Tuple[np.ndarray, float]:
        """Compute which parts of an image contribute to the network's answer.

        A network with several input frames gets the image as every frame; a recurrent one starts without a
        state.

        Args:
            rgb: uint8 (height, width, 3).

        Returns:
            float64 (height, width) in [0, 1] with a maximum of 1 (all 0 if no part contributes), and the
            answer in rad/s.

        Raises:
            ValueError: the network has no convolution.
        """
        if self._module is None:
            raise ValueError("a network without convolutions has no such map")
        image = self._preprocessing.input(rgb, "cpu").clone().requires_grad_(True)
        kept: List[torch.Tensor] = []

        def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
            kept.append(output)
            return output.clone()  # later layers may change it in place

        hook = self._module.register_forward_hook(keep)
        try:
            with torch.enable_grad():
                outputs = self._outputs(image)
                gradients = torch.autograd.grad(self._target_output(outputs), kept[-1])[0]
        finally:
            hook.remove()
        activations = kept[-1].detach()
        weights = gradients.mean(dim=(2, 3), keepdim=True)
        heat = torch.relu((weights * activations).sum(dim=1, keepdim=True))[-1:]
        heat = nn.functional.interpolate(heat, size=rgb.shape[:2], mode="bilinear", align_corners=False)
        values = heat[0, 0].double().numpy()
        most = float(values.max())
        yaw = float(self._space.yaw(outputs.detach().double().numpy()[None])[0])
        return (values / most if most > 0 else values), yaw

    def _outputs(self, image: torch.Tensor) -> torch.Tensor:
        if self._kind == "recurrent":
            return self._net(image[None], None)[0][0, -1]
        if self._kind == "frames":
            return self._net(torch.cat([image] * self._count)[None])[0]
        return self._net(image)[0]

    def _target_output(self, outputs: torch.Tensor) -> torch.Tensor:
        """The output to differentiate: that of the chosen class, or the magnitude of a regressed turn."""
        if self._space.discrete:
            return outputs[outputs.argmax()]
        return outputs[0].abs()


def overlay(rgb: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Blend an image with a saliency map: salient parts are bright, the rest is dimmed.

    Args:
        rgb: uint8 (height, width, 3).
        heat: float (height, width) in [0, 1].

    Returns:
        uint8 (height, width, 3).
    """
    from matplotlib import colormaps

    colours = np.asarray(colormaps["inferno"](heat))[:, :, :3] * 255
    grey: Any = rgb.mean(axis=2, keepdims=True)
    share = (0.15 + 0.55 * heat)[:, :, None]
    return np.rint((1 - share) * (0.35 * rgb + 0.65 * grey) + share * colours).clip(0, 255).astype(np.uint8)
