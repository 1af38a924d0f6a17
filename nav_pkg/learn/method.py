"""How gradients come out of samples: what all ways of learning share, and the feed-forward one.

A method knows the network, the samples' order and the loss. The trainer, which knows none of these,
asks it for the gradients of a batch and for the outputs over a split.
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
    """What a training batch gave; its gradients lie in the parameters, added to what was there.

    Attributes:
        loss: the mean loss over its frames, a scalar, detached.
        outputs: float32 (frames, outputs), detached, just before the gradient step.
        waiting: seconds that were spent waiting for images.
        complete: whether the optimiser is to take its step now.
    """

    loss: torch.Tensor
    outputs: torch.Tensor
    waiting: float
    complete: bool = True


class Method(Protocol):
    """A way of learning."""

    steps: int
    """Batches in an episode."""
    note: str
    """What a user should know of the order of what is learned; empty for nothing."""
    arithmetic: Arithmetic
    """How the network is computed with."""

    def frames(self, episode: int, step: int) -> np.ndarray:
        """The frames whose labels a batch learns: int64 (frames,), in the order of its outputs."""

    def learn(self, episode: int, step: int, tick: Tick) -> Step:
        """Add the gradients of a batch to the parameters'.

        Args:
            episode: number of the episode, from 0.
            step: number of the batch in it, from 0.
            tick: called where the work can be left without a trace but for gradients, buffers (of
                batch normalisation) and torch's random state; may raise.
        """

    def outputs(self, samples: Samples, tick: Tick) -> torch.Tensor:
        """The network's outputs in evaluation mode for all samples: float32 (samples, outputs)."""

    def state(self) -> dict[str, Any]:
        """What the method carries from batch to batch, as plain values and tensors."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a `state()`."""

    def close(self) -> None:
        """Let go of the training set, and of the split that was evaluated last."""


