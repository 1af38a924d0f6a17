"""The vector environment: the same runs as single environments, and processes that die."""

import os
import re
import signal
import socket
import time

import numpy as np
import pytest

from nav_pkg.core import SimulatorError, UsageError

gymnasium = pytest.importorskip("gymnasium")
if not hasattr(gymnasium.vector, "AutoresetMode"):
    pytest.skip(f"gymnasium {gymnasium.__version__} has no AutoresetMode", allow_module_level=True)

import nav_pkg.gym  # noqa: E402
from nav_pkg.gym import vector  # noqa: E402

SMALL = {"width": 48, "height": 36, "depth_width": 48, "depth_height": 36, "max_duration": 2.0}


@pytest.fixture
def make_vector():
    made = []

    def make(count, **arguments):
        made.append(gymnasium.make_vec("nav_pkg/Corridor-v0", num_envs=count, **{**SMALL, **arguments}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def kill(environments, i):
    """Kill an environment's process, and wait until it is dead."""
    process = environments.unwrapped._workers[i].process
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)


def info_of(infos, i):
    """The info of one environment."""
    return {key: infos[key][i] for key in infos if not key.startswith("_") and infos[f"_{key}"][i]}


def equal(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def test_equals_single_environments(make_vector, make_env):
    """Observations, rewards, endings and infos through two ends, with the seed and the seed after it."""
    environments = make_vector(2)
    assert environments.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.NEXT_STEP
    assert environments.single_observation_space == make_env(max_duration=2.0).observation_space
    actions = np.random.default_rng(1).uniform(-1, 1, (45, 2, 1)).astype(np.float32)
    observations, infos = environments.reset(seed=30)
    flown = [(observations, np.zeros(2), np.zeros(2, bool), np.zeros(2, bool), infos)]
    flown += [environments.step(each) for each in actions]
    env = make_env(max_duration=2.0)
    for i in range(2):
        observation, info = env.reset(seed=30 + i)
        single = (observation, 0.0, False, False, info)
        for k, step in enumerate(flown):
            assert np.array_equal(step[0][i], single[0])
            assert tuple(part[i] for part in step[1:4]) == single[1:4]
            assert equal(info_of(step[4], i), single[4])
            if k < len(actions):
                ended = single[2] or single[3]
                single = (env.reset()[0], 0.0, False, False) if ended else env.step(actions[k][i])
                single = (*single[:4], env._info())
    assert [info["run"][0] for *_, info in flown][-1] == 2


def test_the_expert_flies_in_it(make_vector):
    environments = make_vector(2)
    policy = nav_pkg.gym.ExpertPolicy(environments)
    observations, infos = environments.reset(seed=3)
    for _ in range(5):
        actions, _ = policy.predict(observations)
        assert np.array_equal(actions, infos["expert_action"])
        observations, _, _, _, infos = environments.step(actions)


def test_a_dead_process_is_named_and_replaced(make_vector):
    """Its run is truncated and begins again; the other environment's run is not affected."""
    environments, undisturbed = make_vector(2), make_vector(2)
    policy = nav_pkg.gym.ExpertPolicy(environments)
    first, _ = undisturbed.reset(seed=40)
    environments.reset(seed=40)
    zero = np.zeros((2, 1), np.float32)
    for _ in range(3):
        before = environments.step(zero)
        undisturbed.step(zero)
    kill(environments, 1)
    with pytest.warns(UserWarning, match=r"environment 1 of 2 died \(signal SIGKILL\)"):
        observations, rewards, terminated, truncated, infos = environments.step(zero)
    other = undisturbed.step(zero)
    assert np.array_equal(observations[0], other[0][0])
    assert np.array_equal(observations[1], before[0][1])
    assert (rewards[1], terminated.tolist(), truncated.tolist()) == (0, [False, False], [False, True])
    assert info_of(infos, 1)["outcome"] == "sim_failure"
    assert "environment 1 of 2 died" in info_of(infos, 1)["reason"]
    assert equal(info_of(infos, 0), info_of(other[4], 0))
    policy.predict(observations)
    observations, _, _, truncated, infos = environments.step(zero)
    assert np.array_equal(observations[0], undisturbed.step(zero)[0][0])
    assert np.array_equal(observations[1], first[1])
    assert not truncated.any()
    assert (infos["seed"][1], infos["run"][1], infos["frame"][1]) == (41, 0, 0)


def test_a_process_that_dies_before_a_reset(make_vector):
    """The reset is repeated in the new process."""
    environments = make_vector(2)
    observations, _ = environments.reset(seed=50)
    kill(environments, 0)
    with pytest.warns(UserWarning, match="environment 0 of 2 died"):
        again, infos = environments.reset(seed=50)
    assert np.array_equal(observations, again)
    kill(environments, 0)
    with pytest.warns(UserWarning, match="environment 0 of 2 died"):
        _, infos = environments.reset()
    assert infos["run"].tolist() == [1, 1]
    assert infos["seed"].tolist() == [50, 51]


def test_a_process_that_dies_again_and_again(make_vector, monkeypatch):
    """The vector environment ends with one line; nothing waits."""
    environments = make_vector(1)
    environments.reset(seed=1)
    monkeypatch.setenv("NAV_PKG_GL", "none")  # the new process finds no OpenGL
    kill(environments, 0)
    with pytest.warns(UserWarning, match="died"):
        environments.step(np.zeros((1, 1), np.float32))
    with pytest.raises(UsageError, match="environment 0 of 1: NAV_PKG_GL is 'none'"):
        environments.step(np.zeros((1, 1), np.float32))
    monkeypatch.setattr(vector, "MOST_DEATHS", 1)
    kill(environments, 0)
    with pytest.raises(SimulatorError, match="died 2 times in one run"):
        environments.reset(seed=1)
    with pytest.raises(UsageError, match="the vector environment is closed"):
        environments.reset(seed=1)


def test_a_process_that_does_not_answer(make_vector, monkeypatch):
    environments = make_vector(1)
    environments.reset(seed=1)
    os.kill(environments.unwrapped._workers[0].process.pid, signal.SIGSTOP)
    monkeypatch.setattr(vector, "PATIENCE", 0.5)
    with pytest.warns(UserWarning, match=r"environment 0 of 1 died \(no answer within 0.5 s\)"):
        *_, truncated, _ = environments.step(np.zeros((1, 1), np.float32))
    assert truncated.tolist() == [True]


def test_close_ends_all_processes(make_vector):
    environments = make_vector(2)
    environments.reset(seed=1)
    processes = [worker.process for worker in environments.unwrapped._workers]
    os.kill(processes[0].pid, signal.SIGKILL)
    os.kill(processes[1].pid, signal.SIGSTOP)
    begin = time.monotonic()
    environments.close()
    assert time.monotonic() - begin < vector.CLOSING + 60
    assert all(process.poll() is not None for process in processes)
    environments.close()


def test_an_error_of_the_caller_leaves_the_processes(make_vector):
    environments = make_vector(2)
    with pytest.raises(UsageError, match=re.escape("call reset() first")):
        environments.step(np.zeros((2, 1), np.float32))
    with pytest.raises(UsageError, match="environment 0 of 2: .*no option 'posse'"):
        environments.reset(seed=1, options={"posse": 1})
    environments.reset(seed=1)
    with pytest.raises(UsageError, match="environment 1 of 2: .*must be one yaw rate"):
        environments.step(np.array([[0.0], [np.nan]], np.float32))
    environments.step(np.zeros((2, 1), np.float32))
    with pytest.raises(UsageError, match="3 actions for 2 environments"):
        environments.step(np.zeros((3, 1), np.float32))
    with pytest.raises(UsageError, match="3 seeds for 2 environments"):
        environments.reset(seed=[1, 2, 3])


def test_a_default_timeout_of_the_program_does_no_harm(make_vector):
    socket.setdefaulttimeout(5)
    try:
        envs = make_vector(2)
        envs.reset(seed=3)
        envs.step(envs.action_space.sample())
        assert envs._deaths == [0] * envs.num_envs
    finally:
        socket.setdefaulttimeout(None)


def test_attributes_and_images(make_vector):
    environments = make_vector(2, render_mode="rgb_array")
    observations, _ = environments.reset(seed=1)
    assert all(np.array_equal(*pair) for pair in zip(environments.render(), observations))
    environments.set_attr("tag", ["first", "second"])
    assert environments.get_attr("tag") == ("first", "second")
    assert [each["seed"] for each in environments.call("run_metadata")] == [1, 2]


@pytest.mark.parametrize("count", [0, 1.5, True, 1000])
def test_bad_numbers(count):
    with pytest.raises(UsageError, match="num_envs is"):
        nav_pkg.gym.CorridorVectorEnv(count)


def test_gymnasiums_own_vector_environments(make_env):
    """Two environments in one process (gymnasium.vector.SyncVectorEnv) do not disturb each other."""
    both = gymnasium.make_vec("nav_pkg/Corridor-v0", num_envs=2, vectorization_mode="sync", **SMALL)
    both.reset(seed=60)
    zero = np.zeros((2, 1), np.float32)
    observations = [both.step(zero)[0] for _ in range(5)][-1]
    both.close()
    env = make_env(max_duration=2.0)
    for i in range(2):
        env.reset(seed=60 + i)
        single = [env.step(zero[0])[0] for _ in range(5)][-1]
        assert np.array_equal(single, observations[i])
