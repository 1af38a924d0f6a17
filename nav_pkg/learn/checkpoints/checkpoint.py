"""Checkpoints: `my-model`, the complete state to resume training and to fly.

A checkpoint is a plain dict of tensors, numbers, text, lists and dicts. It is written atomically with
torch.save and read with `weights_only=True`: a file that contains code is refused.
"""

from __future__ import annotations

import contextlib
import os
import platform
import zipfile
from dataclasses import dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any, Iterator, Optional

import numpy as np
import torch
from torch import nn

import nav_pkg
from nav_pkg import nets
from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError, UsageError
from nav_pkg.data.files import atomic_write, disk_error, fsync, open_regular, printable, temporary
from nav_pkg.fields import (
    NOTHING,
    OBJECT,
    TEXT,
    Field,
    a_list,
    an_object,
    check_fields,
    either,
    shown,
    table,
    whole,
)
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints.checkpoint_paths import MODEL_FILE, locate, require
from nav_pkg.schemas import LINE

__all__ = ["MODEL_FILE", "Checkpoint", "check_weights", "load", "locate", "versions"]

FORMAT = "nav_pkg checkpoint"
FORMAT_VERSION = 2
MOST_EPISODES = 10**6
"""Limit on the episode number of a checkpoint, because readers of a log list all its episodes."""
_TRAIN = "train one with scripts/main.py"

_TENSOR = Field("a tensor", lambda value: isinstance(value, torch.Tensor))
_CONTENT = {
    "network": LINE.required,
    "outputs": whole(1, 100_000).required,
    "net_options": OBJECT.required,
    "action_space": OBJECT.required,
    "preprocessing": OBJECT.required,
    "model_state_dict": table(_TENSOR).required,
    "optimizer": TEXT,
    "optimizer_state_dict": OBJECT,
    "episode": whole(0, MOST_EPISODES).required,
    **dict.fromkeys(("step", "updates"), whole(0, 2**62).required),
    "progress": OBJECT.required,
    "random_states": table(_TENSOR).required,
    "dataset": an_object(
        {"name": TEXT, "hash": TEXT, "camera": either(a_list(whole(1, 10**6), 2), NOTHING)}
    ).required,
    "versions": table(TEXT).required,
    "network_sha256": TEXT,
}
"""Types of a checkpoint's entries. The code that uses a nested entry checks what is inside."""


def first_line(error: Exception) -> str:
    """The first line of an error's text, or the error's type if the text is empty."""
    return printable((str(error).splitlines() or [""])[0][:200]) or type(error).__name__


