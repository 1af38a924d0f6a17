"""The settings of bag_to_dataset.py, and of dataset.py: one configuration for each action."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

from nav_pkg.config import types
from nav_pkg.config.session import STORAGES, PlaceConfig
from nav_pkg.config.setting import setting, shared

_NAME = "below --data_root, or a path that begins with /, . or ~"
_OWR = "replace an existing dataset"


@dataclass(frozen=True)
class RootConfig:
    """Dataset."""

    data_root: Path = shared(PlaceConfig, "data_root")


@dataclass(frozen=True)
class DatasetConfig(RootConfig):
    """Dataset."""

    dataset: str = setting("", f"name {_NAME}", str, positional=True)


@dataclass(frozen=True)
class InfoConfig(RootConfig):
    """Information."""

    dataset: Optional[str] = setting(
        None, f"name {_NAME} (default: list all datasets)", str, positional=True, nargs="?"
    )
    images: int = setting(500, "number of images from which the colours are computed", int)
    random_seed: int = setting(123, "seed of the choice of these images", int)
    json: bool = setting(False, "print JSON")


@dataclass(frozen=True)
class VerifyConfig(DatasetConfig):
    """Verification."""

    json: bool = setting(False, "print JSON")


@dataclass(frozen=True)
class ViewConfig(DatasetConfig):
    """Pictures."""

    run: str = setting("", "name of the run (default: the first run)", str)
    output: Optional[Path] = setting(
        None,
        "file to write: .jpg or .png: contact sheet, .gif or .mp4: film (default: DATASET_RUN.jpg)",
        Path,
    )
    frames: int = setting(24, "number of frames in a contact sheet", int)
    every: int = setting(1, "show every n-th frame in a film", int)
    depth: bool = setting(False, "show depth images instead of colour images")


@dataclass(frozen=True)
class SeveralConfig(RootConfig):
    """Dataset."""

    dataset: Tuple[str, ...] = setting(
        (), "names below --data_root, or paths that begin with /, . or ~", str, positional=True, nargs="+"
    )


SUBSET_SIZES = (100_000, 50_000, 20_000, 10_000, 5_000, 1_000, 500)
"""Usual sizes of subsets, in training frames."""


@dataclass(frozen=True)
class SubsetConfig(SeveralConfig):
    """Subsets."""

    frames: Optional[Tuple[int, ...]] = setting(
        None,
        "training frames, one subset each; larger numbers are left out (default: "
        + " ".join(map(str, SUBSET_SIZES))
        + ")",
        int,
        nargs="+",
    )
    destination: Optional[str] = setting(
        None,
        "name of a single subset below --data_root (default: NAME_10K, NAME_500, ...)",
        types.name,
    )
    random_seed: int = setting(123, "seed of the order of the training runs", int)
    owr: bool = setting(False, "replace existing subsets")


@dataclass(frozen=True)
class MergeConfig(DatasetConfig):
    """Merging."""

    add: Tuple[str, ...] = setting(
        (), "datasets whose runs are added to the training set", str, nargs="+", required=True
    )
    destination: str = setting("", "name of the new dataset below --data_root", types.name, required=True)
    owr: bool = setting(False, "replace an existing dataset")


@dataclass(frozen=True)
class GatherConfig(SeveralConfig):
    """Gathering."""

    destination: str = setting("", "name of the new dataset below --data_root", types.name, required=True)
    owr: bool = setting(False, "replace an existing dataset")


@dataclass(frozen=True)
class ConvertConfig(DatasetConfig):
    """Conversion."""

    storage: str = setting(
        "", "how the images are kept: in one tar a camera, or in a file each", str, choices=STORAGES,
        required=True,
    )  # fmt: skip


@dataclass(frozen=True)
class StatsConfig(DatasetConfig):
    """Statistics."""

    images: int = setting(2000, "number of images from which the colours are computed", int)
    json: bool = setting(False, "print JSON")


@dataclass(frozen=True)
class PackConfig(DatasetConfig):
    """Packs."""

    network: str = setting("tiny_net", "network whose input size is used", types.network)
    recovery_cameras: bool = setting(
        False,
        "also pack images of the training runs' recovery cameras, for main.py --recovery_compensation",
    )
    verify: bool = setting(
        False, "compare existing packs with all images; exit code 3 on damage", exclusive="instead of packing"
    )
    remove: bool = setting(False, "remove the packs", exclusive="instead of packing")


@dataclass(frozen=True)
class ReferringConfig(DatasetConfig):
    """Dataset."""

    summary_dir: Path = shared(
        PlaceConfig, "summary_dir", help="folder of all logs, where DAGs that use the dataset are searched"
    )


@dataclass(frozen=True)
class RenameConfig(ReferringConfig):
    """New name."""

    name: str = setting("", "new name below --data_root", types.name, positional=True)


@dataclass(frozen=True)
class RemoveConfig(ReferringConfig):
    """Removal."""

    yes: bool = setting(False, "remove without asking for the name")


BAG_TOPICS = {
    "episode": "/episode",
    "expert": "/expert/cmd_vel",
    "learner": "/learner/cmd_vel",
    "odometry": "/ground_truth/state",
    "rgb": "/camera/rgb/image_raw",
    "depth": "/camera/depth/image_raw",
    "scan": "/scan",
    "rgb_left": "/camera_left/rgb/image_raw",
    "rgb_right": "/camera_right/rgb/image_raw",
}
"""The kinds of messages of a frame, and their usual topics in a bag."""


def _topic(text: str) -> str:
    kind, _, name = text.partition("=")
    if kind not in BAG_TOPICS or not name.startswith("/"):
        known = ", ".join(BAG_TOPICS)
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND=/topic with a KIND of {known}")
    return text


@dataclass(frozen=True)
class BagConfig(RootConfig):
    """Conversion."""

    bags: Tuple[str, ...] = setting(
        (), "ROS 1 bags (.bag, .bag.active), in order", str, positional=True, nargs="+", metavar="BAG"
    )
    dataset: str = setting("", "name of the new dataset", types.name, required=True)
    owr: bool = setting(False, _OWR)
    storage: str = shared(PlaceConfig, "storage")
    topic: Tuple[str, ...] = setting(
        (),
        "read a kind of message from a topic with another name; may be repeated",
        _topic,
        repeated=True,
        metavar="KIND=/topic",
    )
