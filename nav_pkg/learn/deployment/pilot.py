"""The pilot: flies a checkpoint."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import torch
from torch import nn

from nav_pkg import nets
from nav_pkg.config.paths import PathLike
from nav_pkg.core import Command, UsageError
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint


class Pilot:
    """Computes commands from camera images, with the preprocessing and action space of training.

    A pilot stores the past frames or the state that its network needs. `reset` begins a run, and each image
    is one frame of it.

    A pilot is deterministic: the same images after `reset` give the same commands on the same machine with
    the same number of torch threads. (The last bits of a network's outputs depend on both; the choice of a
    discrete pilot practically never does.)

    Attributes:
        network: the network's name.
        action_space: meaning of the network's outputs.
        preprocessing: turns images into the network's input.
        net: the network, in evaluation mode.
    """

    def __init__(
        self,
        network: str,
        net: nn.Module,
        action_space: ActionSpace,
        preprocessing: Preprocessing,
        device: str = "cpu",
        n_frames: int = 1,
    ):
        """Move the network to the device and set it to evaluation mode permanently.

        Args:
            network: the network's name in the registry.
            net: the network.
            action_space: meaning of its outputs.
            preprocessing: turns images into its input.
            device: torch device.
            n_frames: frames that a network of several frames takes at once.
        """
        self.network = network
        self.action_space = action_space
        self.preprocessing = preprocessing
        self._device = device
        self.net = net.to(device).eval().requires_grad_(False)
        self._kind, self._count = nets.spec(network).kind, n_frames
        self.reset()

    @staticmethod
    def load(
        checkpoint_path: PathLike,
        summary_dir: Optional[PathLike] = None,
        device: str = "cpu",
        speed: Optional[float] = None,
        turn_speed: Optional[float] = None,
        network: Optional[str] = None,
        given: Optional[Mapping[str, Any]] = None,
    ) -> Pilot:
        """Load the pilot of a checkpoint.

        Args:
            checkpoint_path: a log folder with `my-model`, or the file; absolute or relative to
                `summary_dir`.
            summary_dir: the folder of all logs; None for the default one.
            device: `auto`, `cpu` or `cuda`.
            speed: forward speed when straight, m/s; None takes the checkpoint's.
            turn_speed: forward speed in turns, m/s; None takes the checkpoint's.
            network: the network that the checkpoint must hold; None accepts any.
            given: flags of main.py by key. Those that describe the net must agree with the checkpoint
                (see `check_given`); others are ignored.

        Raises:
            DataError: the checkpoint is missing, damaged or of another network.
            UsageError: the device or network does not exist, a speed is negative, or a given flag
                contradicts the checkpoint.
        """
        loaded = checkpoint.load(checkpoint_path, summary_dir, network)
        check_given(loaded, given or {}, str(checkpoint_path))
        speeds = {"speed": speed, "turn_speed": turn_speed}
        speeds = {key: value for key, value in speeds.items() if value is not None}
        return Pilot(
            network=loaded.network,
            net=loaded.build(),
            action_space=dataclasses.replace(loaded.action_space, **speeds),
            preprocessing=loaded.preprocessing,
            device=resolve_device(device),
            n_frames=loaded.net_options.get("n_frames", 1),
        )

    def reset(self, seed: int = 0) -> None:
        """Begin a run and clear the past frames and the state of the network.

        Args:
            seed: of the run; the draws of a stochastic pilot depend only on it.
        """
        self._random = np.random.RandomState(seed)
        self._frames: List[torch.Tensor] = []
        self._state: Optional[Tuple[torch.Tensor, torch.Tensor]] = None

    def outputs(self, rgb: np.ndarray) -> np.ndarray:
        """Compute the network's outputs for the next image of the run: float64 (outputs,)."""
        return self.outputs_of(self.preprocessing.resize(rgb))

    @torch.inference_mode()
    def outputs_of(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the outputs for an image at the network's input size, uint8 (height, width, 3)."""
        image = self.preprocessing.normalise(torch.from_numpy(np.array(pixels))[None].to(self._device))
        if self._kind == "recurrent":
            outputs, self._state = self.net(image[None], self._state)
            outputs = outputs[0]
        elif self._kind == "frames":
            # at a run's start the first frame stands in for the missing ones, as in training
            self._frames = [*(self._frames or [image] * self._count), image][-self._count :]
            outputs = self.net(torch.cat(self._frames)[None])
        else:
            outputs = self.net(image)
        return outputs[0].double().cpu().numpy()

    def command(self, rgb: np.ndarray) -> Command:
        """Compute the command for the next image of the run.

        Args:
            rgb: uint8 (height, width, 3), red, green, blue, of any size.

        Returns:
            Forward speed and yaw rate; z is 0 (the supervisor controls the height). Not finite if the
            network's outputs are not: the supervisor replaces and counts such a command.

        Raises:
            DataError: `rgb` has another type or shape.
        """
        return self._command(self.outputs(rgb))

    def command_of(self, pixels: np.ndarray) -> Command:
        """Compute the command for an image at the network's input size, uint8 (height, width, 3)."""
        return self._command(self.outputs_of(pixels))

    def _command(self, outputs: np.ndarray) -> Command:
        return self.action_space.command(self.action_space.draw(outputs, self._random))


def described_flags(loaded: Checkpoint) -> Dict[str, Any]:
    """The values of the flags that describe a checkpoint's net, by key; None for flags that do not apply."""
    space, images = loaded.action_space, loaded.preprocessing
    return {
        "discrete": space.discrete,
        "stochastic": space.stochastic,
        "n_frames": loaded.net_options.get("n_frames"),
        "action_quantity": space.quantity,
        "action_bound": space.bound,
        "shifted_input": images.mode == "shifted",
        "scaled_input": images.mode == "scaled",
        "scale_means": tuple(images.means) if images.mode == "scaled" else None,
        "scale_stds": tuple(images.stds) if images.mode == "scaled" else None,
    }


def check_given(loaded: Checkpoint, given: Mapping[str, Any], name: str) -> None:
    """Check the command-line flags that describe the net against a checkpoint.

    A net flies as it was trained. A flag that contradicts the checkpoint is an error; a flag that is not
    given takes the checkpoint's value.

    Args:
        loaded: the checkpoint.
        given: values of the flags on the command line, by key; flags that do not describe the net are
            ignored.
        name: the checkpoint as the user wrote it.

    Raises:
        UsageError: names the flag, its value, the checkpoint's value and the remedy.
    """
    images, trained_with = loaded.preprocessing, described_flags(loaded)
    for key, value in trained_with.items():
        if key not in given:
            continue
        own = tuple(given[key]) if isinstance(given[key], list) else given[key]
        if own == value:
            continue
        if value is None or isinstance(value, bool):
            plain = key in ("discrete", "stochastic", "n_frames")
            was = f"without --{key}" if plain else f"with input mode '{images.mode}'"
            cure = f"leave --{key} out"
        else:
            was = f"with --{key} {_shown(value)}"
            cure = f"give {_shown(value)}, leave it out"
        flag = f"--{key}" if given[key] is True else f"--{key} {_shown(given[key])}"
        raise UsageError(f"{flag}: {name} was trained {was}: {cure}, or give another --checkpoint_path")


def _shown(value: Any) -> str:
    return " ".join(f"{v:g}" for v in value) if isinstance(value, (list, tuple)) else f"{value:g}"


def resolve_device(name: str) -> str:
    """The torch device for a `--device`; `auto` selects a GPU if one is available.

    Raises:
        UsageError: the device is unknown or not available.
    """
    if name not in ("auto", "cpu", "cuda", "gpu"):
        raise UsageError(f"--device {name!r}: must be auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name in ("cuda", "gpu") and not available:
        raise UsageError(f"--device {name}: torch finds no GPU here: use --device cpu")
    return "cuda" if name != "cpu" and available else "cpu"
