"""The trainer: episodes of up to 100 batches, each followed by validation over the whole set.

The trainer holds everything that a checkpoint has to bring back. It is between two batches whenever
`tick` is called; `tick` may raise there, and `checkpoint()` then holds the state exactly.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np
import torch
from torch import nn

from nav_pkg.core import LearnerError
from nav_pkg.learn import determinism
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches import Order, Samples
from nav_pkg.learn.checkpoint import Checkpoint
from nav_pkg.learn.losses import Loss
from nav_pkg.learn.metrics import majority_class, scores
from nav_pkg.learn.preprocess import Preprocessing

_EVALUATION_BATCH = 64
_REMEDY = "lower --learning_rate or give --clip 1; my-model is from before"

Tick = Callable[[], None]


@dataclass
class Timing:
    """Where the time of an episode's training batches went (this process's share of them).

    Attributes:
        samples: frames trained on.
        seconds: wall time of these batches.
        waiting: of it, the time until each batch was ready on the device.
    """

    samples: int = 0
    seconds: float = 0.0
    waiting: float = 0.0

    @property
    def samples_per_second(self) -> float:
        """Frames trained on per second; 0 when there were none."""
        return self.samples / self.seconds if self.seconds else 0.0

    @property
    def waiting_share(self) -> float:
        """Share of the time that was spent waiting for data."""
        return self.waiting / self.seconds if self.seconds else 0.0


class Trainer:
    """Trains a feed-forward network on frames in memory.

    Args:
        network: the network's name in the registry.
        net: the network; moved to the device.
        net_options: the options that it was built with.
        action_space: what its outputs mean.
        preprocessing: how the samples' images become its input.
        loss: what is minimised.
        optimizer_name: name in torch.optim.
        make_optimizer: gives the optimiser for the network's parameters.
        order: which frames make up each batch.
        train: the training set.
        val: the validation set.
        dataset: name and hash, for the checkpoint.
        device: torch device.
        clip: largest norm of the gradient; 0 for no limit.
        max_steps: gradient steps after which training ends; 0 for no limit.

    Attributes:
        episode: episodes done.
        step: training batches done in the present episode.
        updates: gradient steps done in all.
        timing: of the episode that ran last.
    """

    def __init__(
        self,
        *,
        network: str,
        net: nn.Module,
        net_options: dict[str, Any],
        action_space: ActionSpace,
        preprocessing: Preprocessing,
        loss: Loss,
        optimizer_name: str,
        make_optimizer: Callable[[Any], torch.optim.Optimizer],
        order: Order,
        train: Samples,
        val: Samples,
        dataset: dict[str, str],
        device: str = "cpu",
        clip: float = 0.0,
        max_steps: int = 0,
    ):
        self.net = net.to(device)
        self.optimizer = make_optimizer(self.net.parameters())
        self.episode = self.step = self.updates = 0
        self.timing = Timing()
        self.majority_class = majority_class(action_space, train.yaw)
        self._network, self._net_options, self._optimizer_name = network, net_options, optimizer_name
        self._space, self._preprocessing, self._loss = action_space, preprocessing, loss
        self._order, self._train, self._val = order, train, val
        self._dataset, self._device, self._clip, self._max_steps = dataset, device, clip, max_steps
        self._losses = torch.zeros(order.steps, device=device)
        self._outputs: list[torch.Tensor] = []
        self._buffers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def steps(self) -> int:
        """Training batches of the present episode (the last one is shorter under max_steps)."""
        if not self._max_steps:
            return self._order.steps
        return min(self._order.steps, self._max_steps - (self.updates - self.step))

    def finished(self, max_episodes: int) -> bool:
        """Whether so many episodes, or max_steps, are done."""
        steps_done = self._max_steps and self.updates >= self._max_steps and not self.step
        return self.episode >= max_episodes or bool(steps_done)

    def run_episode(self, tick: Tick = lambda: None) -> dict[str, Any]:
        """Train to the end of the present episode, validate, and go on to the next.

        Args:
            tick: called between batches, of training and validation; may raise.

        Returns:
            `episode` (from 1), `updates`, and the scores `train` and `val`. Those of training are
            of each batch just before its gradient step, in training mode.

        Raises:
            LearnerError: a loss is not finite.
        """
        self.timing = Timing()
        self.net.train()
        while self.step < self.steps:
            tick()
            self._train_batch()
        self._check_losses(0, self.step)
        record = {
            "episode": self.episode + 1,
            "updates": self.updates,
            "train": self._train_scores(),
            "val": self.evaluate(self._val, tick),
        }
        self.episode, self.step, self._outputs = self.episode + 1, 0, []
        return record

    def _train_batch(self) -> None:
        start = time.perf_counter()
        indices = self._order.indices(self.episode, self.step)
        inputs = self._inputs(self._train, indices)
        targets = self._loss.targets(self._train.yaw[indices]).to(self._device)
        ready = time.perf_counter()
        outputs = self.net(inputs)
        loss = self._loss(outputs, targets)
        self._losses[self.step] = loss.detach()
        if self._device == "cpu":  # a GPU would have to be waited for; its losses are checked later
            self._check_losses(self.step, self.step + 1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self._clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), self._clip)
        self.optimizer.step()
        self._outputs.append(outputs.detach())
        self.step += 1
        self.updates += 1
        self.timing.samples += len(indices)
        self.timing.waiting += ready - start
        self.timing.seconds += time.perf_counter() - start

    def _inputs(self, samples: Samples, indices: np.ndarray) -> torch.Tensor:
        """The input for some samples, on the device; valid until the next call."""
        # Two buffers a batch size are used again and again: fresh memory costs as much as the work.
        if len(indices) not in self._buffers:
            shape = (len(indices), 3, *self._preprocessing.size)
            pixels = torch.empty(shape, dtype=torch.uint8)
            self._buffers[len(indices)] = pixels, torch.empty(shape, device=self._device)
        pixels, inputs = self._buffers[len(indices)]
        samples.gather(indices, out=pixels.numpy())
        return self._preprocessing.normalise(pixels.to(self._device), out=inputs)

    def _check_losses(self, first: int, end: int) -> None:
        finite = torch.isfinite(self._losses[first:end])
        if not finite.all():
            step = first + int((~finite).nonzero()[0])
            raise LearnerError(
                f"the loss became {float(self._losses[step])} at episode {self.episode + 1}, "
                f"step {step + 1}: {_REMEDY}"
            )

    def _train_scores(self) -> dict[str, Any]:
        steps = self.step
        order = np.concatenate([self._order.indices(self.episode, step) for step in range(steps)])
        outputs = torch.cat(self._outputs).double().cpu().numpy()
        loss = float(self._losses[:steps].double().mean())
        return scores(self._space, outputs, self._train.yaw[order], loss, self.majority_class)

    @torch.no_grad()
    def evaluate(self, samples: Samples, tick: Tick = lambda: None) -> dict[str, Any]:
        """The scores over all samples, in evaluation mode.

        Args:
            samples: at least one.
            tick: called between batches; may raise.

        Raises:
            LearnerError: the network's outputs are not finite.
        """
        was_training = self.net.training
        self.net.eval()
        outputs, total = [], 0.0
        try:
            for start in range(0, len(samples), _EVALUATION_BATCH):
                tick()
                indices = np.arange(start, min(start + _EVALUATION_BATCH, len(samples)))
                batch = self.net(self._inputs(samples, indices))
                targets = self._loss.targets(samples.yaw[indices]).to(self._device)
                total += float(self._loss(batch, targets)) * len(indices)
                outputs.append(batch.double().cpu().numpy())
        finally:
            self.net.train(was_training)
        if not math.isfinite(total):
            raise LearnerError(
                f"the network's outputs are not finite after {self.updates} gradient steps: {_REMEDY}"
            )
        return scores(
            self._space, np.concatenate(outputs), samples.yaw, total / len(samples), self.majority_class
        )

    def release(self) -> None:
        """Let go of the training and validation set, after the last episode."""
        del self._train, self._val

    def checkpoint(self) -> Checkpoint:
        """The present state, complete; its tensors are shared with the trainer on the CPU.

        Raises:
            LearnerError: a loss of the present episode is not finite.
        """
        self._check_losses(0, self.step)
        return Checkpoint(
            network=self._network,
            outputs=self._space.outputs,
            net_options=self._net_options,
            action_space=self._space,
            preprocessing=self._preprocessing,
            model_state_dict={key: value.detach().cpu() for key, value in self.net.state_dict().items()},
            optimizer=self._optimizer_name,
            optimizer_state_dict=_to_cpu(self.optimizer.state_dict()),
            episode=self.episode,
            step=self.step,
            updates=self.updates,
            progress={
                "losses": self._losses[: self.step].cpu().clone(),
                "outputs": torch.cat(self._outputs).cpu() if self._outputs else torch.zeros(0),
            },
            random_states=determinism.random_states(),
            dataset=self._dataset,
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on exactly where a checkpoint of the same run was made."""
        self.continue_from(checkpoint)
        self.step = checkpoint.step
        self._losses[: self.step] = checkpoint.progress["losses"].to(self._device)
        self._outputs = [checkpoint.progress["outputs"].to(self._device)] if self.step else []
        determinism.restore_random_states(checkpoint.random_states)

    def continue_from(self, checkpoint: Checkpoint) -> None:
        """Take over a checkpoint's weights, optimiser state and count of episodes; the rate stays."""
        self.net.load_state_dict(checkpoint.model_state_dict)
        if checkpoint.optimizer_state_dict is not None:
            rates = [group["lr"] for group in self.optimizer.param_groups]
            self.optimizer.load_state_dict(checkpoint.optimizer_state_dict)
            for group, rate in zip(self.optimizer.param_groups, rates):
                group["lr"] = rate
        self.episode, self.updates = checkpoint.episode, checkpoint.updates


def _to_cpu(value: Any) -> Any:
    """A nest of dicts and lists with its tensors on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _to_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_to_cpu(item) for item in value)
    return value
