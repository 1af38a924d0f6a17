"""The gradient steps of learning in flight, on frames of the replay buffer."""

from __future__ import annotations

import threading
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import torch
from torch import nn

from nav_pkg.config.learner import LearnerConfig
from nav_pkg.core import LearnerError
from nav_pkg.learn.methods.method import BatchResult, FrameMethod, evaluating
from nav_pkg.learn.methods.optimizers import optimizer_step
from nav_pkg.learn.methods.recurrent import InitState, RecurrentMethod
from nav_pkg.learn.online.continual import MemoryAwareSynapses, PlateauDetector
from nav_pkg.learn.online.replay import ReplayBuffer
from nav_pkg.learn.training.log import say
from nav_pkg.learn.training.parts import TrainingParts

REMEDY = "lower --learning_rate or give --clip 1; my-model is from the start of the run"


class GradientSteps:
    """Takes gradient steps on frames of the replay buffer.

    Args:
        config: the settings of main.py.
        parts: loss, optimiser, preprocessing ... built from the settings.
        net: the network in training, on its device.
        replay: the replay buffer.

    Attributes:
        weights_lock: held while the weights change: a command uses the weights before or after a step, never
            a mix.
        optimizer: the optimiser of the trainable parameters.
        updates: total gradient steps.
        loss: of the last gradient step; None before the first.
        outputs, labels, losses: of the gradient steps since `reset_statistics`.
    """

    def __init__(self, config: LearnerConfig, parts: TrainingParts, net: nn.Module, replay: ReplayBuffer):
        self._config, self._parts, self._net, self._replay = config, parts, net, replay
        self.weights_lock = threading.Lock()
        self._trainable = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self.reset_optimizer()
        self._method = self._make_method()
        self._plateau = PlateauDetector(
            config.loss_window_length, config.loss_window_mean_threshold, config.loss_window_std_threshold
        )
        self._mas = MemoryAwareSynapses(self._trainable, config.continual_learning_lambda)
        self.updates = 0
        self.loss: Optional[float] = None
        self.reset_statistics()

    def reset_optimizer(self) -> None:
        """Create the optimiser anew, without the state of earlier steps."""
        self.optimizer = self._parts.make_optimizer(self._trainable)

    def reset_statistics(self) -> None:
        """Begin a run: clear the outputs, labels and losses."""
        self.outputs: List[torch.Tensor] = []
        self.labels: List[np.ndarray] = []
        self.losses: List[float] = []

    def state(self) -> Dict[str, Any]:
        """The state of continual learning, for a checkpoint."""
        return {"plateau": self._plateau.state(), "mas": self._mas.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a `state()`."""
        self._plateau.restore(state["plateau"])
        self._mas.restore(state["mas"])

    def _make_method(self) -> Any:
        common = (
            self._net,
            self._parts.compute,
            self._parts.preprocessing,
            self._parts.criterion,
            None,
            self._replay,
        )
        method_flags = self._parts.method_flags
        if method_flags.recurrent:
            zero = InitState("zero", 0)
            return RecurrentMethod(
                *common, init_state=method_flags.init_state if self._config.init_state else zero
            )
        return FrameMethod(*common, method_flags.n_frames)

    @property
    def ready(self) -> bool:
        """Whether the buffer holds enough frames and gradient steps are left."""
        args, method_flags = self._config, self._parts.method_flags
        if args.max_steps and self.updates >= args.max_steps:
            return False
        if len(self._replay) < max(args.batch_size, args.min_buffer_size):
            return False
        if method_flags.recurrent:
            return self._replay.windows_held(method_flags.time_length) >= args.batch_size
        return len(self._replay.candidates(method_flags.n_frames)) >= args.batch_size

    def take_due_steps(self) -> None:
        """Take the gradient steps due after a frame.

        Raises:
            LearnerError: the loss is not finite.
        """
        for _ in range(self._config.gradient_steps):
            if self.ready:
                self._gradient_step()
        if self._replay.eviction_rule == "empty":
            self._replay.clear()

    def _gradient_step(self) -> None:
        args = self._config
        self.optimizer.zero_grad(set_to_none=True)
        frames, result = self._gradients()
        loss = float(result.loss)
        if not np.isfinite(loss):
            raise LearnerError(f"the loss became {loss} at gradient step {self.updates + 1}: {REMEDY}")
        if args.continual_learning:
            self._mas.add_gradients()
        rate = None if self._parts.lr_schedule is None else self._parts.lr_schedule(self.updates)
        with self.weights_lock:
            optimizer_step(self.optimizer, self._trainable, args.clip, rate)
        self.updates += 1
        self.loss = loss
        labels = self._replay.yaw[frames]
        if self._replay.eviction_rule == "hard" or args.replay_priority == "loss":
            frame_losses = self._parts.criterion.per_frame(
                result.outputs.cpu(), self._parts.criterion.targets(labels)
            )
            self._replay.store_losses(frames, frame_losses.numpy())
        self.outputs.append(result.outputs)
        self.labels.append(labels)
        self.losses.append(loss)
        if args.continual_learning and self._plateau.plateau_begins(loss):
            self._update_importance()

    def _gradients(self) -> Tuple[np.ndarray, BatchResult]:
        args, method_flags = self._config, self._parts.method_flags
        if method_flags.recurrent:
            windows = self._replay.windows(
                args.batch_size, method_flags.time_length, args.random_seed, self.updates
            )
            return windows.frames, self._method.learn_from(windows)
        frames = self._replay.batch(
            args.batch_size,
            args.random_seed,
            self.updates,
            count=method_flags.n_frames,
            balanced=args.normalized_output,
            priority=args.replay_priority,
        )
        return frames, self._method.learn_from(frames)

    def _update_importance(self) -> None:
        """Compute the importance for memory aware synapses, frame by frame, over the buffer's candidates."""
        say(f"plateau after {self.updates} gradient steps: importance over {len(self._replay)} frames")
        count = max(1, self._parts.method_flags.n_frames)
        recurrent = self._parts.method_flags.recurrent

        def outputs(frame: int) -> torch.Tensor:
            past = self._replay.recent(np.array([frame]), count)[0]
            pixels = np.empty((len(past), *self._replay.image_shape), np.uint8)
            self._replay.gather(past, pixels)
            images = self._parts.preprocessing.normalise(
                torch.from_numpy(pixels).to(self._parts.compute.device)
            )
            if recurrent:
                return self._net(images[None], None)[0]
            return self._net(images[None] if self._parts.method_flags.n_frames else images)

        # cuDNN has no backward pass for an LSTM in evaluation mode; torch's own kernels have one
        with evaluating(self._net), torch.backends.cudnn.flags(enabled=not recurrent):
            self._mas.update_importance(outputs, self._replay.candidates(count).tolist(), lambda: None)