def versions() -> dict[str, str]:
    """Versions of the software that affects results: nav_pkg, Python, torch, numpy, image packages."""
    software = {
        "nav_pkg": nav_pkg.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }
    for name in ("torchvision", "pillow", "simplejpeg"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            software[name] = metadata.version(name)
    return software


@dataclass
class Checkpoint:
    """A network and the state of its training.

    Attributes:
        network: the network's name in the registry.
        outputs: the network's number of outputs.
        net_options: options that the network was built with (dropout ...).
        action_space: meaning of the outputs.
        preprocessing: turns images into the network's input.
        model_state_dict: the network's parameters and buffers, on the CPU.
        optimizer: name in torch.optim; None in a scratch checkpoint, which has never been trained.
        optimizer_state_dict: as torch.optim gives it.
        episode: number of the current episode, from 0; equal to the number of completed episodes.
        step: completed training batches of the current episode.
        updates: gradient steps since the start from scratch.
        progress: losses and outputs of the current episode, for a resumed episode to report exactly what an
            uninterrupted one does; the state that the method of learning carries from batch to batch;
            accumulated gradients.
        random_states: torch's random states: `cpu`, and `cuda` if a GPU is available.
        dataset: name, hash and camera (width and height) of the training data.
        versions: as `versions()`.
        network_sha256: SHA-256 of the file of a user's own network; empty for nav_pkg's networks.
    """

    network: str
    outputs: int
    net_options: dict[str, Any]
    action_space: ActionSpace
    preprocessing: Preprocessing
    model_state_dict: dict[str, torch.Tensor]
    optimizer: Optional[str] = None
    optimizer_state_dict: Optional[dict[str, Any]] = None
    episode: int = 0
    step: int = 0
    updates: int = 0
    progress: dict[str, Any] = field(default_factory=dict)
    random_states: dict[str, torch.Tensor] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=versions)
    network_sha256: str = ""

    def __post_init__(self) -> None:
        if ":" in self.network and not self.network_sha256:
            code = nets.user_code(self.network)
            self.network_sha256 = code.sha256 if code else ""

    def save(self, path: PathLike, replace: bool = True) -> bool:
        """Write the checkpoint atomically: to a temporary file beside, flushed to disk, then renamed.

        The source file of a user's own network is copied beside it.

        Args:
            path: the file.
            replace: whether to replace an existing file. If not, an existing file stays: when several jobs
                create the same file at the same time, one wins and all find the same content.

        Returns:
            Whether the file was written.

        Raises:
            DataError: writing failed; an earlier file of that name is unchanged.
        """
        path = Path(path)
        content = {item.name: getattr(self, item.name) for item in fields(self)}
        content["action_space"] = self.action_space.state()
        content["preprocessing"] = self.preprocessing.state()
        code = nets.user_code(self.network) if self.network_sha256 else None
        if code is None:
            del content["network_sha256"]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if code is not None and not (path.parent / code.file).exists():
                atomic_write(path.parent / code.file, code.source, "--summary_dir")
            with temporary(path) as (beside, descriptor):
                with open(descriptor, "wb", closefd=False) as file:
                    try:
                        torch.save({"format": FORMAT, "format_version": FORMAT_VERSION, **content}, file)
                    except RuntimeError as error:  # torch's writer wraps the OSError of a full disk
                        if isinstance(error.__context__, OSError):
                            raise error.__context__ from error
                        raise OSError(str(error).splitlines()[0]) from error
                    file.flush()
                    os.fsync(descriptor)
                if replace:
                    os.replace(beside, path)
                else:
                    try:
                        os.link(beside, path)
                    except FileExistsError:
                        return False
            fsync(path.parent)
        except OSError as error:
            raise disk_error(path, error, "--summary_dir") from error
        return True

    def build(self) -> nn.Module:
        """Build the network with its weights, in training mode, on the CPU.

        Raises:
            UsageError: this nav_pkg does not have the network.
            DataError: the weights do not fit this network; the message names the entries.
        """
        try:
            net = nets.build(self.network, outputs=self.outputs, seed=0, **self.net_options)
        except (TypeError, ValueError, RuntimeError) as error:  # options that no flag can give
            raise DataError(
                f"a checkpoint of {self.network}: its options are damaged ({first_line(error)})"
            ) from error
        check_weights(net, self.model_state_dict, f"a checkpoint of {self.network}")
        net.load_state_dict(self.model_state_dict)
        return net


@contextlib.contextmanager
def restoring(name: str) -> Iterator[None]:
    """Turn errors within a block that restores a checkpoint's state into `DataError`.

    The nested content of the state is not validated before: any of it may be wrong.

    Args:
        name: names the checkpoint in the error.

    Raises:
        DataError: the state does not fit this training.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        if "out of memory" in str(error):
            raise
        raise DataError(
            f"{name}: damaged checkpoint: its state does not fit ({first_line(error)}): give --owr to start "
            "over"
        ) from error


def check_weights(net: nn.Module, state: dict[str, torch.Tensor], origin: str) -> None:
    """Check that weights fit a network.

    Args:
        net: the network.
        state: the state dict to check.
        origin: names the origin of `state` in the error.

    Raises:
        DataError: they do not fit; names the entries that are missing, unknown, of another shape or type, or
            not finite.
    """
    wanted = net.state_dict()
    wrong = [f"{key} missing" for key in wanted if key not in state]
    wrong += [f"{key} unknown" for key in state if key not in wanted]
    wrong += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    # torch would silently cast other types, and drop imaginary parts
    wrong += [
        f"{key} is of another kind ({_kind(state[key])}, not {_kind(value)})"
        for key, value in wanted.items()
        if key in state and _kind(state[key]) != _kind(value)
    ]
    if not wrong:
        wrong = [f"{key} is not finite" for key, value in state.items() if not torch.isfinite(value).all()]
    if wrong:
        more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise DataError(f"{origin}: its weights do not fit the network: {'; '.join(wrong[:4])}{more}")


def _kind(value: torch.Tensor) -> str:
    """Type and layout of a tensor; a tensor of torch's device `meta` has no values."""
    layout = "no values" if value.is_meta else "" if value.layout == torch.strided else str(value.layout)
    return f"{value.dtype} {layout}".replace("torch.", "").rstrip()


