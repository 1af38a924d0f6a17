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

from nav_pkg.learn.arithmetic import Arithmetic
from nav_pkg.learn.losses import Loss
from nav_pkg.learn.order import Order
from nav_pkg.learn.preprocess import Preprocessing
from nav_pkg.learn.samples import Feeder, Samples, on_device

Tick = Callable[[], None]

AUXILIARY_WEIGHT = 0.4
"""Weight of the loss of inception's auxiliary head: Szegedy et al. (2015) give 0.3, torchvision's
reference training 0.4."""

_EVALUATION_BATCH = 64


def _nothing() -> None:
    pass


class Step(NamedTuple):
    """Result of a training batch; its gradients are added to those in the parameters.

    Attributes:
        loss: the mean loss over the batch's frames, a scalar, detached.
        outputs: float32 (frames, outputs), detached, from just before the gradient step.
        waiting: seconds spent waiting for images.
        complete: whether the optimiser must take its step now.
    """

    loss: torch.Tensor
    outputs: torch.Tensor
    waiting: float
    complete: bool = True


class Method(Protocol):
    """Interface of a method of learning."""

    steps: int
    """Batches in an episode."""
    note: str
    """A note for the user about the order of the samples; empty for none."""
    arithmetic: Arithmetic
    """Device, precision and memory format of the computation."""

    def frames(self, episode: int, step: int) -> np.ndarray:
        """The frames whose labels a batch learns: int64 (frames,), in the order of the batch's outputs."""

    def learn(self, episode: int, step: int, tick: Tick) -> Step:
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


