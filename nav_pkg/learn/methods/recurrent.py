"""Truncated and full backpropagation through time, for networks of features, LSTM and a linear output.

One class implements the three training methods. They differ in their windows
(`nav_pkg.learn.batches.batch_sampler`) and in the initial state of a window. The features of all frames of a
batch go through the convolutions together, then the LSTM runs over each sequence in one fused call. If the
activations of the convolutions would take too much memory, the features are computed in portions without
storing activations. They are recomputed, portion by portion, when their gradients are known (Chen et al.
2016, "Training deep nets with sublinear memory cost"). This doubles the forward work of the convolutions and
gives the same gradients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import nn

from nav_pkg.core import UsageError
from nav_pkg.learn.batches.batch_sampler import (
    RandomWindowSampler,
    SlidingWindowSampler,
    WholeRunSampler,
    Windows,
    WindowSampler,
)
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.batches.samples import Samples, on_device
from nav_pkg.learn.methods.compute import ComputeSettings
from nav_pkg.learn.methods.losses import Loss
from nav_pkg.learn.methods.method import BatchResult, EvaluationLoader, InputLoader, Tick, evaluating

State = Tuple[torch.Tensor, torch.Tensor]
"""h and c of an LSTM: float32 (layers, sequences, hidden) each."""

PORTION_BYTES = 160 << 20
"""Largest input, in bytes, whose activations are in memory at once. Activations take about six times as
much: tiny features 0.8 GB, those of alexnet 1 GB."""


@dataclass(frozen=True)
class InitState:
    """The initial state of a window of WW-TBPTT.

    Attributes:
        kind: `full`: the state after the current network has run over all earlier frames of the run.
            `burn_in`: the state after the last `frames` of these, started from zero. `zero`: zero.
            `carried`: the final state of the preceding window when it was last learned from, zero before
            that (the stored state of Kapturowski et al. 2019, R2D2); windows then lie on a grid.
        frames: for `burn_in`.

    The default costs no computation besides the window itself.
    """

    kind: str = "carried"
    frames: int = 0

    @staticmethod
    def from_flag(words: Sequence[str]) -> InitState:
        """Parse an `--init_state`: full, zero, carried, or burn_in and a number of frames.

        Raises:
            UsageError: the words are none of these.
        """
        text = " ".join(words)
        if len(words) == 1 and words[0] in ("full", "zero", "carried"):
            return InitState(words[0], 0)
        if len(words) == 2 and words[0] == "burn_in" and words[1].isascii() and words[1].isdigit():
            return InitState("burn_in", int(words[1])) if int(words[1]) else InitState("zero", 0)
        raise UsageError(f"--init_state {text}: must be full, zero, carried, or burn_in and a number")


class RecurrentMethod:
    """Trains a recurrent network.

    Args:
        net: a recurrent network of the registry (`nav_pkg.nets.recurrent`).
        compute: device, precision and memory format of the computation.
        preprocessing: turns images into the network's input.
        loss: the loss to minimise, averaged over all frames of a batch.
        sampler: the windows of each batch; its type selects the training method: `WholeRunSampler` (F-BPTT),
            `RandomWindowSampler` (WW-TBPTT), `SlidingWindowSampler` (S-TBPTT). None if only
            `learn_from` is called.
        train: the training set, or a replay buffer.
        init_state: for `RandomWindowSampler`, and without a sampler.
        slide: for `SlidingWindowSampler`: frames that a window moves forward by.
        accumulate: for `SlidingWindowSampler`: the optimiser takes a step only at the end of a slide, or
            of an episode, with the mean of the gradients since its last step.
        portion_bytes: None for `PORTION_BYTES`.
    """

    def __init__(
        self,
        net: nn.Module,
        compute: ComputeSettings,
        preprocessing: Preprocessing,
        loss: Loss,
        sampler: Optional[WindowSampler],
        train: Samples,
        init_state: InitState = InitState(),  # noqa: B008 - frozen
        slide: int = 0,
        accumulate: bool = False,
        portion_bytes: Optional[int] = None,
    ):
        self.steps = sampler.steps if sampler is not None else 0
        self.note = sampler.note if isinstance(sampler, SlidingWindowSampler) else ""
        self._net, self.compute, self._preprocessing = net, compute, preprocessing
        self._extract = compute.maybe_compiled(net.extract)
        self._loss, self._sampler, self._train = loss, sampler, train
        self._init_state, self._slide, self._accumulate = init_state, slide, accumulate
        inputs_at_once = PORTION_BYTES if portion_bytes is None else portion_bytes
        self._portion = max(1, inputs_at_once // (3 * 4 * math.prod(preprocessing.size)))
        self._frozen = not any(parameter.requires_grad for parameter in net.features.parameters())
        self._inputs = InputLoader(train, preprocessing, compute)
        self._evaluation = EvaluationLoader(preprocessing, compute)
        self._sliding = isinstance(sampler, SlidingWindowSampler)
        # S-TBPTT: states of the runs in progress. WW-TBPTT with `carried`: the final state of each window.
        self._carried: Optional[State] = None
        if isinstance(sampler, RandomWindowSampler) and init_state.kind == "carried":
            self._carried = net.initial_state(len(train.yaw) // sampler.length + 1, compute.device)

    def frames(self, episode: int, step: int) -> np.ndarray:
        """The frames whose labels a batch learns: int64 (frames,), in the order of `Windows.frames`."""
        return self._sampler.windows(episode, step).frames

    def learn(self, episode: int, step: int, tick: Tick = lambda: None) -> BatchResult:
        """Add the gradients of a batch to those in the parameters (see `Method`)."""
        windows = self._sampler.windows(episode, step)
        done = self.learn_from(windows, tick)
        complete = windows.is_last or step == self.steps - 1 or not (self._sliding and self._accumulate)
        return done._replace(complete=complete)

    def learn_from(self, windows: Windows, tick: Tick = lambda: None) -> BatchResult:
        """Add the gradients of a batch of windows of the training set to those in the parameters."""
        if self.compute.device == "cuda":
            # cuDNN draws an LSTM's dropout from its own random state; setting torch's random state reseeds it
            torch.cuda.set_rng_state(torch.cuda.get_rng_state())
        state = self._initial(windows, tick)
        frames = windows.frames
        targets = on_device(self._loss.targets(self._train.yaw[frames]), self.compute.device)
        portions = np.array_split(frames, -(-len(frames) // self._portion))
        again = len(portions) > 1 and not self._frozen
        if again or self._frozen:
            features = torch.cat([self._features(self._inputs, part, tick) for part in portions])
            features.requires_grad_(again)
        else:
            features = self._convolve(frames)
        outputs, state = self._recur(features, windows, state)
        loss = self._loss(outputs, targets)
        loss.backward()
        if again:
            gradients = features.grad.split([len(part) for part in portions])
            for part, gradient in zip(portions, gradients):
                tick()
                self._convolve(part).backward(gradient)
        self._carry(windows, state)
        waiting, self._inputs.wait_seconds = self._inputs.wait_seconds, 0.0
        return BatchResult(loss.detach(), outputs.detach(), waiting)

    def _convolve(self, frames: np.ndarray) -> torch.Tensor:
        """Compute features of training frames, float32 (n, features), with their graph."""
        with self.compute.autocast():
            return self._extract(self._inputs(frames)).float()

    @torch.no_grad()
    def _features(self, inputs: InputLoader, frames: np.ndarray, tick: Tick) -> torch.Tensor:
        """Compute features without a graph: float32 (n, features)."""
        features = []
        for first in range(0, len(frames), self._portion):
            tick()
            with self.compute.autocast():
                features.append(self._net.extract(inputs(frames[first : first + self._portion])).float())
        return torch.cat(features) if len(features) != 1 else features[0]

    def _recur(self, features: torch.Tensor, windows: Windows, state: State) -> tuple[torch.Tensor, State]:
        """Compute the outputs of all frames (frames, outputs), and the final state, detached.

        Sequences shorter than the longest are padded at the end, after all their frames.
        """
        lengths = torch.from_numpy(windows.length).to(features.device)
        longest = int(windows.length.max())
        if windows.equal_length:
            padded = features.unflatten(0, (longest, len(lengths))).transpose(0, 1)
        else:
            inside = torch.arange(longest, device=features.device)[None] < lengths[:, None]
            padded = features.new_zeros(len(lengths), longest, features.shape[1])
            padded[inside] = features
        # the next window starts `slide` frames later: carry the state after those frames
        part = self._slide if self._sliding and 0 < self._slide < longest and not windows.is_last else longest
        outputs, state = self._net.recur(padded[:, :part], state)
        carried = tuple(value.detach() for value in state)
        if part < longest:
            rest, _ = self._net.recur(padded[:, part:], state)
            outputs = torch.cat([outputs, rest], dim=1)
        return (outputs.transpose(0, 1).flatten(0, 1) if windows.equal_length else outputs[inside]), carried

    def _initial(self, windows: Windows, tick: Tick) -> State:
        """The initial states of the windows."""
        fresh = self._net.initial_state(len(windows.first), self.compute.device)
        if self._sliding:
            if windows.is_first or self._carried is None:  # None: only another training's counts were loaded
                return fresh
            stream = torch.from_numpy(windows.stream).to(self.compute.device)
            return tuple(value.index_select(1, stream) for value in self._carried)
        if isinstance(self._sampler, WholeRunSampler) or self._init_state.kind == "zero":
            return fresh
        if self._init_state.kind == "carried":
            return self._recall(windows, fresh)
        return self._burn_in(windows, fresh, tick)

    @torch.no_grad()
    def _burn_in(self, windows: Windows, state: State, tick: Tick) -> State:
        """Run the current network, in evaluation mode, from zero over the frames before the windows."""
        begins, step = self._train.first_of(windows.first), windows.step
        if self._init_state.kind == "burn_in":
            begins = np.maximum(begins, windows.first - step * self._init_state.frames)
        earlier = (windows.first - begins) // step
        with evaluating(self._net):
            if self._init_state.kind == "burn_in":
                # group by number of frames: nearly all windows are in one group
                for count in np.unique(earlier[earlier > 0]).tolist():
                    group = np.flatnonzero(earlier == count)
                    frames = (windows.first[group] + step * np.arange(-count, 0)[:, None]).ravel()
                    features = self._features(self._inputs, frames, tick).unflatten(0, (count, len(group)))
                    self._put(state, group, self._net.recur(features.transpose(0, 1))[1])
                return state
            # windows of the same run share the frames before the first window
            for begin in np.unique(begins[earlier > 0]).tolist():
                after: Optional[State] = None
                for first in np.unique(windows.first[begins == begin]).tolist():
                    if first > begin:
                        features = self._features(self._inputs, np.arange(begin, first), tick)
                        _, after = self._net.recur(features[None], after)
                        self._put(state, np.flatnonzero(windows.first == first), after)
                        begin = first
        return state

    @staticmethod
    def _put(state: State, places: np.ndarray, values: State) -> None:
        """Write states into some places; a single state is written into all of them."""
        for value, new in zip(state, values):
            value[:, torch.from_numpy(places).to(value.device)] = new

    def _recall(self, windows: Windows, fresh: State) -> State:
        """The final states of the preceding windows; zero for the first window of a run."""
        later = np.flatnonzero(windows.first > self._train.first_of(windows.first))
        places = torch.from_numpy(self._places(windows.first[later] - 1)).to(self.compute.device)
        self._put(fresh, later, tuple(value.index_select(1, places) for value in self._carried))
        return fresh

    def _places(self, last: np.ndarray) -> np.ndarray:
        """The places, in the carried states, of the windows that end with these frames."""
        # the ends of two windows on the grid are at least one window apart
        return last // self._sampler.length

    def _carry(self, windows: Windows, state: State) -> None:
        if self._sliding:
            kept = self._net.initial_state(self._sampler.batch, self.compute.device)
            self._put(kept, windows.stream, state)
            self._carried = kept
        elif self._carried is not None:
            self._put(self._carried, self._places(windows.first + windows.length - 1), state)

    @torch.no_grad()
    def outputs(self, samples: Samples, tick: Tick = lambda: None) -> torch.Tensor:
        """Compute the outputs in evaluation mode for all samples; each run from its start, as in flight.

        Returns:
            float32 (samples, outputs).
        """
        inputs, parts = self._evaluation(samples), []
        with evaluating(self._net):
            for first, end in zip(samples.starts, samples.starts[1:]):
                features = self._features(inputs, np.arange(first, end), tick)
                outputs, _ = self._net.recur(features[None])
                parts.append(outputs[0].cpu())
        return torch.cat(parts)

    def state(self) -> dict[str, Any]:
        """The states carried from batch to batch: `h` and `c`; empty if no state is carried."""
        if self._carried is None:
            return {}
        return {name: value.detach().cpu().clone() for name, value in zip("hc", self._carried)}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a `state()`."""
        if state:
            self._carried = tuple(state[name].to(self.compute.device) for name in "hc")

    def close(self) -> None:
        """Release the training set and the last evaluated split."""
        self._inputs.close()
        self._evaluation.close()
        del self._inputs, self._sampler, self._train
