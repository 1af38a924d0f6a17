"""The trainer: runs episodes of up to 100 batches and validates over the whole set after each.

The trainer holds all state that a checkpoint must restore. `tick` is called by the trainer, and by the
method of learning within a batch. It may raise. After that, `checkpoint()` returns exactly the state after
the last complete batch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np
import torch
from torch import nn

from nav_pkg.core import LearnerError, UsageError
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.batches.samples import Samples
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint, check_weights
from nav_pkg.learn.methods.compute import ComputeSettings
from nav_pkg.learn.methods.losses import Loss
from nav_pkg.learn.methods.method import Method, Tick
from nav_pkg.learn.methods.metrics import majority_class, scores
from nav_pkg.learn.methods.optimizers import LRSchedule, optimizer_step, restore_optimizer
from nav_pkg.learn.training import determinism

_REMEDY = "lower --learning_rate or give --clip 1; my-model is from before"


@dataclass
class Timing:
    """Timing of the training batches of an episode; only of the batches that this process trained.

    Attributes:
        samples: frames trained on.
        seconds: wall time of these batches.
        wait_seconds: part of `seconds` in which a batch waited for its images on the device.
    """

    samples: int = 0
    seconds: float = 0.0
    wait_seconds: float = 0.0

    @property
    def samples_per_second(self) -> float:
        """Frames trained on per second; 0 if no frame was."""
        return self.samples / self.seconds if self.seconds else 0.0

    @property
    def waiting_share(self) -> float:
        """Share of the time spent waiting for data."""
        return self.wait_seconds / self.seconds if self.seconds else 0.0


class Trainer:
    """Trains a network with a method of learning.

    Args:
        network: the network's name in the registry.
        net: the network, already placed by `compute`.
        net_options: the options that the network was built with.
        action_space: meaning of the network's outputs.
        preprocessing: turns images into the network's input.
        compute: device, precision and memory format of the computation.
        method: computes gradients and outputs.
        loss: the loss to minimise.
        optimizer_name: name in torch.optim.
        make_optimizer: creates the optimiser for the trainable parameters.
        lr_schedule: learning rate by number of gradient steps; None for a constant rate.
        train: the training set.
        val: the validation set.
        dataset: name, hash and camera, for the checkpoint.
        clip: largest norm of the gradient; 0 for no limit.
        max_steps: gradient steps after which training ends; 0 for no limit.

    Attributes:
        episode: completed episodes.
        before: the part of `episode` that another log's run completed (--continue_training); None if the
            checkpoint does not hold it.
        step: completed training batches of the current episode.
        updates: completed gradient steps in total.
        timing: timing of the last episode.
    """

    def __init__(
        self,
        *,
        network: str,
        net: nn.Module,
        net_options: dict[str, Any],
        action_space: ActionSpace,
        preprocessing: Preprocessing,
        compute: ComputeSettings,
        method: Method,
        loss: Loss,
        optimizer_name: str,
        make_optimizer: Callable[[Any], torch.optim.Optimizer],
        train: Samples,
        val: Samples,
        dataset: dict[str, Any],
        lr_schedule: Optional[LRSchedule] = None,
        clip: float = 0.0,
        max_steps: int = 0,
    ):
        self.net, self.method = net, method
        self._trainable = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self.optimizer = make_optimizer(self._trainable)
        self.episode = self.step = self.updates = 0
        self.before: Optional[int] = 0
        self.timing = Timing()
        self.majority_class = majority_class(action_space, train.yaw[train.frames])
        self._network, self._net_options, self._optimizer_name = network, net_options, optimizer_name
        self._space, self._preprocessing, self._loss = action_space, preprocessing, loss
        self._train, self._val, self._dataset = train, val, dataset
        self._device, self._lr_schedule = compute.device, lr_schedule
        self._clip, self._max_steps = clip, max_steps
        self._losses = torch.zeros(method.steps, device=self._device)
        self._outputs: list[torch.Tensor] = []
        self._accumulated = 0  # batches whose gradients are accumulated but not yet applied by the optimiser

    @property
    def steps(self) -> int:
        """Number of training batches in the current episode, limited by `max_steps`."""
        if not self._max_steps:
            return self.method.steps
        return min(self.method.steps, self.step + max(0, self._max_steps - self.updates))

    def finished(self, max_episodes: int) -> bool:
        """Whether `max_episodes` or `max_steps` is reached and no episode is in progress."""
        steps_done = self._max_steps and self.updates >= self._max_steps
        return not self.step and (self.episode >= max_episodes or bool(steps_done))

    def run_episode(self, tick: Tick = lambda: None, between: Tick = lambda: None) -> dict[str, Any]:
        """Train to the end of the current episode, validate, and move on to the next episode.

        Args:
            tick: called between batches, and within a batch if it takes long; may raise.
            between: called after each training batch.

        Returns:
            `episode` (from 1), `updates`, and the scores `train` and `val`. The training scores of each
            batch are computed just before its gradient step, in training mode.

        Raises:
            LearnerError: a loss is not finite.
        """
        self.timing = Timing()
        self.net.train()
        while self.step < self.steps:
            tick()
            self.train_batch(tick)
            between()
        self._check_losses(0, self.step)
        self._wait_for_gpu()
        record = {
            "episode": self.episode + 1,
            "updates": self.updates,
            "train": self._train_scores(),
            "val": self.evaluate(self._val, tick),
        }
        self.episode, self.step, self._outputs = self.episode + 1, 0, []
        return record

    def train_batch(self, tick: Tick = lambda: None) -> None:
        """Train on the next batch of the episode; `run_episode` calls this for the whole episode.

        Args:
            tick: as for `run_episode`.

        Raises:
            LearnerError: on the CPU, the loss of the batch is not finite; the weights are not changed.
        """
        start = time.perf_counter()
        if not self._accumulated:
            self.optimizer.zero_grad(set_to_none=True)
        before = determinism.random_states()
        # not on a GPU: its batches are short and never tick, so the copies would cost more than they save
        buffers = [buffer.clone() for buffer in self.net.buffers()] if self._device == "cpu" else []
        accumulated = (
            [None if p.grad is None else p.grad.clone() for p in self._trainable] if self._accumulated else []
        )
        try:
            result = self.method.learn(self.episode, self.step, tick)
        except BaseException:
            determinism.restore_random_states(before)
            for parameter, gradient in zip(self._trainable, accumulated):
                parameter.grad = gradient
            for buffer, value in zip(self.net.buffers(), buffers):
                buffer.copy_(value)
            raise
        self._losses[self.step] = result.loss
        if self._device == "cpu":  # on a GPU this would wait for the batch; its losses are checked later
            self._check_losses(self.step, self.step + 1)
        self._accumulated += 1
        if result.complete:
            self._update()
        self._outputs.append(result.outputs)
        self.step += 1
        self.timing.samples += len(result.outputs)
        self.timing.wait_seconds += result.wait_seconds
        self.timing.seconds += time.perf_counter() - start

    def _update(self) -> None:
        if self._accumulated > 1:
            for parameter in self._trainable:
                if parameter.grad is not None:
                    parameter.grad.div_(self._accumulated)
        rate = None if self._lr_schedule is None else self._lr_schedule(self.updates)
        optimizer_step(self.optimizer, self._trainable, self._clip, rate)
        self.updates += 1
        self._accumulated = 0

    def _wait_for_gpu(self) -> None:
        """Add the time of the GPU's pending work to the episode's time; the GPU works asynchronously."""
        if self._device == "cuda":
            start = time.perf_counter()
            torch.cuda.synchronize()
            self.timing.seconds += time.perf_counter() - start

    def _check_losses(self, first: int, end: int) -> None:
        finite = torch.isfinite(self._losses[first:end])
        if not finite.all():
            step = first + int((~finite).nonzero()[0])
            raise LearnerError(
                f"the loss became {float(self._losses[step])} at episode {self.episode + 1}, "
                f"step {step + 1}: {_REMEDY}"
            )

    def _train_scores(self) -> dict[str, Any]:
        frames = np.concatenate([self.method.frames(self.episode, step) for step in range(self.step)])
        outputs = torch.cat(self._outputs).double().cpu().numpy()
        loss = float(self._losses[: self.step].double().mean())
        return scores(self._space, outputs, self._train.yaw[frames], loss, self.majority_class)

    def evaluate(self, samples: Samples, tick: Tick = lambda: None) -> dict[str, Any]:
        """Compute the scores over all samples, in evaluation mode.

        Args:
            samples: at least one.
            tick: called between batches; may raise.

        Raises:
            LearnerError: the network's outputs are not finite.
        """
        outputs = self.method.outputs(samples, tick)
        if not torch.isfinite(outputs).all():
            raise LearnerError(
                f"the network's outputs are not finite after {self.updates} gradient steps: {_REMEDY}"
            )
        yaw = samples.yaw[samples.frames]
        loss = float(self._loss(outputs.double(), self._loss.targets(yaw)))
        return scores(self._space, outputs.double().numpy(), yaw, loss, self.majority_class)

    def release(self) -> None:
        """Release the training and validation sets after the last episode."""
        self.method.close()
        del self._train, self._val

    def checkpoint(self) -> Checkpoint:
        """Return the complete current state; on the CPU its tensors are shared with the trainer.

        Raises:
            LearnerError: a loss of the current episode, or a weight, is not finite.
        """
        self._check_losses(0, self.step)
        for name, parameter in self.net.named_parameters():
            if not torch.isfinite(parameter).all():
                raise LearnerError(f"{name} is not finite after {self.updates} gradient steps: {_REMEDY}")
        progress: dict[str, Any] = {
            "losses": self._losses[: self.step].cpu().clone(),
            "outputs": torch.cat(self._outputs).cpu() if self._outputs else torch.zeros(0),
            "method": self.method.state(),
            "summed": self._accumulated,
            "before": self.before,
        }
        if self._accumulated:
            progress["gradients"] = [
                None if parameter.grad is None else parameter.grad.cpu() for parameter in self._trainable
            ]
        return Checkpoint(
            network=self._network,
            outputs=self._space.outputs,
            net_options=self._net_options,
            action_space=self._space,
            preprocessing=self._preprocessing,
            model_state_dict=plain_state(self.net),
            optimizer=self._optimizer_name,
            optimizer_state_dict=to_cpu(self.optimizer.state_dict()),
            episode=self.episode,
            step=self.step,
            updates=self.updates,
            progress=progress,
            random_states=determinism.random_states(),
            dataset=self._dataset,
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Resume exactly where a checkpoint of the same run was saved."""
        self.continue_from(checkpoint)
        progress = checkpoint.progress
        self.step, self.before = checkpoint.step, progress.get("before")
        self._losses[: self.step] = progress["losses"].to(self._device)
        self._outputs = [progress["outputs"].to(self._device)] if self.step else []
        self.method.restore(progress["method"])
        self._accumulated = progress["summed"]
        if self._accumulated:
            for parameter, gradient in zip(self._trainable, progress["gradients"]):
                parameter.grad = None if gradient is None else gradient.to(self._device)
        determinism.restore_random_states(checkpoint.random_states)

    def continue_from(self, checkpoint: Checkpoint, optimizer: bool = True) -> None:
        """Load a checkpoint's weights, its counts and, if `optimizer` is set, its optimiser state.

        The optimiser keeps its own options (rate, momentum ...).

        Raises:
            UsageError: the checkpoint was trained with other trainable parameters.
            DataError: the weights do not fit.
        """
        check_weights(self.net, checkpoint.model_state_dict, f"a checkpoint of {checkpoint.network}")
        self.net.load_state_dict(checkpoint.model_state_dict)
        self.episode, self.updates = checkpoint.episode, checkpoint.updates
        self.before = self.episode
        state = checkpoint.optimizer_state_dict
        if state is None or not optimizer:
            return
        if len(state["param_groups"][0]["params"]) != len(self._trainable):
            raise UsageError(
                "--continue_training: the checkpoint was trained with other parameters frozen: give the same "
                "--feature_extract, or leave --continue_training out"
            )
        restore_optimizer(self.optimizer, state)


def plain_state(net: nn.Module) -> dict[str, torch.Tensor]:
    """A network's parameters and buffers on the CPU, in the default memory format.

    Kernels in another memory format are converted back: the checkpoint must not depend on it.
    """
    return {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}


def to_cpu(value: Any) -> Any:
    """Copy a nest of dicts and lists, with its tensors on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: to_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to_cpu(item) for item in value)
    return value
