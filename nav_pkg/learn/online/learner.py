"""Learning in flight: store each frame with the expert's label in the replay buffer, then do gradient steps.

This module does not use ROS. The caller, which flies the robot, calls `new_run`, `command_of` for every
image, `observe` for every answered frame, and `end_run`, which writes a checkpoint. The result is a pure
function of the frames, the flags and the seed. In lock-step, learning takes no simulated time.

The state on disk is always the state at the end of a run. An interrupted run is flown again from its start
and gives the same result as without the interruption.
"""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch

from nav_pkg import nets, schemas
from nav_pkg.config.learner import RESUMES_IN_FLIGHT, LearnerConfig
from nav_pkg.core import Command, LearnerError, UsageError
from nav_pkg.data.files import atomic_write, parse_object, to_json
from nav_pkg.learn.batches.recovery import Recovery
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.checkpoints.checkpoint import MODEL_FILE, Checkpoint
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.methods.metrics import majority_class, scores
from nav_pkg.learn.methods.optimizers import restore_optimizer
from nav_pkg.learn.online.gradient_steps import REMEDY, GradientSteps
from nav_pkg.learn.online.online_flags import capacity, check_learner, flight_facts, resumable, side_cameras
from nav_pkg.learn.online.prefill import Prefill
from nav_pkg.learn.online.replay import ReplayBuffer
from nav_pkg.learn.online.replay_file import ReplaySegments
from nav_pkg.learn.training import determinism, folder
from nav_pkg.learn.training.log import TrainingLog, say
from nav_pkg.learn.training.parts import TrainingParts, bins
from nav_pkg.learn.training.trainer import plain_state, to_cpu


