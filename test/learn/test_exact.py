"""The same command gives the same bytes: for every network, for all ways of learning, after any stop."""

import hashlib
import json
import multiprocessing
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from nav_pkg import nets
from nav_pkg.config.learner import parse
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.batches.samples import Samples
from nav_pkg.learn.methods.compute import ComputeSettings
from nav_pkg.learn.methods.losses import make_loss
from nav_pkg.learn.methods.method_flags import MethodFlags, make_method
from nav_pkg.learn.training import determinism, offline
from nav_pkg.learn.training.stop import Stop
from nav_pkg.learn.training.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parent))
import training_process  # noqa: E402 (a module of the tests')

COMMON = "--discrete --loss CrossEntropy --shifted_input --max_episodes 3 --momentum 0.9 --learning_rate 0.02"
WAYS = {
    "dropout": "--network tinyv3_net --batch_size 30 --dropout 0.3",
    "batch norm": "--network tinyv3_net --batch_size 30 --batch_norm",
    "nfc": "--network tiny_nfc_net --n_frames 3 --batch_size 60",
    "F-BPTT": "--network tiny_LSTM_net --batch_size 1 --time_length -1",
    "WW-TBPTT": "--network tiny_LSTM_net --batch_size 8 --time_length 8",
    "WW-TBPTT burn in": "--network tiny_LSTM_net --batch_size 10 --time_length 8 --init_state burn_in 8",
    "S-TBPTT": "--network tiny_LSTM_net --batch_size 2 --time_length 20 --sliding_tbptt "
    "--sliding_step_size 10",
    # more rows than runs: along parts of them
    "S-TBPTT summed": "--network tiny_LSTM_net --batch_size 6 --time_length 20 --sliding_tbptt "
    "--sliding_step_size 10 --accum_grads",
}


class Interrupt(Stop):
    """Asks to stop at the n-th look."""

    def __init__(self, look):
        super().__init__()
        self.looks, self.look = 0, look

    def check(self):
        self.looks += 1
        if self.looks >= self.look:
            self._signal = signal.SIGTERM
        super().check()


def arguments(way, data_root, summary_dir, tag, threads):
    places = ["--data_root", str(data_root), "--summary_dir", str(summary_dir), "--dataset", "easy"]
    return [*places, "-t", tag, "--num_threads", str(threads), *COMMON.split(), *WAYS[way].split()]


def train(argv, stop=None):
    args = parse(argv)
    return offline.train(args, stop or Stop())


def same_bytes(first, second):
    for name in ("my-model", "metrics.jsonl"):
        if (first / name).read_bytes() != (second / name).read_bytes():
            return False
    return True


QUICK = ("dropout", "WW-TBPTT")


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=() if way in QUICK else pytest.mark.slow) for way in WAYS]
)
def test_stopped_anywhere(way, data_root, tmp_path, monkeypatch):
    # so small that whole runs are learned in portions, between which a stop is heard, too
    monkeypatch.setattr("nav_pkg.learn.methods.recurrent.PORTION_BYTES", 40 * 3 * 4 * 128 * 128)
    counted = Interrupt(10**9)
    assert train(arguments(way, data_root, tmp_path, "whole", 2), counted) == 0
    looks = random.Random(way).sample(range(1, counted.looks), 3)
    for look in sorted(looks, reverse=True):
        assert train(arguments(way, data_root, tmp_path, "cut", 2), Interrupt(look)) in (0, 85)
    assert train(arguments(way, data_root, tmp_path, "cut", 2)) == 0
    assert same_bytes(tmp_path / "whole", tmp_path / "cut")
    updates = [json.loads(line)["updates"] for line in (tmp_path / "cut/metrics.jsonl").open()]
    assert updates == sorted(set(updates)) and len(updates) == 3


@pytest.fixture(scope="module")
def processes():
    """Makes processes of their own that have loaded torch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([training_process.__name__])
    return context


def saves(model):
    """A word for the checkpoint on disk: another one after every save."""
    try:
        status = model.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


@pytest.mark.slow
@pytest.mark.parametrize("way", ["dropout", "S-TBPTT"])
def test_killed_at_random_moments_and_resumed(way, data_root, tmp_path, processes):
    assert train(arguments(way, data_root, tmp_path, "whole", 1)) == 0
    argv = arguments(way, data_root, tmp_path, "cut", 1)
    model = tmp_path / "cut" / "my-model"
    moments, resumed = random.Random(way), 0
    for wanted in (0, 1, 2):
        # Killed shortly after that many saves of its own, so that the speed of the machine decides nothing.
        resumed += model.exists()
        saved = {saves(model)}
        process = processes.Process(target=training_process.train, args=(argv,))
        process.start()
        deadline = time.monotonic() + 200
        while len(saved) <= wanted and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.002)
            saved.add(saves(model))
        time.sleep(moments.uniform(0, 0.1 if wanted else 2))
        process.kill()
        process.join()
    assert resumed and train(argv) == 0
    assert same_bytes(tmp_path / "whole", tmp_path / "cut")


def two_steps(name, threads):
    """The weights of a network after two gradient steps on noise."""
    determinism.prepare(5, threads)
    space, spec = ActionSpace(), nets.spec(name)
    noise = np.random.RandomState(0)
    images = [noise.randint(0, 256, (6, *spec.input_size, 3)).astype(np.uint8) for _ in range(2)]
    samples = Samples(images, [noise.uniform(-1, 1, 6) for _ in range(2)])
    options = {"n_frames": 3} if spec.kind == "frames" else {}
    options = nets.complete_options(name, **options)
    preprocessing = Preprocessing(spec.input_size, "shifted")
    compute, loss = ComputeSettings(), make_loss("CrossEntropy", space)
    net = compute.prepare(nets.build(name, seed=1, **options))
    flags = MethodFlags(
        batch_size=2,
        seed=3,
        n_frames=options.get("n_frames", 0),
        recurrent=spec.kind == "recurrent",
        time_length=2,
    )
    trainer = Trainer(
        network=name,
        net=net,
        net_options=options,
        action_space=space,
        preprocessing=preprocessing,
        compute=compute,
        method=make_method(flags, net, compute, preprocessing, loss, samples),
        loss=loss,
        optimizer_name="SGD",
        make_optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.01),
        train=samples,
        val=samples,
        dataset={},
        max_steps=2,
    )
    before = sums(net)
    trainer.run_episode()
    assert trainer.updates == 2
    return before, sums(net)


def sums(net):
    """A checksum of each tensor: copies of the largest networks would take gigabytes."""
    return {k: hashlib.sha256(v.cpu().numpy().tobytes()).hexdigest() for k, v in net.state_dict().items()}


@pytest.mark.parametrize("name", nets.names())
def test_every_network_repeats_itself(name):
    before, first = two_steps(name, 2)
    assert before != first
    assert two_steps(name, 2)[1] == first
