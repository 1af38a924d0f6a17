"""Methods of learning: the interface that computes gradients from samples, and the feed-forward method.

A method holds the network, the order of the samples and the loss. The trainer uses none of these: it calls
the method for the gradients of a batch and for the outputs over a split.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, Iterator, NamedTuple, Optional, Protocol

import numpy as np
import torch
from torch import nn

from nav_pkg.learn.batches.batch_sampler import BatchSampler
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.batches.samples import BatchLoader, Samples, on_device
from nav_pkg.learn.methods.compute import ComputeSettings
from nav_pkg.learn.methods.losses import Loss

Tick = Callable[[], None]

AUXILIARY_WEIGHT = 0.4
"""Weight of the loss of inception's auxiliary head: Szegedy et al. (2015) give 0.3, torchvision's
reference training 0.4."""

_EVALUATION_BATCH = 64


def _nothing() -> None:
    pass


class BatchResult(NamedTuple):
    """Result of a training batch; its gradients are added to those in the parameters.

    Attributes:
        loss: the mean loss over the batch's frames, a scalar, detached.
        outputs: float32 (frames, outputs), detached, from just before the gradient step.
        wait_seconds: seconds spent waiting for images.
        complete: whether the optimiser must take its step now.
    """

    loss: torch.Tensor
    outputs: torch.Tensor
    wait_seconds: float
    complete: bool = True


class Method(Protocol):
    """Interface of a method of learning."""

    steps: int
    """Batches in an episode."""
    note: str
    """A note for the user about the order of the samples; empty for none."""
    compute: ComputeSettings
    """Device, precision and memory format of the computation."""

    def frames(self, episode: int, step: int) -> np.ndarray:
        """The frames whose labels a batch learns: int64 (frames,), in the order of the batch's outputs."""

    def learn(self, episode: int, step: int, tick: Tick) -> BatchResult:
        """Add the gradients of a batch to those in the parameters.

        Args:
            episode: number of the episode, from 0.
            step: number of the batch in it, from 0.
            tick: may raise. Called only where the work done so far has changed nothing but gradients,
                buffers (of batch normalisation) and torch's random state.
        """

    def outputs(self, samples: Samples, tick: Tick) -> torch.Tensor:
        """The network's outputs in evaluation mode for all samples: float32 (samples, outputs)."""

    def state(self) -> dict[str, Any]:
        """The state carried from batch to batch, as plain values and tensors."""

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a `state()`."""

    def close(self) -> None:
        """Release the training set and the last evaluated split."""


class InputLoader:
    """Fetches the pixels of frames and normalises them to the network's input, in reused memory.

    Args:
        samples: source of the images.
        preprocessing: normalises the pixels.
        compute: device and memory format.

    Attributes:
        wait_seconds: seconds spent waiting for images since the caller last set it.
    """

    def __init__(self, samples: Samples, preprocessing: Preprocessing, compute: ComputeSettings):
        self.loader = BatchLoader(samples, compute.device)
        self.wait_seconds = 0.0
        self._preprocessing, self.compute = preprocessing, compute
        self._buffer: Optional[torch.Tensor] = None

    def __call__(self, frames: np.ndarray, next_frames: Optional[np.ndarray] = None) -> torch.Tensor:
        """Return the inputs of frames (n, 3, *size), on the device; valid until the next call.

        They are float32; bfloat16 if the arithmetic computes in bfloat16 on the CPU.

        Args:
            frames: int64 (n,).
            next_frames: the frames of the next call, if known.
        """
        portions = self.loader.portions(frames, next_frames)
        if self.compute.device != "cpu":
            (pixels,) = self._timed(portions)
            inputs = self._preprocessing.normalise(pixels)
            return inputs.contiguous(memory_format=self.compute.memory_format)
        if self._buffer is None or len(self._buffer) < len(frames):
            shape = (len(frames), 3, *self._preprocessing.size)
            # the type that autocast would convert a float32 input to; this saves writing the float32 first
            kind = torch.bfloat16 if self.compute.amp else torch.float32
            self._buffer = torch.empty(shape, dtype=kind, memory_format=torch.channels_last)
        inputs, done = self._buffer[: len(frames)], 0
        for pixels in self._timed(portions):
            self._preprocessing.normalise(pixels, out=inputs[done : done + len(pixels)])
            done += len(pixels)
        return inputs.contiguous(memory_format=self.compute.memory_format)

    def _timed(self, portions: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield the portions unchanged; add the time spent waiting for each to `wait_seconds`."""
        start = time.perf_counter()
        for pixels in portions:
            self.wait_seconds += time.perf_counter() - start
            yield pixels
            start = time.perf_counter()

    def close(self) -> None:
        """Release the images and the memory."""
        self.loader.close()
        self._buffer = None


class EvaluationLoader:
    """Caches the inputs of the last evaluated split, because the next split is mostly the same.

    Args:
        preprocessing: as for `InputLoader`.
        compute: as for `InputLoader`.
    """

    def __init__(self, preprocessing: Preprocessing, compute: ComputeSettings):
        self._preprocessing, self.compute = preprocessing, compute
        self._last: Optional[tuple[Samples, InputLoader]] = None

    def __call__(self, samples: Samples) -> InputLoader:
        """Return the inputs of a split."""
        if self._last is None or self._last[0] is not samples:
            self.close()
            self._last = samples, InputLoader(samples, self._preprocessing, self.compute)
        return self._last[1]

    def close(self) -> None:
        """Release the split."""
        if self._last is not None:
            self._last[1].close()
            self._last = None


