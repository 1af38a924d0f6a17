"""The pilot: a checkpoint that flies."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import torch
from torch import nn

from nav_pkg import nets
from nav_pkg.config.paths import PathLike
from nav_pkg.core import Command, UsageError
from nav_pkg.learn import checkpoint
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.checkpoint import Checkpoint
from nav_pkg.learn.preprocess import Preprocessing


class Pilot:
    """Answers camera images with commands, with the preprocessing and action space of training.

    A network that takes several frames, or keeps a state, has its memory here: `reset` begins a run,
    and each image is one frame of it.

    Deterministic: a sequence of images after `reset` gives the same commands whenever it is flown
    on the same machine with the same number of torch threads. (The last bits of a network's outputs
    depend on both; a discrete pilot's choice practically never does.)

    Attributes:
        network: the network's name.
        action_space: what its outputs mean.
        preprocessing: how images become its input.
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
        """Take a network; it is moved to the device and set to evaluation mode for good.

        Args:
            network: its name in the registry.
            net: the network.
            action_space: what its outputs mean.
            preprocessing: how images become its input.
            device: torch device.
            n_frames: frames that a network of that kind takes at once.
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
        """The pilot of a checkpoint.

        Args:
            checkpoint_path: a log folder with `my-model`, or the file; absolute or relative to
                `summary_dir`.
            summary_dir: the folder of all logs; None for the default one.
            device: `auto`, `cpu` or `cuda`.
            speed: forward speed when straight, m/s; None takes the checkpoint's.
            turn_speed: forward speed in turns, m/s; None takes the checkpoint's.
            network: the network that the checkpoint must hold; None takes any.
            given: flags of main.py by key that describe the net and must be true of the checkpoint
                (see `check_given`); others are passed over.

        Raises:
            DataError: the checkpoint is missing, damaged or of another network.
            UsageError: there is no such device or network, a speed is negative, or a given flag
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
        """Begin a run: whatever a network keeps from frame to frame is forgotten.

        Args:
            seed: of the run; what a stochastic pilot draws comes from it alone.
        """
        self._random = np.random.RandomState(seed)
        self._frames: List[torch.Tensor] = []
        self._state: Optional[Tuple[torch.Tensor, torch.Tensor]] = None

    def outputs(self, rgb: np.ndarray) -> np.ndarray:
        """The network's outputs for the next image of the run: float64 (outputs,)."""
        return self.outputs_of(self.preprocessing.resize(rgb))

    @torch.inference_mode()
    def outputs_of(self, pixels: np.ndarray) -> np.ndarray:
        """The same for an image at the network's input size, uint8 (height, width, 3)."""
        image = self.preprocessing.normalise(torch.from_numpy(np.array(pixels))[None].to(self._device))
        if self._kind == "recurrent":
            outputs, self._state = self.net(image[None], self._state)
            outputs = outputs[0]
        elif self._kind == "frames":
            # at a run's start its first frame stands for those before it, as in training
            self._frames = [*(self._frames or [image] * self._count), image][-self._count :]
            outputs = self.net(torch.cat(self._frames)[None])
        else:
            outputs = self.net(image)
        return outputs[0].double().cpu().numpy()

    def command(self, rgb: np.ndarray) -> Command:
        """The command that answers the next image of the run.

        Args:
            rgb: uint8 (height, width, 3), red, green, blue, of any size.

        Returns:
            Forward speed and yaw rate; z is 0 (height is the supervisor's). Not finite where the
            network's outputs are not: the supervisor replaces and counts such a command.

        Raises:
            DataError: `rgb` is no such image.
        """
        return self._command(self.outputs(rgb))

    def command_of(self, pixels: np.ndarray) -> Command:
        """The same for an image at the network's input size, uint8 (height, width, 3)."""
        return self._command(self.outputs_of(pixels))

    def _command(self, outputs: np.ndarray) -> Command:
        return self.action_space.command(self.action_space.draw(outputs, self._random))


def described_flags(loaded: Checkpoint) -> Dict[str, Any]:
    """The values of the flags that describe a checkpoint's net, by key; None where it has no such thing."""
    space, images = loaded.action_space, loaded.preprocessing
    return {
        "discrete": space.discrete,
        "stochastic": space.stochastic,
        "n_frames": loaded.net_options.get("n_frames"),
        "action_quantity": space.quantity,
        "action_bound": space.bound,
        "shifted_input": images.mode == "shifted",
        "scaled_input": images.mode == "scaled",
        "scale_means": list(images.means) if images.mode == "scaled" else None,
        "scale_stds": list(images.stds) if images.mode == "scaled" else None,
    }


def check_given(loaded: Checkpoint, given: Mapping[str, Any], name: str) -> None:
    """Check the flags of a command line that describe the net against what a checkpoint holds.

    A net flies as it was trained. A flag that says otherwise is refused rather than passed over; what
    is not given is the checkpoint's.

    Args:
        loaded: the checkpoint.
        given: values of the flags that stand on the command line, by key; others than those that
            describe the net are passed over.
        name: of the checkpoint, as the user wrote it.

    Raises:
        UsageError: names the flag, its value, the checkpoint's, and what to do.
    """
    images, held = loaded.preprocessing, described_flags(loaded)
    for key, value in held.items():
        if key not in given or given[key] == value:
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
    """The torch device of a `--device`: `auto` takes a GPU where there is one.

    Raises:
        UsageError: the device is unknown or not there.
    """
    if name not in ("auto", "cpu", "cuda", "gpu"):
        raise UsageError(f"--device {name!r}: must be auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name in ("cuda", "gpu") and not available:
        raise UsageError(f"--device {name}: torch finds no GPU here: use --device cpu")
    return "cuda" if name != "cpu" and available else "cpu"