class Inputs:
    """Fetches the pixels of frames and normalises them to the network's input, in reused memory.

    Args:
        samples: source of the images.
        preprocessing: normalises the pixels.
        arithmetic: device and memory format.

    Attributes:
        waiting: seconds spent waiting for images since the caller last set it.
    """

    def __init__(self, samples: Samples, preprocessing: Preprocessing, arithmetic: Arithmetic):
        self.feeder = Feeder(samples, arithmetic.device)
        self.waiting = 0.0
        self._preprocessing, self.arithmetic = preprocessing, arithmetic
        self._buffer: Optional[torch.Tensor] = None

    def __call__(self, frames: np.ndarray, following: Optional[np.ndarray] = None) -> torch.Tensor:
        """Return the inputs of frames (n, 3, *size), on the device; valid until the next call.

        They are float32; bfloat16 if the arithmetic computes in bfloat16 on the CPU.

        Args:
            frames: int64 (n,).
            following: the frames of the next call, if known.
        """
        portions = self.feeder.portions(frames, following)
        if self.arithmetic.device != "cpu":
            (pixels,) = self._timed(portions)
            inputs = self._preprocessing.normalise(pixels)
            return inputs.contiguous(memory_format=self.arithmetic.memory_format)
        if self._buffer is None or len(self._buffer) < len(frames):
            shape = (len(frames), 3, *self._preprocessing.size)
            # the type that autocast would convert a float32 input to; this saves writing the float32 first
            kind = torch.bfloat16 if self.arithmetic.amp else torch.float32
            self._buffer = torch.empty(shape, dtype=kind, memory_format=torch.channels_last)
        inputs, done = self._buffer[: len(frames)], 0
        for pixels in self._timed(portions):
            self._preprocessing.normalise(pixels, out=inputs[done : done + len(pixels)])
            done += len(pixels)
        return inputs.contiguous(memory_format=self.arithmetic.memory_format)

    def _timed(self, portions: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield the portions unchanged; add the time spent waiting for each to `waiting`."""
        start = time.perf_counter()
        for pixels in portions:
            self.waiting += time.perf_counter() - start
            yield pixels
            start = time.perf_counter()

    def close(self) -> None:
        """Release the images and the memory."""
        self.feeder.close()
        self._buffer = None


class EvaluationInputs:
    """Caches the inputs of the last evaluated split, because the next split is mostly the same.

    Args:
        preprocessing: as for `Inputs`.
        arithmetic: as for `Inputs`.
    """

    def __init__(self, preprocessing: Preprocessing, arithmetic: Arithmetic):
        self._preprocessing, self.arithmetic = preprocessing, arithmetic
        self._last: Optional[tuple[Samples, Inputs]] = None

    def __call__(self, samples: Samples) -> Inputs:
        """Return the inputs of a split."""
        if self._last is None or self._last[0] is not samples:
            self.close()
            self._last = samples, Inputs(samples, self._preprocessing, self.arithmetic)
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
        arithmetic: device, precision and memory format of the computation.
        preprocessing: turns images into the network's input.
        loss: the loss to minimise.
        order: which samples make up each batch; None if only `learn_from` is called.
        train: the training set, or a replay buffer.
        count: frames that the network takes at once; 0 for a network that takes one image.
    """

    note = ""

    def __init__(
        self,
        net: nn.Module,
        arithmetic: Arithmetic,
        preprocessing: Preprocessing,
        loss: Loss,
        order: Optional[Order],
        train: Samples,
        count: int = 0,
    ):
        self.steps = order.steps if order is not None else 0
        self._net, self.arithmetic, self._preprocessing = net, arithmetic, preprocessing
        self._forward = arithmetic.compiled(net)
        self._loss, self._order, self._train, self._count = loss, order, train, count
        self._inputs = Inputs(train, preprocessing, arithmetic)
        self._evaluation = EvaluationInputs(preprocessing, arithmetic)
        self._tick: Tick = _nothing
        if arithmetic.device == "cpu" and not arithmetic.compile:
            # a batch of a large network takes ten seconds: tick after each layer, forward and backward
            for part in net.modules():
                if not any(True for _ in part.children()):
                    part.register_forward_hook(self._tick_at)

    def frames(self, episode: int, step: int) -> np.ndarray:
        """The frames whose labels a batch learns: int64 (batch,)."""
        return self._train.frames[self._order.indices(episode, step)]

    def learn(self, episode: int, step: int, tick: Tick = lambda: None) -> Step:
        """Add the gradients of a batch to those in the parameters (see `Method`)."""
        following = self.frames(episode, step + 1) if step + 1 < self.steps else None
        return self.learn_from(self.frames(episode, step), tick, following)

    def learn_from(
        self, frames: np.ndarray, tick: Tick = lambda: None, following: Optional[np.ndarray] = None
    ) -> Step:
        """Add the gradients of a batch of frames, int64 (batch,), to those in the parameters.

        Args:
            frames: of the training set.
            tick: as for `learn`.
            following: the frames of the next batch, if known.
        """
        inputs = self._make(self._inputs, self._train, frames, following)
        targets = on_device(self._loss.targets(self._train.yaw[frames]), self.arithmetic.device)
        with self._ticking(tick):
            with self.arithmetic.autocast():
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
        waiting, self._inputs.waiting = self._inputs.waiting, 0.0
        return Step(loss.detach(), outputs.detach(), waiting)

    @torch.no_grad()
    def outputs(self, samples: Samples, tick: Tick = lambda: None) -> torch.Tensor:
        """Compute the outputs in evaluation mode for all samples: float32 (samples, outputs)."""
        inputs, made = self._evaluation(samples), []
        with self._ticking(tick), evaluating(self._net):
            for start in range(0, len(samples), _EVALUATION_BATCH):
                tick()
                frames = samples.frames[start : start + _EVALUATION_BATCH]
                with self.arithmetic.autocast():
                    made.append(self._net(self._make(inputs, samples, frames)).float().cpu())
        return torch.cat(made)

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
        self, inputs: Inputs, samples: Samples, frames: np.ndarray, following: Optional[np.ndarray] = None
    ) -> torch.Tensor:
        if not self._count:
            return inputs(frames, following)
        past = samples.recent(frames, self._count)
        later = samples.recent(following, self._count).ravel() if following is not None else None
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
        del self._inputs, self._order, self._train
