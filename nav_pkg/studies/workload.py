"""Estimates of the time, memory and disk of trainings and flights, from measured rates.

All rates were measured on two processor cores without a GPU. Other hosts need more or less.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Dict, Mapping, NamedTuple, Optional


class Rate(NamedTuple):
    """Training rates and sizes of a network.

    Attributes:
        frames: frames per second in training (docs/performance.md, `train_over_compute_...`; for networks
            that are not listed there, the rate of a similar network).
        parameters: number of parameters, millions.
        memory: memory of activations and their gradients per frame of a batch, MB (docs/scaling.md).
        side: side of the square input, pixels.
        recurrent: whether the network learns from sequences.
    """

    frames: float
    parameters: float
    memory: float
    side: int
    recurrent: bool = False


RATES: Dict[str, Rate] = {
    "alex_LSTM_net": Rate(82.1, 4.9, 4.9, 224, True),
    "alex_net": Rate(79.6, 57.0, 5.0, 224),
    "dense_net": Rate(9.7, 7.0, 158.0, 224),
    "inception_net": Rate(7.2, 24.4, 110.0, 299),
    "mobile_net": Rate(25.6, 2.2, 91.0, 224),
    "res18_net": Rate(25.6, 11.2, 39.0, 224),
    "squeeze_net": Rate(41.2, 0.7, 41.0, 224),
    "tiny_LSTM_net": Rate(4684.3, 2.1, 0.6, 128, True),
    "tiny_net": Rate(1904.9, 8.2, 0.9, 128),
    "tiny_nfc_net": Rate(390.0, 4.0, 3.7, 128),
    "tinyv3_3d_net": Rate(1000.0, 0.5, 2.2, 128),
    "tinyv3_net": Rate(1904.9, 0.5, 0.4, 128),
    "vgg16_net": Rate(3.5, 134.3, 89.0, 224),
}
"""Measured rates on two cores; `rate_of` estimates the rates of other networks."""
MULTIPLY_ADDS = 8e9
"""Multiply-adds per second in training: the lowest measured rate (mobile_net), for unmeasured networks."""
MOST_FRAMES = 1900.0
"""Most frames per second in training, one image per frame: reading and normalising limit small networks."""

RECORDED = 126.9
"""Frames per second of a recorder that flies the expert (docs/performance.md, `real_time_ratio`)."""
FLOWN = 60.0
"""Frames per second when a network flies and is recorded (`evaluation_jobs_2_over_1`: 8 x 600 in 80 s)."""
ONLINE_RATE = 31.1
"""Frames per second when a network learns in flight, one gradient step a frame (`online_real_time_ratio`)."""
SCORED = 3.0
"""Speed of scoring a frame relative to training on it; scoring has no backward pass."""
IMAGE_PIXELS, DEPTH_PIXELS = 640 * 360, 160 * 90
"""Pixels of the cameras with which all these rates were measured."""
IMAGE_MB, DEPTH_MB, ROW_MB = 0.053, 0.009, 0.003
"""Disk of a recorded frame, MB: image; depth image; scan and table row (docs/scaling.md)."""
IMAGE_SECONDS = 0.0042
"""Seconds per frame to render and record its image, proportional to the pixels (docs/performance.md:
`real_time_ratio_small`, and the two rates next to `loop_over_bare`)."""
LEAST_SECONDS = 0.0035
"""Seconds per frame without any image (docs/performance.md, `loop_over_bare`: only the plugin)."""
EVALUATED_FRAMES = 86
"""Frames per flight whose images an evaluation keeps: the last 8 s and six earlier frames."""
FILES_A_RUN, FILES_A_FRAME = 8, 2
"""Files per run: two tars with an index each, rows, scan, facts, checksums. Files per frame instead of tars
and indexes (`--storage files`): image and depth image."""
START = 15.0
"""Seconds from the start of a job to its first frame: imports and start of the simulator."""
LEARNER_MB, SIMULATOR_MB = 900.0, 1500.0
"""Memory of a learner without its network, and of a simulator with all its nodes, MB."""
SAVED_EVERY = 30.0
"""Seconds between two checkpoints in training (nav_pkg/learn/training/offline.py)."""
STEPS_AN_EPISODE = 100


@dataclass(frozen=True)
class Work:
    """The estimated cost of a training, a series of flights or another job.

    Attributes:
        seconds: expected duration, s.
        memory: MB.
        disk: disk space that it writes, MB.
        interval: most seconds of work lost when the job is stopped: the time between two checkpoints.
        files: number of files that it leaves.
    """

    seconds: float
    memory: float
    disk: float
    interval: float
    files: int = 10


@dataclass(frozen=True)
class CameraData:
    """The camera data of a frame in flight.

    Attributes:
        pixels: pixels of all colour images together.
        depth_pixels: pixels of the depth image.
        bag: whether a rosbag also stores the images, uncompressed.
        files: whether a dataset keeps each image in a file of its own.
    """

    pixels: int = IMAGE_PIXELS
    depth_pixels: int = DEPTH_PIXELS
    bag: bool = False
    files: bool = False

    def files_of(self, runs: int, frames: int) -> int:
        """Number of files of recorded runs with a number of frames together."""
        return runs * (FILES_A_RUN - 4) + FILES_A_FRAME * frames if self.files else runs * FILES_A_RUN

    @property
    def megabytes(self) -> float:
        """MB per frame in a dataset."""
        image, depth = self.pixels / IMAGE_PIXELS, self.depth_pixels / DEPTH_PIXELS
        return image * IMAGE_MB + depth * DEPTH_MB + ROW_MB

    @property
    def bag_megabytes(self) -> float:
        """MB per frame in a rosbag: three bytes per pixel, four per depth pixel, and the scan."""
        return (3 * self.pixels + 4 * self.depth_pixels) / 1e6 + 0.01 if self.bag else 0.0

    @property
    def more_seconds(self) -> float:
        """Seconds per frame in addition to a frame of the usual cameras; negative if faster."""
        return IMAGE_SECONDS * (self.pixels / IMAGE_PIXELS - 1)


USUAL = CameraData()


@functools.lru_cache(maxsize=None)
def rate_of(network: str) -> Rate:
    """The measured rates of a network, or an estimate from its parameters, multiply-adds and layer outputs.

    Args:
        network: its name in the registry.

    Raises:
        UsageError: no network has that name.
    """
    if network in RATES:
        return RATES[network]
    import torch  # takes seconds
    from torch import nn

    from nav_pkg import nets

    spec, net = nets.spec(network), nets.build(network, seed=0).eval()
    work, values = 0.0, 0.0

    def count(module: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal work, values
        output = output[0] if isinstance(output, tuple) else output
        if not isinstance(output, torch.Tensor) or any(True for _ in module.children()):
            return
        values += output.numel()
        weights = sum(parameter.numel() for parameter in module.parameters())
        # a convolution kernel is applied at each position of its output map, a matrix once
        work += weights * (output.shape[-1] * output.shape[-2] if output.dim() == 4 else 1)

    for module in net.modules():
        module.register_forward_hook(count)
    frames = (int(dict(spec.options)["n_frames"]),) if spec.kind == "frames" else ()
    with torch.inference_mode():
        image = torch.zeros(1, *(frames or ((1,) if spec.kind == "recurrent" else ())), 3, *spec.input_size)
        net(image)
    return Rate(
        frames=min(MOST_FRAMES / math.prod(frames), MULTIPLY_ADDS / max(1.0, work)),
        parameters=nets.parameter_count(net) / 1e6,
        memory=2 * 4 * values / 1e6,  # float32 values and their gradients
        side=max(spec.input_size),
        recurrent=spec.kind == "recurrent",
    )


def training(
    network: str, flags: Mapping[str, Any], train_frames: int, val_frames: int, test_frames: int
) -> Work:
    """Estimate the cost of a training.

    Args:
        network: its name in the registry.
        flags: values of main.py's flags.
        train_frames: number of training frames of the dataset.
        val_frames: number of validation frames.
        test_frames: number of test frames.
    """
    rate = rate_of(network)
    window = max(1, int(flags.get("time_length") or 10)) if rate.recurrent else 1
    if int(flags.get("time_length") or 10) < 0 and rate.recurrent:
        window = 2450  # whole runs
    batch = int(flags["batch_size"])
    kept = max(1, train_frames // int(flags.get("subsample") or 1))
    steps_each = min(STEPS_AN_EPISODE, max(1, math.ceil(kept / (batch * window))))
    episodes = int(flags["max_episodes"])
    if flags.get("max_steps"):
        episodes = min(episodes, math.ceil(int(flags["max_steps"]) / steps_each))
    if flags.get("create_scratch_checkpoint"):
        episodes = 0
    learned = episodes * steps_each * batch * window
    scored = (episodes * val_frames + test_frames) / int(flags.get("validation_subsample") or 1)
    memory = LEARNER_MB + 16 * rate.parameters + rate.memory * batch * window
    if flags.get("load_data_in_ram"):
        memory += (train_frames + val_frames + test_frames) * 3 * rate.side**2 / 1e6
    packs = (train_frames + val_frames + test_frames) * 3 * rate.side**2 / 1e6
    disk = 200 + 4 * 8 * rate.parameters + packs
    seconds = START + learned / rate.frames + scored / (SCORED * rate.frames)
    return Work(seconds, memory, disk, SAVED_EVERY + START, 12)


def flights(
    runs: int,
    frames: int,
    rate: float,
    network: str = "",
    kept: Optional[int] = None,
    frame: CameraData = USUAL,
    buffer: int = 0,
) -> Work:
    """Estimate the cost of a session.

    Args:
        runs: number of runs.
        frames: frames per run.
        rate: frames per second: `RECORDED`, `FLOWN` or `ONLINE_RATE`.
        network: name of the network that flies; empty if only the expert flies.
        kept: frames per run whose images stay on disk; None for all.
        frame: the camera data of a frame.
        buffer: frames in the learner's replay buffer, if it learns.
    """
    memory = SIMULATOR_MB
    if network:
        own = rate_of(network)
        memory += LEARNER_MB + 16 * own.parameters + buffer * 3 * own.side**2 / 1e6
        slower = RATES["tiny_net"].frames / own.frames
        rate = min(rate, max(rate / slower * 10, 0.3 * own.frames)) if slower > 10 else rate
    seconds_a_run = frames * max(1 / rate + frame.more_seconds, LEAST_SECONDS) + 1.0
    kept = frames if kept is None else min(kept, frames)
    whole = 0 < kept < frames  # one run at a time is whole until its images are thinned out
    disk = 200 + (runs * kept + frames * whole) * frame.megabytes + runs * frames * frame.bag_megabytes
    files = runs * (kept + 4) if whole else frame.files_of(runs, runs * kept) if kept else 10
    return Work(START + runs * seconds_a_run, memory, disk, START + seconds_a_run, files + 8)


def cleaning(runs: int, frames: int, frame: CameraData = USUAL) -> Work:
    """Estimate the cost of cleaning, merging and splitting recordings, which decode every image once.

    Args:
        runs: number of runs.
        frames: frames of all runs.
        frame: the camera data of a frame.
    """
    return Work(START + frames / 400.0, 600.0, 100.0, 0.0, frame.files_of(runs, frames))