class Inputs:
    """Makes inputs of frames: fetches their pixels, normalises them into memory that is used again.

    Args:
        samples: where the images are.
        preprocessing: normalises.
        arithmetic: device and memory format.

    Attributes:
        waiting: seconds spent waiting for images since this was set.
    """

    def __init__(self, samples: Samples, preprocessing: Preprocessing, arithmetic: Arithmetic):
        self.feeder = Feeder(samples, arithmetic.device)
        self.waiting = 0.0
        self._preprocessing, self.arithmetic = preprocessing, arithmetic
        self._buffer: Optional[torch.Tensor] = None

    def __call__(self, frames: np.ndarray, following: Optional[np.ndarray] = None) -> torch.Tensor:
        """Inputs for frames (n, 3, *size), on the device; valid until the next call.

        They are float32, or bfloat16 where the arithmetic computes in that on the CPU.

        Args:
            frames: int64 (n,).
            following: the frames that will be asked for next, if known.
        """
        portions = self.feeder.portions(frames, following)
        if self.arithmetic.device != "cpu":
            (pixels,) = self._timed(portions)
            inputs = self._preprocessing.normalise(pixels)
            return inputs.contiguous(memory_format=self.arithmetic.memory_format)
        if self._buffer is None or len(self._buffer) < len(frames):
            shape = (len(frames), 3, *self._preprocessing.size)
            # what autocast would make of a float32 input, without writing that first
            kind = torch.bfloat16 if self.arithmetic.amp else torch.float32
            self._buffer = torch.empty(shape, dtype=kind, memory_format=torch.channels_last)
        inputs, done = self._buffer[: len(frames)], 0
        for pixels in self._timed(portions):
            self._preprocessing.normalise(pixels, out=inputs[done : done + len(pixels)])
            done += len(pixels)
        return inputs.contiguous(memory_format=self.arithmetic.memory_format)

    def _timed(self, portions: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The same, with the time until each one is there added to `waiting`."""
        start = time.perf_counter()
        for pixels in portions:
            self.waiting += time.perf_counter() - start
            yield pixels
            start = time.perf_counter()

    def close(self) -> None:
        """Let go of the images and of the memory."""
        self.feeder.close()
        self._buffer = None


class EvaluationInputs:
    """The inputs of the split that was last evaluated, which is mostly the same one again.

    Args:
        preprocessing: as for `Inputs`.
        arithmetic: as for `Inputs`.
    """

    def __init__(self, preprocessing: Preprocessing, arithmetic: Arithmetic):
        self._preprocessing, self.arithmetic = preprocessing, arithmetic
        self._last: Optional[tuple[Samples, Inputs]] = None

    def __call__(self, samples: Samples) -> Inputs:
        """The inputs of a split."""
        if self._last is None or self._last[0] is not samples:
            self.close()
            self._last = samples, Inputs(samples, self._preprocessing, self.arithmetic)
        return self._last[1]

    def close(self) -> None:
        """Let go of the split."""
        if self._last is not None:
            self._last[1].close()
            self._last = None


@contextlib.contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode within a block; the mode is put back even when the block is left by an error."""
    before = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(before)


class FrameMethod:
    """Feed-forward learning: from a frame, or from a frame and those just before it.

    Args:
        net: takes (batch, 3, height, width), or (batch, count, 3, height, width) where `count` is given.
        arithmetic: how it is computed with.
        preprocessing: how images become its input.
        loss: what is minimised.
        order: which samples make up each batch.
        train: the training set.
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
            # a batch of a large network takes ten seconds: a stop is heard behind each layer, both ways
            for part in net.modules():
                if not any(True for _ in part.children()):
                    part.register_forward_hook(self._heed)

    def frames(self, episode: int, step: int) -> np.ndarray:
        """The frames whose labels a batch learns: int64 (batch,)."""
        return self._train.frames[self._order.indices(episode, step)]

    def learn(self, episode: int, step: int, tick: Tick = lambda: None) -> Step:
        """Add the gradients of a batch to the parameters' (see `Method`)."""
        following = self.frames(episode, step + 1) if step + 1 < self.steps else None
        return self.learn_from(self.frames(episode, step), tick, following)

    def learn_from(
        self, frames: np.ndarray, tick: Tick = lambda: None, following: Optional[np.ndarray] = None
    ) -> Step:
        """Add the gradients of a batch of frames, int64 (batch,), to the parameters'.

        Args:
            frames: of the training set.
            tick: as for `learn`.
            following: the frames that will be learned from next, if known.
        """
        inputs = self._make(self._inputs, self._train, frames, following)
        targets = on_device(self._loss.targets(self._train.yaw[frames]), self.arithmetic.device)
        with self._ticking(tick):
            with self.arithmetic.autocast():
                outputs = self._forward(inputs)
            if isinstance(outputs, tuple):  # inception in training: the outputs and those of a head half-way
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
        """The outputs in evaluation mode for all samples: float32 (samples, outputs)."""
        inputs, made = self._evaluation(samples), []
        with self._ticking(tick), evaluating(self._net):
            for start in range(0, len(samples), _EVALUATION_BATCH):
                tick()
                frames = samples.frames[start : start + _EVALUATION_BATCH]
                with self.arithmetic.autocast():
                    made.append(self._net(self._make(inputs, samples, frames)).float().cpu())
        return torch.cat(made)

    def _heed(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        self._tick()
        if isinstance(output, torch.Tensor) and output.requires_grad:
            output.register_hook(lambda _gradient: self._tick())

    @contextlib.contextmanager
    def _ticking(self, tick: Tick) -> Iterator[None]:
        """Call `tick` behind each layer, forward and backward, within a block."""
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
        """Nothing is carried from batch to batch."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing is carried from batch to batch."""

    def close(self) -> None:
        """Let go of the training set, and of the split that was evaluated last."""
        self._inputs.close()
        self._evaluation.close()
        del self._inputs, self._order, self._train
