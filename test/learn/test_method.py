"""Flags that choose a way of learning: what they mean, and what is refused before anything is read."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nav_pkg import nets
from nav_pkg.core import LearnerError, UsageError
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.batch_sampler import (
    RandomWindowSampler,
    ShuffledSampler,
    SlidingWindowSampler,
    WholeRunSampler,
)
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.batches.samples import Samples
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.methods.compute import ComputeSettings
from nav_pkg.learn.methods.losses import make_loss
from nav_pkg.learn.methods.method import AUXILIARY_WEIGHT, FrameMethod
from nav_pkg.learn.methods.method_flags import MethodFlags, make_method
from nav_pkg.learn.methods.optimizers import make_lr_schedule, make_optimizer
from nav_pkg.learn.methods.recurrent import InitState
from nav_pkg.learn.training.trainer import Trainer

SPACE = ActionSpace()
LOSS = make_loss("CrossEntropy", SPACE)
IMAGES = Preprocessing((128, 128), "shifted")
PLAIN = {
    "batch_size": 4,
    "random_seed": 1,
    "normalized_output": False,
    "n_frames": None,
    "time_length": None,
    "sliding_tbptt": False,
    "sliding_step_size": None,
    "accum_grads": False,
    "init_state": None,
    "subsample": 1,
    "validation_subsample": 1,
}


def flags(network, **given):
    return MethodFlags.from_flags(network, SimpleNamespace(**{**PLAIN, **given}))


@pytest.mark.parametrize(
    "network, given, text",
    [
        ("tiny_net", {"time_length": 20}, "--time_length: tiny_net keeps no state"),
        ("tiny_net", {"sliding_tbptt": True}, "--sliding_tbptt: tiny_net keeps no state"),
        ("tiny_nfc_net", {"init_state": ["zero"]}, "--init_state: tiny_nfc_net keeps no state"),
        ("tiny_LSTM_net", {"normalized_output": True}, "--normalized_output balances frames"),
        ("tiny_LSTM_net", {"subsample": 10}, "--subsample 10: tiny_LSTM_net flies every frame"),
        ("tiny_LSTM_net", {"validation_subsample": 2}, "--validation_subsample 2: tiny_LSTM_net flies every"),
        ("tiny_LSTM_net", {"sliding_step_size": 2}, "no effect without --sliding_tbptt"),
        ("tiny_LSTM_net", {"accum_grads": True}, "no effect without --sliding_tbptt"),
        (
            "tiny_LSTM_net",
            {"init_state": ["zero"], "sliding_tbptt": True},
            "keeps the state between windows: leave",
        ),
        ("tiny_LSTM_net", {"init_state": ["zero"], "time_length": -1}, "whole runs begin with zero: leave"),
        ("tiny_LSTM_net", {"init_state": ["some"]}, "--init_state some: must be full, zero, carried"),
    ],
)
def test_what_would_have_no_effect_is_refused(network, given, text):
    with pytest.raises(UsageError) as caught:
        flags(network, **given)
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_the_ways_of_learning():
    assert flags("tiny_net").n_frames == 0 and not flags("tiny_net").recurrent
    assert flags("tiny_nfc_net").n_frames == 5 and flags("tinyv3_3d_net", n_frames=3).n_frames == 3
    default = flags("tiny_LSTM_net")
    assert (default.time_length, default.init_state) == (10, InitState("carried", 0))
    train = Samples([np.zeros((30, 128, 128, 3), np.uint8)] * 4, [np.zeros(30)] * 4)
    net = nets.build("tiny_LSTM_net", seed=1)
    for given, kind in (
        ({}, RandomWindowSampler),
        ({"time_length": -1}, WholeRunSampler),
        ({"sliding_tbptt": True, "sliding_step_size": 5}, SlidingWindowSampler),
    ):
        learning_method = make_method(
            flags("tiny_LSTM_net", **given), net, ComputeSettings(), IMAGES, LOSS, train
        )
        assert isinstance(learning_method._sampler, kind)
    with pytest.raises(UsageError, match="--time_length 31: the shortest training run"):
        make_method(flags("tiny_LSTM_net", time_length=31), net, ComputeSettings(), IMAGES, LOSS, train)


def pictures(count, seed=0, size=128):
    return np.random.RandomState(seed).randint(0, 256, (count, size, size, 3)).astype(np.uint8)


def test_frames_networks_learn_and_fly_the_same_past():
    net = nets.build("tiny_nfc_net", seed=2, n_frames=3)
    runs = Samples([pictures(5), pictures(4, 1)], [np.zeros(5), np.zeros(4)])
    method = FrameMethod(net, ComputeSettings(), IMAGES, LOSS, ShuffledSampler(9, 3, 0), runs, count=3)
    outputs = method.outputs(runs).double().numpy()
    pilot = Pilot("tiny_nfc_net", net, SPACE, IMAGES, n_frames=3)
    for images, expected in zip(runs.images, (outputs[:5], outputs[5:])):
        pilot.reset()
        assert np.allclose([pilot.outputs(image) for image in images], expected, atol=1e-5)


@pytest.mark.slow
def test_the_auxiliary_head_is_learned_and_counts_for_less():
    net = nets.build("inception_net", seed=2)
    runs = Samples([pictures(4, size=299)], [np.array([-0.9, 0, 0, 0.9])])
    images = Preprocessing((299, 299), "shifted")
    net.train()
    for part in net.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    method = FrameMethod(net, ComputeSettings(), images, LOSS, ShuffledSampler(4, 4, 0), runs)
    done = method.learn(0, 0)
    got = net.AuxLogits.fc.weight.grad.clone()
    net.zero_grad()
    frames = method.frames(0, 0)
    main, auxiliary = net(images.normalise(torch.from_numpy(runs.images[0][frames])))
    targets = LOSS.targets(runs.yaw[frames])
    (AUXILIARY_WEIGHT * LOSS(auxiliary, targets)).backward()
    assert torch.allclose(got, net.AuxLogits.fc.weight.grad, rtol=1e-3, atol=1e-6)
    assert torch.allclose(done.loss, LOSS(main, targets), rtol=1e-3)  # what is reported is the main head's


def trainer(network="tiny_net", space=SPACE, loss=None, **options):
    runs = Samples([pictures(12)], [np.linspace(-1, 1, 12)])
    net = nets.build(network, outputs=space.outputs, seed=1)
    loss = loss or make_loss("CrossEntropy" if space.discrete else "MSE", space)
    how = {key: options.pop(key, False) for key in ("amp", "compile")}
    rate = options.pop("learning_rate", 0.01)
    compute = ComputeSettings(**how)
    method = make_method(flags(network), compute.prepare(net), compute, IMAGES, loss, runs)
    return Trainer(
        network=network,
        net=net,
        net_options=nets.complete_options(network),
        action_space=space,
        preprocessing=IMAGES,
        compute=compute,
        method=method,
        loss=loss,
        optimizer_name="SGD",
        make_optimizer=lambda parameters: make_optimizer("SGD", parameters, learning_rate=rate),
        train=runs,
        val=runs,
        dataset={},
        **options,
    )


def test_the_rate_follows_the_schedule_by_gradient_steps():
    rates = []
    new_trainer = trainer(lr_schedule=make_lr_schedule("step", 0.01, 0.5, 2))
    for _ in range(2):
        while new_trainer.step < new_trainer.steps:
            new_trainer.train_batch()
            rates.append(new_trainer.optimizer.param_groups[0]["lr"])
        new_trainer.episode, new_trainer.step, new_trainer._outputs = new_trainer.episode + 1, 0, []
    assert rates == pytest.approx([0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025])


def test_schedules_by_hand():
    for name, values in (
        ("constant", [1, 1, 1, 1]),
        ("step", [1, 1, 0.1, 0.01]),
        ("exponential", [1, 0.1**0.5, 0.1, 0.01]),
        ("cosine", [1, 0.55, 0.1, 0.1]),
    ):
        schedule = make_lr_schedule(name, 1.0, 0.1, 10)
        assert [schedule(step) for step in (0, 5, 10, 20)] == pytest.approx(values)
    with pytest.raises(UsageError, match="--lr_schedule 'cosin': no such schedule; did you mean 'cosine'"):
        make_lr_schedule("cosin", 1.0, 0.1, 10)


def test_bfloat16_learns_nearly_the_same():
    exact, fast = trainer(), trainer(amp=True)
    for new_trainer in (exact, fast):
        new_trainer.run_episode()
    for a, b in zip(exact.net.state_dict().values(), fast.net.state_dict().values()):
        assert b.dtype == torch.float32 and torch.allclose(a, b, atol=2e-3)
    assert any(not torch.equal(a, b) for a, b in zip(exact.net.parameters(), fast.net.parameters()))


@pytest.mark.slow
def test_compiled_is_nearly_the_same_or_refused_in_one_line(monkeypatch):
    exact, compiled = trainer(), trainer(compile=True)
    exact.train_batch()
    compiled.train_batch()
    for a, b in zip(exact.net.state_dict().values(), compiled.net.state_dict().values()):
        assert torch.allclose(a, b, atol=1e-5)
    monkeypatch.setenv("CXX", "/nowhere/g++")
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/nowhere/g++",))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    torch._dynamo.reset()
    with pytest.raises(UsageError, match="--compile: torch cannot compile here") as caught:
        trainer(compile=True, network="tinyv3_net").train_batch()
    assert "\n" not in str(caught.value)


def test_a_stochastic_net_learns_mean_and_variance():
    space = ActionSpace(discrete=False, stochastic=True)
    loss = make_loss("MSE", space)
    outputs = torch.tensor([[0.5, 0.0], [0.0, np.log(4.0)]])
    targets = loss.targets(np.array([0.0, 3.0]))  # clipped to 1
    expected = (0.25 / 2 + 0 + 1 / 4 / 2 + np.log(4.0) / 2) / 2
    assert float(loss(outputs, targets)) == pytest.approx(expected)
    with pytest.raises(UsageError, match="--loss CrossEntropy: --stochastic has a loss of its own"):
        make_loss("CrossEntropy", space)
    with pytest.raises(UsageError, match="--stochastic regresses"):
        ActionSpace(discrete=True, stochastic=True)
    new_trainer = trainer(space=space)
    first = new_trainer.evaluate(new_trainer._val)
    for _ in range(30):
        last = new_trainer.run_episode()["val"]
    assert last["loss"] < first["loss"] and last["imitation_loss"] < first["imitation_loss"]


def test_a_stochastic_pilot_draws_from_its_seed_alone():
    space = ActionSpace(discrete=False, stochastic=True)
    net = nets.build("tiny_net", outputs=2, seed=1)
    pilot = Pilot("tiny_net", net, space, IMAGES)
    image = pictures(1)[0]

    def fly(seed):
        pilot.reset(seed)
        return [pilot.command(image).yaw for _ in range(5)]

    assert fly(3) == fly(3) != fly(4) and len(set(fly(3))) > 1
    random = np.random.RandomState(0)
    drawn = [space.draw(np.array([0.2, np.log(0.01)]), random) for _ in range(2000)]
    assert np.mean(drawn) == pytest.approx(0.2, abs=0.01) and np.std(drawn) == pytest.approx(0.1, abs=0.01)
    assert max(abs(space.draw(np.array([0.9, 5.0]), random)) for _ in range(50)) <= 1
    assert np.isnan(space.draw(np.array([np.nan, 0.0]), random))


def test_a_loss_that_is_not_finite_ends_training_before_the_weights_change():
    new_trainer = trainer(learning_rate=1e30)
    new_trainer.train_batch()
    before = {key: value.clone() for key, value in new_trainer.net.state_dict().items()}
    with pytest.raises(LearnerError, match="the loss became .* at episode 1, step 2: lower --learning_rate"):
        new_trainer.run_episode()
    assert all(torch.equal(before[key], value) for key, value in new_trainer.net.state_dict().items())