class OnlineLearner:
    """A network that learns while it flies.

    Args:
        config: the settings of main.py.
        where: the log folder; only this process may use it.
        camera: width and height of the camera, pixels.
        sides: names of the robot's side cameras (`left`, `right`).

    Attributes:
        where: the log folder.
        runs: facts of the runs learned from, by run number, as given to `end_run`.
        parts: network, loss, optimiser, preprocessing ... built from the settings.
        net: the network in training, on its device.
        pilot: flies with the current weights.
        sides: the side cameras learned from, in the order of their images in `observe`.
        frames: total frames learned from.
        steps: takes the gradient steps.
        learning: whether `observe` takes frames; the caller may change it.

    Raises:
        UsageError: flags exclude each other, or the configuration differs from the log folder's.
        DataError: a checkpoint, or the buffer's images, are missing or damaged.
    """

    def __init__(self, config: LearnerConfig, where: Path, camera: Sequence[int], sides: Sequence[str] = ()):
        self.config, self.where = config, where
        self.parts = TrainingParts(config, where)
        self._flags = config.of_learning_in_flight()
        if nets.user_code(self.parts.network):  # no path: the checkpoint identifies the file by its content
            self._flags["network"] = self.parts.network
        self._camera_facts = flight_facts(camera)
        check_learner(self.parts)
        self.sides = side_cameras(self.parts, sides)
        saved_config = {
            "flags": self._flags,
            "dataset": self._camera_facts,
            "threads": self.parts.threads,
            "device": self.parts.compute.device,
            "versions": checkpoint.versions(),
        }
        start = None if self.parts.resumes else self.parts.start_weights(self._camera_facts)
        resumed: Optional[Checkpoint] = None
        if self.parts.resumes:
            folder.check_config(where, saved_config, RESUMES_IN_FLIGHT)
            resumed = resumable(where, self.parts.network)
        self.replay = ReplayBuffer(
            capacity(self.parts, self.sides, resumed),
            (*self.parts.preprocessing.size, 3),
            self.config.buffer_update_rule,
            cameras=1 + len(self.sides),
        )
        prefill = None
        if self.config.prefill_dataset and not resumed:
            prefill = Prefill(self.parts, self.sides, camera, self.replay.capacity)
        folder.write_config(where, saved_config)
        self._saved_config = saved_config
        determinism.prepare(self.config.random_seed, self.parts.threads)
        if start:
            self.parts.net.load_state_dict(start.model_state_dict)
        self.net = self.parts.compute.prepare(self.parts.net).train()
        self.steps = GradientSteps(config, self.parts, self.net, self.replay)
        self._segments = ReplaySegments(where)
        self.pilot = self._make_pilot()
        self.runs: Dict[int, Dict[str, Any]] = {}
        self.frames = 0
        self.learning = True
        if prefill:
            prefill.fill(self.replay)
        if resumed:
            with checkpoint.restoring(str(where / MODEL_FILE)):
                self._resume(resumed)
        elif start and self.config.continue_training and start.optimizer_state_dict is not None:
            with checkpoint.restoring(f"--checkpoint_path {self.config.checkpoint_path}"):
                restore_optimizer(self.steps.optimizer, start.optimizer_state_dict)
            self.steps.updates = start.updates
        self._log = TrainingLog(
            where, self.parts.action_space.class_names(), self.config.tensorboard, len(self.runs)
        )
        self._run: Optional[int] = None
        self._reset_run_statistics()

    @property
    def updates(self) -> int:
        """Total gradient steps."""
        return self.steps.updates

    @property
    def loss(self) -> Optional[float]:
        """Loss of the last gradient step; None before the first."""
        return self.steps.loss

    # Parts.

    def _make_pilot(self) -> Pilot:
        """Create the pilot: a copy of the network that shares its weights, always in evaluation mode."""
        pilot = Pilot(
            network=self.parts.network,
            net=copy.deepcopy(self.net),
            action_space=self.parts.action_space,
            preprocessing=self.parts.preprocessing,
            device=self.parts.compute.device,
            n_frames=self.parts.net_options.get("n_frames", 1),
        )
        # share after the move: moving a module may reallocate its weights (cuDNN's LSTM)
        for own, shared in zip(pilot.net.parameters(), self.net.parameters()):
            own.data = shared.data
        for own, shared in zip(pilot.net.buffers(), self.net.buffers()):
            own.data = shared.data
        return pilot

    def describe(self) -> str:
        """One line about what is learned and how."""
        args = self.config
        every = f"every {args.train_every_N_steps} frames" if args.train_every_N_steps > 1 else "a frame"
        room, size = self.replay.capacity, np.prod(self.replay.image_shape)
        cameras = "".join(f", {name} camera" for name in self.sides)
        warning = self.parts.compute.warning
        return (
            f"{self.parts.network} ({nets.parameter_count(self.net):,} parameters) learns in flight"
            f"{cameras}: "
            f"{args.gradient_steps} gradient step(s) of {args.batch_size} {every}, {args.optimizer} "
            f"{args.learning_rate:g}; replay buffer: room for {room} frames "
            f"({room * size / 1e9:.2f} GB), {len(self.replay)} held; "
            f"{self.parts.compute.device}, {self.parts.threads} threads; log {self.where}"
        ) + (f"; warning: {warning}" if warning else "")

    # A run.

    def new_run(self, number: int) -> None:
        """Start a run: the next frames belong to it. The caller resets the pilot (`pilot.reset`)."""
        self._run = number
        self._reset_run_statistics()

    def _reset_run_statistics(self) -> None:
        self.steps.reset_statistics()
        self._counts_at_start = (self.frames, self.updates)
        self.seconds = {"command": 0.0, "learn": 0.0}

    def command_of(self, pixels: np.ndarray) -> Command:
        """Compute the current network's command for an image at its input size, uint8 (height, width, 3)."""
        begin = time.perf_counter()
        with self.steps.weights_lock:
            command = self.pilot.command_of(pixels)
        self.seconds["command"] += time.perf_counter() - begin
        return command

    def observe(
        self, pixels: np.ndarray, expert: Command, index: int, sides: Sequence[np.ndarray] = ()
    ) -> None:
        """Add a frame of the run to the buffer, and do gradient steps when they are due.

        Args:
            pixels: the image at the network's input size, uint8 (height, width, 3).
            expert: the expert's command, used as the label. A frame with a non-finite yaw is ignored.
            index: index of the frame in the run.
            sides: images of the side cameras (`self.sides`), in the same format; their labels steer back.

        Raises:
            LearnerError: the loss is not finite, or no run has started.
        """
        if not np.isfinite(expert.yaw) or not self.learning:
            return
        if self._run is None:
            raise LearnerError("a frame came before its run began")
        self.replay.add(pixels, expert.yaw, self._run, index)
        for camera, image in zip(self.sides, sides):
            recovery = Recovery(self.config.recovery_compensation, self.parts.action_space)
            self.replay.add(image, float(recovery.labels(expert.yaw, camera)), self._run, index)
        self.frames += 1
        if self.frames % self.config.train_every_N_steps == 0 and self.steps.ready:
            begin = time.perf_counter()
            self.steps.take_due_steps()
            self.seconds["learn"] += time.perf_counter() - begin

    # The end of a run.

    def end_run(self, facts: Mapping[str, Any]) -> None:
        """End the run: append a line of metrics and save a checkpoint with the complete current state.

        Args:
            facts: the run's description (`Flight.facts`).

        Raises:
            DataError: writing failed; the previous checkpoint is still there.
        """
        self.runs[int(facts["run"])] = dict(facts)
        # write line and results first: a checkpoint that counts a run must not lack them
        record, timing = self._record(facts)
        self._log.append(record, timing)
        results = {
            "network": self.parts.network,
            "parameters": nets.parameter_count(self.net),
            "episodes": len(self.runs),
            "frames": self.frames,
            "updates": self.updates,
            "classes": self.parts.action_space.class_names(),
            "train": record.get("train"),
            "flight": record["flight"],
            "config": self._saved_config,
        }
        atomic_write(self.where / folder.RESULTS_FILE, to_json(results), "--summary_dir")
        self.save(self.where / MODEL_FILE, segments=True)
        self._reset_run_statistics()

    def _record(self, facts: Mapping[str, Any]) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        names = (
            "outcome",
            "progress",
            "duration",
            "distance",
            "imitation_loss",
            "actors",
            "alpha",
            "evaluation",
        )
        record: Dict[str, Any] = {
            "episode": len(self.runs),
            "run": facts["run"],
            "updates": self.updates,
            "frames": self.frames,
            "flight": {name: facts.get(name) for name in names},
            "buffer": {"size": len(self.replay), **self.replay.class_shares()},
        }
        if self.steps.outputs:
            outputs = torch.cat(self.steps.outputs).double().cpu().numpy()
            labels = np.concatenate(self.steps.labels)
            majority = majority_class(self.parts.action_space, labels)
            record["train"] = scores(
                self.parts.action_space, outputs, labels, float(np.mean(self.steps.losses)), majority
            )
        frames, updates = (
            now - then for now, then in zip((self.frames, self.updates), self._counts_at_start)
        )
        timing = {f"{name}_seconds": round(value, 3) for name, value in self.seconds.items()}
        return record, {"frames": frames, "updates": updates, **timing}

    def save(self, file: Path, segments: bool = False) -> None:
        """Write a checkpoint that can fly and from which training can resume.

        Args:
            file: the file to write.
            segments: also write the buffer's images beside it, for this session to resume from.

        Raises:
            DataError: writing failed.
            LearnerError: a weight is not finite.
        """
        for name, parameter in self.net.named_parameters():
            if not torch.isfinite(parameter).all():
                raise LearnerError(f"{name} is not finite after {self.updates} gradient steps: {REMEDY}")
        progress: Dict[str, Any] = {}
        if segments:
            self._segments.write(self.replay)
            state = self.replay.state()
            progress = {
                "replay": {
                    k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in state.items()
                },
                "segments": self._segments.state(),
                "runs": {number: to_json(facts) for number, facts in self.runs.items()},
                "frames": self.frames,
                **self.steps.state(),
            }
        Checkpoint(
            network=self.parts.network,
            outputs=self.parts.action_space.outputs,
            net_options=self.parts.net_options,
            action_space=self.parts.action_space,
            preprocessing=self.parts.preprocessing,
            model_state_dict=plain_state(self.net),
            optimizer=self.config.optimizer,
            optimizer_state_dict=to_cpu(self.steps.optimizer.state_dict()),
            episode=len(self.runs),
            updates=self.updates,
            progress=progress,
            random_states=determinism.random_states(),
            dataset=self._camera_facts,
        ).save(file)
        if segments:
            self._segments.clean()

    def load(self, path: str) -> None:
        """Load the weights of another checkpoint while flying; the optimiser is created anew.

        Raises:
            DataError: the checkpoint is missing, damaged, or of another network.
            UsageError: the checkpoint was trained with another preprocessing or action space.
        """
        loaded = checkpoint.load(path, self.parts.summary_dir, self.parts.network)
        checkpoint.check_weights(self.net, loaded.model_state_dict, str(path))
        for name, own, other in (
            ("preprocessing", self.parts.preprocessing.state(), loaded.preprocessing.state()),
            ("action space", bins(self.parts.action_space), bins(loaded.action_space)),
        ):
            if own != other:
                raise UsageError(f"{path}: was trained with {name} {other}, not {own}")
        with self.steps.weights_lock:
            self.net.load_state_dict(loaded.model_state_dict)
            self.steps.reset_optimizer()

    def _resume(self, loaded: Checkpoint) -> None:
        """Resume after the last complete run."""
        progress = loaded.progress
        checkpoint.check_weights(self.net, loaded.model_state_dict, f"a checkpoint of {loaded.network}")
        with torch.no_grad():
            self.net.load_state_dict(loaded.model_state_dict)
        restore_optimizer(self.steps.optimizer, loaded.optimizer_state_dict)
        state = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in progress["replay"].items()}
        self._segments = ReplaySegments(self.where, progress["segments"])
        self._segments.read(self.replay, state)
        self.runs = read_runs(loaded)
        self.frames, self.steps.updates = progress["frames"], loaded.updates
        self.steps.restore(progress)
        determinism.restore_random_states(loaded.random_states)
        say(f"resuming after {len(self.runs)} runs, {self.frames} frames and {self.updates} gradient steps")


def read_runs(loaded: Checkpoint) -> Dict[int, Dict[str, Any]]:
    """The descriptions, by number, of the runs that a checkpoint of learning in flight has learned from."""
    with checkpoint.restoring("my-model"):
        runs = {
            int(number): parse_object(text, f"run {number} of the checkpoint", schemas.RUN)
            for number, text in loaded.progress.get("runs", {}).items()
        }
    return runs
