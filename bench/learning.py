"""The measurements of learning: each is a method that yields figures, as ratios within one run.

Two computations are compared in turns, because the machine's speed changes from minute to minute. The
median of each counts.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch.nn import functional

from nav_pkg import nets
from nav_pkg.data import codec
from nav_pkg.data.packs.pack import open_packs
from nav_pkg.data.reader import Dataset, Run
from nav_pkg.data.resize import decode_resized
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.loading import load_samples
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.batches.samples import Samples
from nav_pkg.learn.methods.compute import ComputeSettings
from nav_pkg.learn.methods.losses import make_loss
from nav_pkg.learn.methods.method import AUXILIARY_WEIGHT
from nav_pkg.learn.methods.method_flags import MethodFlags, make_method
from nav_pkg.learn.methods.optimizers import make_optimizer
from nav_pkg.learn.methods.recurrent import InitState
from nav_pkg.learn.training import determinism
from nav_pkg.learn.training.trainer import Trainer

BATCHES = {
    "tiny_net": 64,
    "alex_net": 100,
    "vgg16_net": 32,
    "inception_net": 32,
    "res18_net": 32,
    "dense_net": 32,
    "squeeze_net": 32,
    "tiny_LSTM_net": 32,
    "alex_LSTM_net": 1,
}
"""The networks of the reproduced page and its batch sizes; alex_LSTM_net learns whole runs (F-BPTT)."""

WINDOW = 20
"""Frames in a window of tiny_LSTM_net."""


class Figure(NamedTuple):
    """A measured figure: name, value, unit, and details of the measurement."""

    name: str
    value: float
    unit: str
    detail: str


def alternate(
    first: Callable[[], Any], second: Callable[[], Any], rounds: int, warm: int = 1
) -> Tuple[float, float]:
    """Run two functions in turns; return the median seconds of each."""
    times: Tuple[List[float], List[float]] = ([], [])
    for number in range(rounds + warm):
        for function, seconds in zip((first, second), times):
            begin = time.perf_counter()
            function()
            if number >= warm:
                seconds.append(time.perf_counter() - begin)
    return statistics.median(times[0]), statistics.median(times[1])


def rounds_for(function: Callable[[], Any], seconds: float, least: int = 3, most: int = 60) -> int:
    """How often a function can run within some seconds."""
    begin = time.perf_counter()
    function()
    return max(least, min(most, int(seconds / (time.perf_counter() - begin))))


def make_trainer(
    name: str,
    samples: Samples,
    amp: bool = False,
    batch_size: int = 0,
    time_length: int = WINDOW,
    init_state: InitState = InitState(),  # noqa: B008 - frozen
) -> Trainer:
    """Make a trainer as `main.py --discrete --loss CrossEntropy --shifted_input --optimizer SGD` does."""
    spec, space = nets.spec(name), ActionSpace()
    options = nets.complete_options(name)
    compute = ComputeSettings(amp=amp)
    preprocessing, loss = Preprocessing(spec.input_size, "shifted"), make_loss("CrossEntropy", space)
    net = compute.prepare(nets.build(name, seed=123))
    flags = MethodFlags(
        batch_size=batch_size or BATCHES.get(name, 32),
        seed=123,
        n_frames=options.get("n_frames", 0),
        recurrent=spec.kind == "recurrent",
        time_length=time_length,
        init_state=init_state,
    )
    return Trainer(
        network=name,
        net=net,
        net_options=options,
        action_space=space,
        preprocessing=preprocessing,
        compute=compute,
        method=make_method(flags, net, compute, preprocessing, loss, samples),
        loss=loss,
        optimizer_name="SGD",
        make_optimizer=lambda parameters: make_optimizer("SGD", parameters, learning_rate=1e-4),
        train=samples,
        val=samples,
        dataset={},
    )


def train_step(trainer: Trainer) -> Callable[[], None]:
    """Make a function that trains on the next batch, across episodes, without validation."""
    trainer.net.train()

    def step() -> None:
        if trainer.step == trainer.steps:
            trainer.episode, trainer.step = trainer.episode + 1, 0
        trainer.train_batch()

    return step


def resident_step(trainer: Trainer, shape: Sequence[int]) -> Callable[[], None]:
    """Make the same step in plain PyTorch on one random batch in memory: forward, backward, SGD.

    Args:
        trainer: its network and optimiser are used.
        shape: of the batch: (n, 3, height, width), or (sequences, time, 3, height, width).
    """
    compute = trainer.method.compute
    images = torch.rand(int(np.prod(shape[:-3])), *shape[-3:]) - 0.5
    images = images.contiguous(memory_format=compute.memory_format).unflatten(0, tuple(shape[:-3]))
    targets = torch.randint(0, 3, (shape[0] if len(shape) == 4 else shape[0] * shape[1],))
    net, optimizer = trainer.net, trainer.optimizer

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with compute.autocast():
            outputs = net(images)
        if len(shape) == 5:
            outputs = outputs[0].flatten(0, 1)
        auxiliary = 0.0
        if isinstance(outputs, tuple):
            outputs, aux = outputs
            auxiliary = AUXILIARY_WEIGHT * functional.cross_entropy(aux.float(), targets)
        (functional.cross_entropy(outputs.float(), targets) + auxiliary).backward()
        optimizer.step()

    return step


class LearningBench:
    """Runs the measurements on a dataset of flights.

    Args:
        dataset: with runs of 640x360 images.
        work: a folder on a disk with 10 GB of free space.
        seconds: approximate duration of each comparison.
    """

    def __init__(self, dataset: Path, work: Path, seconds: float = 12.0):
        self.dataset, self.work, self.seconds = Dataset(dataset), work, seconds
        self.cache = work / "packs"
        os.environ["NAV_PKG_CACHE"] = str(self.cache)
        determinism.prepare(123, determinism.cores())

    @property
    def runs(self) -> List[Run]:
        """All runs of the dataset."""
        return self.dataset.runs

    def samples(self, name: str) -> Samples:
        """The dataset's frames at a network's input size."""
        return load_samples(self.runs, Preprocessing(nets.spec(name).input_size))

    def train(self) -> Iterator[Figure]:
        """Compare training from the pack with a step on a resident batch; measure the wait for data."""
        for name in BATCHES:
            samples = self.samples(name)
            if name == "alex_LSTM_net":
                # a run of a whole lap would take minutes per step; a part of it does the same work
                samples = first_frames(samples, 240)
                trainer = make_trainer(name, samples, time_length=-1)
                shape: Tuple[int, ...] = (1, 240, 3, *nets.spec(name).input_size)
            else:
                trainer = make_trainer(name, samples, init_state=InitState("zero", 0))
                window = (WINDOW,) if nets.spec(name).kind == "recurrent" else ()
                shape = (BATCHES[name], *window, 3, *nets.spec(name).input_size)
            real, pure = train_step(trainer), resident_step(trainer, shape)
            rounds = rounds_for(pure, self.seconds / 2)
            trainer.timing = type(trainer.timing)()
            spent, computed = alternate(real, pure, rounds)
            frames = int(np.prod(shape[:-3]))
            detail = (
                f"frames/s {frames / spent:,.1f} and {frames / computed:,.1f}, {frames} frames per step; "
                f"waiting for data {trainer.timing.waiting_share:.2%}; median of {rounds}, alternating"
            )
            yield Figure(f"train_over_compute_{name}", computed / spent, "ratio", detail)
            if name == "tiny_net":
                yield Figure("data_wait_share", trainer.timing.waiting_share, "share of the step", detail)
            del trainer, real, pure, samples
            gc.collect()

    def amp(self) -> Iterator[Figure]:
        """Compare bfloat16 with plain float32 in torch's default memory format, on a batch in memory."""
        for name in BATCHES:
            size = nets.spec(name).input_size
            samples = Samples([np.zeros((WINDOW, *size, 3), np.uint8)] * 32, [np.zeros(WINDOW)] * 32)
            kind = nets.spec(name).kind
            batch = {"alex_LSTM_net": 5}.get(name, BATCHES[name])
            shape = (batch, *((WINDOW,) if kind == "recurrent" else ()), 3, *size)
            steps, labels = [], []
            for amp in (True, False):
                trainer = make_trainer(name, samples, amp=amp, batch_size=1)
                if not amp:
                    plain = ComputeSettings(channels_last=False)
                    plain.prepare(trainer.net)
                    trainer.method.compute = plain
                steps.append(resident_step(trainer, shape))
                labels.append("channels_last" if trainer.method.compute.channels_last else "contiguous")
            rounds = rounds_for(steps[1], self.seconds / 2)
            fast, slow = alternate(steps[0], steps[1], rounds)
            frames = int(np.prod(shape[:-3]))
            detail = (
                f"frames/s {frames / fast:,.1f} ({labels[0]}) and {frames / slow:,.1f}, {frames} frames per "
                f"step; median of {rounds}, alternating"
            )
            yield Figure(f"amp_over_eager_{name}", slow / fast, "ratio", detail)
            del steps, trainer
            gc.collect()

    def lstm(self) -> Iterator[Figure]:
        """Compare WW-TBPTT of tiny_LSTM_net with its features only, for each initial state."""
        samples = self.samples("tiny_LSTM_net")
        count = BATCHES["tiny_LSTM_net"] * WINDOW
        net = nets.build("tiny_LSTM_net", seed=1)
        ComputeSettings().prepare(net)
        images = (torch.rand(count, 3, 128, 128) - 0.5).contiguous(memory_format=torch.channels_last)
        ahead = torch.rand(count, 8000)

        def features() -> None:
            net.features.zero_grad(set_to_none=True)
            net.extract(images).backward(ahead)

        rates = {}
        for state in (
            InitState(),
            InitState("zero", 0),
            InitState("burn_in", 20),
            InitState("full", 0),
        ):
            step = train_step(make_trainer("tiny_LSTM_net", samples, init_state=state))
            least = 2 if state.kind == "full" else 3
            rounds = rounds_for(step, self.seconds / 2, least=least, most=30)
            spent, bare = alternate(step, features, rounds)
            words = f"{state.kind} {state.frames}" if state.kind == "burn_in" else state.kind
            rates[words] = (bare / spent, count / spent, count / bare)
        text = "; ".join(
            f"--init_state {words}: {ratio:.3f} ({own:,.0f} of {bare:,.0f} frames/s)"
            for words, (ratio, own, bare) in rates.items()
        )
        default = next(iter(rates.values()))
        yield Figure("lstm_over_features", default[0], "ratio", f"{text}; {WINDOW} x 32, alternating")

    def packing(self) -> Iterator[Figure]:
        """Compare packing with the decoder, and training from the pack with a DataLoader on the JPEGs."""
        size = nets.spec("tiny_net").input_size
        run = self.runs[0]
        data = [(run.path / name).read_bytes() for name in run.frames.rgb[:400]]
        cores = determinism.cores()
        number = iter(range(1000))

        def pack() -> None:
            open_packs(self.runs, size, cache=self.work / f"again{next(number)}", say=lambda line: None)

        def decode() -> None:
            for item in data:
                decode_resized(item, size)

        def decode_only() -> None:
            for item in data:
                codec.decode_rgb(item)

        packed, decoded = alternate(pack, decode, 7)
        full, _ = alternate(decode_only, lambda: None, 5)
        rate, own = sum(map(len, self.runs)) / packed, len(data) / decoded
        detail = (
            f"{rate:,.0f} images/s on {cores} cores; JPEG 640x360 in memory to 128x128 on one core "
            f"{own:,.0f}/s (decoding alone, at full size: {len(data) / full:,.0f}/s); median of 7, "
            "alternating"
        )
        yield Figure("pack_over_decode", rate / (cores * own), "ratio", detail)
        yield from self.loader()

    def loader(self) -> Iterator[Figure]:
        """Compare training of tiny_net from the pack with a DataLoader of two workers on the JPEGs."""
        samples = self.samples("tiny_net")
        trainer = make_trainer("tiny_net", samples)
        step, steps = train_step(trainer), 60
        plain = make_trainer("tiny_net", samples)

        def train_from_pack() -> None:
            for _ in range(steps):
                step()

        def train_from_loader() -> None:
            loader = torch.utils.data.DataLoader(
                JpegDataset(self.runs), batch_size=64, shuffle=True, num_workers=2, drop_last=True
            )
            for _, (images, targets) in zip(range(steps), loader):
                plain.optimizer.zero_grad(set_to_none=True)
                functional.cross_entropy(plain.net(images), targets).backward()
                plain.optimizer.step()

        fast, slow = alternate(train_from_pack, train_from_loader, 3)
        rates = f"{64 * steps / fast:,.0f} and {64 * steps / slow:,.0f} frames/s"
        detail = f"{rates}, batch 64, 2 workers, transforms.v2 over simplejpeg; median of 3 x {steps} steps"
        yield Figure("pack_over_dataloader", slow / fast, "ratio", detail)