@contextlib.contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Set evaluation mode within a block; restore the previous mode at its end, also after an error."""
    before = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(before)


class FrameMethod:
    """Feed-forward learning, from one frame or from a frame and those just before it.

    Args:
        net: takes (batch, 3, height, width), or (batch, count, 3, height, width) with `count`.
        compute: device, precision and memory format of the computation.
        preprocessing: turns images into the network's input.
        loss: the loss to minimise.
        sampler: which samples make up each batch; None if only `learn_from` is called.
        train: the training set, or a replay buffer.
        count: frames that the network takes at once; 0 for a network that takes one image.
    """

    note = ""

    def __init__(
        self,
        net: nn.Module,
        compute: ComputeSettings,
        preprocessing: Preprocessing,
        loss: Loss,
        sampler: Optional[BatchSampler],
        train: Samples,
        count: int = 0,
    ):
        self.steps = sampler.steps if sampler is not None else 0
        self._net, self.compute, self._preprocessing = net, compute, preprocessing
        self._forward = compute.maybe_compiled(net)
        self._loss, self._sampler, self._train, self._count = loss, sampler, train, count
        self._inputs = InputLoader(train, preprocessing, compute)
        self._evaluation = EvaluationLoader(preprocessing, compute)
        self._tick: Tick = _nothing
        if compute.device == "cpu" and not compute.compile:
            # a batch of a large network takes ten seconds: tick after each layer, forward and backward
            for part in net.modules():
                if not any(True for _ in part.children()):
                    part.register_forward_hook(self._tick_at)

    def frames(self, episode: int, step: int) -> np.ndarray:
        """The frames whose labels a batch learns: int64 (batch,)."""
        return self._train.frames[self._sampler.indices(episode, step)]

    def learn(self, episode: int, step: int, tick: Tick = lambda: None) -> BatchResult:
        """Add the gradients of a batch to those in the parameters (see `Method`)."""
        next_frames = self.frames(episode, step + 1) if step + 1 < self.steps else None
        return self.learn_from(self.frames(episode, step), tick, next_frames)

    def learn_from(
        self, frames: np.ndarray, tick: Tick = lambda: None, next_frames: Optional[np.ndarray] = None
    ) -> BatchResult:
        """Add the gradients of a batch of frames, int64 (batch,), to those in the parameters.

        Args:
            frames: of the training set.
            tick: as for `learn`.
            next_frames: the frames of the next batch, if known.
        """
        inputs = self._make(self._inputs, self._train, frames, next_frames)
        targets = on_device(self._loss.targets(self._train.yaw[frames]), self.compute.device)
        with self._ticking(tick):
            with self.compute.autocast():
                outputs = self._forward(inputs)
            if isinstance(outputs, tuple):  # inception in training: outputs and outputs of the auxiliary head
                outputs, auxiliary = outputs
                outputs = outputs.float()
                loss = self._loss(outputs, targets)
                total = loss + AUXILIARY_WEIGHT * self._loss(auxiliary.float(), targets)
            else:
                outputs = outputs.float()
                total = loss = self._loss(outputs, targets)
            total.backward()
        wait_seconds, self._inputs.wait_seconds = self._inputs.wait_seconds, 0.0
        return BatchResult(loss.detach(), outputs.detach(), wait_seconds)

    @torch.no_grad()
    def outputs(self, samples: Samples, tick: Tick = lambda: None) -> torch.Tensor:
        """Compute the outputs in evaluation mode for all samples: float32 (samples, outputs)."""
        inputs, outputs = self._evaluation(samples), []
        with self._ticking(tick), evaluating(self._net):
            for start in range(0, len(samples), _EVALUATION_BATCH):
                tick()
                frames = samples.frames[start : start + _EVALUATION_BATCH]
                with self.compute.autocast():
                    outputs.append(self._net(self._make(inputs, samples, frames)).float().cpu())
        return torch.cat(outputs)

    def _tick_at(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        self._tick()
        if isinstance(output, torch.Tensor) and output.requires_grad:
            output.register_hook(lambda _gradient: self._tick())

    @contextlib.contextmanager
    def _ticking(self, tick: Tick) -> Iterator[None]:
        """Call `tick` after each layer, forward and backward, within a block."""
        self._tick = tick
        try:
            yield
        finally:
            self._tick = _nothing

    def _make(
        self,
        inputs: InputLoader,
        samples: Samples,
        frames: np.ndarray,
        next_frames: Optional[np.ndarray] = None,
    ) -> torch.Tensor:
        if not self._count:
            return inputs(frames, next_frames)
        past = samples.recent(frames, self._count)
        later = samples.recent(next_frames, self._count).ravel() if next_frames is not None else None
        images = inputs(past.ravel(), later)
        return images.unflatten(0, past.shape)

    def state(self) -> dict[str, Any]:
        """Return an empty state: this method carries nothing from batch to batch."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Do nothing: this method carries nothing from batch to batch."""

    def close(self) -> None:
        """Release the training set and the last evaluated split."""
        self._inputs.close()
        self._evaluation.close()
        del self._inputs, self._sampler, self._train