def load(path: PathLike, summary_dir: Optional[PathLike] = None, network: Optional[str] = None) -> Checkpoint:
    """Read a checkpoint, with its tensors on the CPU.

    Args:
        path: as for `locate`.
        summary_dir: as for `locate`.
        network: the network that the checkpoint must hold; None accepts any.

    Raises:
        DataError: the file is missing, damaged, of another network, contains code, or was not written
            by nav_pkg.
    """
    file = require(path, summary_dir)
    if file.suffix in (".onnx", ".pt"):
        raise DataError(f"{file}: an exported file: it flies, but for anything else its checkpoint is needed")
    content = _read(file)
    if content.get("format") != FORMAT:
        raise DataError(f"{file}: not a checkpoint that nav_pkg wrote: train one with scripts/main.py")
    version = content.get("format_version")
    if not isinstance(version, int) or version != FORMAT_VERSION:
        raise DataError(
            f"{file}: checkpoint format {shown(version)}, this nav_pkg reads "
            f"{FORMAT_VERSION}: use the nav_pkg that wrote it ({shown(content.get('versions'))})"
        )
    names = [item.name for item in fields(Checkpoint)]
    content.setdefault("network_sha256", "")
    missing = [name for name in names if name not in content]
    if missing:
        raise DataError(f"{file}: damaged checkpoint: {', '.join(missing)} missing: train it again")
    check_fields(content, _CONTENT, file)
    network = None if network is None else nets.canonical(network)
    _check_code(file, content["network"], content["network_sha256"])
    try:
        values = {name: content[name] for name in names}
        values["action_space"] = ActionSpace.from_state(content["action_space"])
        values["preprocessing"] = Preprocessing.from_state(content["preprocessing"])
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    checkpoint = Checkpoint(**values)
    if checkpoint.outputs != checkpoint.action_space.outputs:
        raise DataError(
            f"{file}: damaged checkpoint: {checkpoint.outputs} outputs for an action space of "
            f"{checkpoint.action_space.outputs}: train it again"
        )
    if network is not None and checkpoint.network != network:
        raise DataError(
            f"{file}: holds {checkpoint.network}, not {network}: give --network {checkpoint.network} "
            "or another --checkpoint_path"
        )
    size = nets.spec(checkpoint.network).input_size
    if checkpoint.preprocessing.size != size:
        raise DataError(
            f"{file}: damaged checkpoint: images of {checkpoint.preprocessing.size} for "
            f"{checkpoint.network}, which takes {size}: train it again"
        )
    return checkpoint


def _check_code(file: Path, network: str, sha256: str) -> None:
    """Refuse a user's own network if its file was not given or differs from the file used in training.

    The file is never searched for: a checkpoint from someone else could name any file.
    """
    if ":" not in network and not sha256:
        return
    name = network.rpartition(":")[2]
    copy = file.parent / Path(network.rpartition(":")[0]).name
    try:
        code = nets.user_code(network)
    except UsageError:
        raise UsageError(
            f"{file}: its network {network!r} is in a file of its own (SHA-256 {sha256[:16]}...), "
            "which is run only "
            f"when you give it: --network {copy if copy.is_file() else 'FILE'}:{name}"
        ) from None
    if code is None or code.sha256 != sha256:
        raise DataError(
            f"{file}: was trained with another content of {network.rpartition(':')[0]} (SHA-256 "
            f"{sha256[:16]}...): "
            f"give that one (training leaves a copy beside my-model): --network {copy}:{name}"
        )


def _read(file: Path) -> dict[str, Any]:
    """Read the dict in a file that torch.save wrote, after checking the archive's checksums."""
    remedy = "copy it again, or train it again"
    try:
        # torch.load does not check the archive's checksums: a flipped bit would go unnoticed
        with open_regular(file) as stream, zipfile.ZipFile(stream) as archive:
            # accept uncompressed archives only: loading then takes no more memory than the file has bytes
            packed = any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist())
            damaged = "" if packed else archive.testzip()
            members = [name.rsplit("/", 1)[-1].lower() for name in archive.namelist()]
            stream.seek(0)
            archive_first = stream.read(4) == b"PK\x03\x04"
        # torch before 2.6 passes a TorchScript archive to torch.jit, which runs its code whatever
        # weights_only is (CVE-2025-32434), and reads a file with another start as an older format
        if "constants.pkl" in members or not archive_first:
            raise DataError(f"{file}: refused: no checkpoint but a program, or of another format: {_TRAIN}")
        if packed or damaged:
            damage = "it is compressed" if packed else f"{damaged} has a wrong checksum"
            raise DataError(f"{file}: damaged checkpoint ({damage}): {remedy}")
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{file}: cannot read: {(error.strerror or str(error)).lower()}") from error
    except Exception as error:  # zipfile raises many types, depending on the damaged part
        raise DataError(
            f"{file}: damaged checkpoint or none at all ({first_line(error)}): {remedy}"
        ) from error
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{file}: cannot read: {(error.strerror or str(error)).lower()}") from error
    except Exception as error:  # torch raises many types here; the archive itself is intact
        raise DataError(
            f"{file}: refused: it holds more than weights and plain values (code, for instance) and was "
            f"not written by nav_pkg: {_TRAIN}"
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{file}: not a checkpoint that nav_pkg wrote: train one with scripts/main.py")
    return content