def first_frames(samples: Samples, count: int) -> Samples:
    """The first frames of the first run of a training set, as a run."""
    return Samples([samples.images[0][:count]], [samples.yaw[:count]])


class JpegDataset(torch.utils.data.Dataset):
    """A usual dataset without packs: JPEGs are decoded and resized on access.

    Args:
        runs: runs with the images and labels.
    """

    def __init__(self, runs: Sequence[Run]):
        from nav_pkg.nets import torchvision_compat

        torchvision_compat.load()
        from torchvision.transforms import v2

        self._files = [run.path / name for run in runs for name in run.frames.rgb]
        space = ActionSpace()
        self._targets = np.concatenate([space.classes(run.frames.expert_yaw) for run in runs])
        self._transform = v2.Compose(
            [
                v2.Resize((128, 128), antialias=True),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [1.0] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, i: int) -> Tuple[torch.Tensor, int]:
        """Input float32 (3, 128, 128) and class of frame `i`."""
        pixels = codec.decode_rgb(self._files[i].read_bytes())
        return self._transform(torch.from_numpy(pixels).permute(2, 0, 1)), int(self._targets[i])


MEASUREMENTS: Dict[str, Callable[[LearningBench], Iterator[Figure]]] = {
    "train": LearningBench.train,
    "amp": LearningBench.amp,
    "lstm": LearningBench.lstm,
    "packing": LearningBench.packing,
}
