"""ImageNet weights, read from a local file of torchvision's weights, never downloaded."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path
from typing import Any, Optional, Union

import torch
from torch import nn

from nav_pkg.core import MISSING_WEIGHTS, DataError, UsageError
from nav_pkg.nets.published import MEMBERS, features_file
from nav_pkg.nets.registry import complete_options, is_within, spec

# the published file of densenet121 has module names with dots, which newer torch does not allow
_DENSE_LAYER = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")


def weights_file(name: str, **options: Any) -> str:
    """File name of torchvision's ImageNet weights for a network; "" if it has none.

    Args:
        name: a network, or an alias.
        options: the options that the network is built with.

    Raises:
        UsageError: the network or an option is unknown.
    """
    facts = spec(name)
    batch_norm = complete_options(name, **options).get("batch_norm", False)
    return facts.batch_norm_weights if batch_norm else facts.weights


def load_pretrained(
    net: nn.Module, name: str, file: Optional[Union[str, os.PathLike]] = None, **options: Any
) -> Path:
    """Load ImageNet weights into the feature layers of a network; its head does not change.

    Args:
        net: the network, changed in place.
        name: the network's name in the registry.
        file: torchvision's weights file; None searches torch's download folder
            ($TORCH_HOME/hub/checkpoints) for this file, then for a file with only the convolutions
            (`scripts/pretrained.py`). Nothing is downloaded.
        options: the options that the network was built with.

    Returns:
        The file that was read.

    Raises:
        UsageError: this network has no ImageNet weights.
        DataError: the file is missing, damaged, contains more than weights, or does not fit; the network
            is then unchanged.
    """
    facts, weights = spec(name), weights_file(name, **options)
    if not weights and facts.weights:
        raise UsageError(f"--pretrained: {facts.name} has no ImageNet weights with --batch_norm: drop one")
    if not weights:
        raise UsageError(f"--pretrained: {facts.name} has no ImageNet weights: leave it out")
    path = _find(file, weights)
    skipped = facts.head + facts.weights_unused
    state = {_renamed(key): value for key, value in _read(path, weights).items()}
    state = {key: value for key, value in state.items() if not is_within(key, skipped)}
    wanted = {key: value for key, value in net.state_dict().items() if not is_within(key, facts.head)}
    if path.name == features_file(weights):  # only the convolutions; hidden layers do not change
        wanted = {key: value for key, value in wanted.items() if key.startswith("features.")}
    _check(wanted, state, path, facts.name, weights)
    with torch.no_grad():
        for key, value in state.items():
            wanted[key].copy_(value)  # also converts to the network's type and device
    return path


def _find(file: Optional[Union[str, os.PathLike]], weights: str) -> Path:
    if file is not None:
        path = Path(file).expanduser()
        if not path.is_file():
            raise DataError(f"--pretrained_weights {path}: no such file: give torchvision's {weights}")
        return path
    path = cache_folder() / weights
    features = path.with_name(features_file(weights))
    if not path.is_file() and features.is_file():
        return features
    if not path.is_file():
        packaged = next((name for name in MEMBERS if spec(name).weights == weights), None)
        raise DataError(
            f"--pretrained: {path} {MISSING_WEIGHTS} {weights} there, or give "
            "--pretrained_weights FILE"
            + (f", or run scripts/pretrained.py {packaged} for its convolutions" if packaged else "")
        )
    return path


def cache_folder() -> Path:
    """The folder in which torch keeps downloaded weights."""
    return Path(torch.hub.get_dir(), "checkpoints")


def _read(path: Path, weights: str) -> dict[str, torch.Tensor]:
    """Read the tensors in a file, after checking its checksums if it has some."""
    remedy = f"put torchvision's {weights} there again"
    try:
        # torch.load does not check the archive's checksums. Files from before torch 1.6 are no archives.
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged:
                raise DataError(f"{path}: damaged ({damaged} has a wrong checksum): {remedy}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: cannot read: {(error.strerror or str(error)).lower()}") from error
    except DataError:
        raise
    except Exception as error:  # torch and zipfile raise many types here
        raise DataError(
            f"{path}: refused: damaged, or it holds more than plain weights (code, for instance): {remedy}"
        ) from error
    plain = isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    )
    if not plain:
        raise DataError(f"{path}: not a plain state dict, names and tensors: {remedy}")
    return dict(state)


def _renamed(key: str) -> str:
    old = _DENSE_LAYER.fullmatch(key)
    return f"{old.group(1)}{old.group(2)}" if old else key


def _check(
    wanted: dict[str, torch.Tensor], state: dict[str, torch.Tensor], path: Path, name: str, weights: str
) -> None:
    """Check that weights fit the feature layers of a network; the error names those that do not."""
    # some files are older than num_batches_tracked, and nothing here uses it
    wrong = [
        f"{key} missing" for key in wanted if key not in state and not key.endswith("num_batches_tracked")
    ]
    wrong += [f"{key} unknown" for key in state if key not in wanted]
    for key, value in state.items():
        if key not in wanted:
            continue
        if value.shape != wanted[key].shape:
            wrong.append(f"{key} is {tuple(value.shape)}, not {tuple(wanted[key].shape)}")
        elif value.is_floating_point() != wanted[key].is_floating_point():
            wrong.append(f"{key} is {value.dtype}, not {wanted[key].dtype}")
    if wrong:
        more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise DataError(
            f"{path}: its weights do not fit {name}: {'; '.join(wrong[:4])}{more}: "
            f"give torchvision's {weights}"
        )
