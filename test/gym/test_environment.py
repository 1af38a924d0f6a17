"""The Gymnasium environment: its contract, its episodes, and the same flights as those of a session."""

import math
import re
import warnings

import numpy as np
import pytest

from nav_pkg.core import CONTROL_PERIOD_NS, NavError, Observation, Pose, UsageError, Velocity
from nav_pkg.data.reader import Dataset
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.session.embedded import EmbeddedFlights, prepare_dataset
from nav_pkg.session.embedded import Settings as SessionSettings
from nav_pkg.sim.description import SimulatorOptions

gymnasium = pytest.importorskip("gymnasium")

import nav_pkg.gym  # noqa: E402
from nav_pkg.gym.settings import Settings  # noqa: E402

EVERYTHING = {"observations": ("rgb", "depth", "scan", "velocity")}
WALL = {"pose": (-50.0, -3.0, math.pi / 2)}
"""A start pose from which straight on leads into a wall."""


def fly(env, actions, **reset):
    """All observations, rewards and infos of a flight, and how it ended."""
    observation, info = env.reset(**reset)
    steps, ending = [(observation, 0.0, info)], (False, False)
    for action in actions:
        observation, reward, *ending, info = env.step(action)
        steps.append((observation, reward, info))
        if any(ending):
            break
    return steps, tuple(ending)


def turns(seed, count):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 1)).astype(np.float32)


def same(first, second):
    """Whether two results are equal to the bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and first.tobytes() == second.tobytes()
    return first == second


@pytest.mark.parametrize("arguments", [{}, {**EVERYTHING, "discrete": True}], ids=["image", "everything"])
def test_gymnasium_finds_no_fault(make_env, arguments):
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make_env(render_mode="rgb_array", **arguments))


@pytest.mark.parametrize("arguments", [{}, {**EVERYTHING, "discrete": True}], ids=["image", "everything"])
def test_stable_baselines_finds_no_fault(make_env, arguments):
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="no stable-baselines3")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Your observation depth")  # it advises to flatten depth images
        checker.check_env(make_env(render_mode="rgb_array", **arguments))


def test_a_seed_gives_the_same_bytes(make_env):
    first, _ = fly(make_env(**EVERYTHING), turns(1, 20), seed=5)
    other = gymnasium.make(
        "nav_pkg/Corridor-v0", width=48, height=36, depth_width=48, depth_height=36, **EVERYTHING
    )
    fly(other, turns(2, 5), seed=9)
    again, _ = fly(other, turns(1, 20), seed=5)
    other.close()
    assert all(same(a, b) for a, b in zip(first, again))
    different, _ = fly(make_env(**EVERYTHING), turns(1, 20), seed=6)
    assert not same(first[0][0], different[0][0])


def test_resets_fly_the_runs_of_a_session(make_env):
    env = make_env()
    env.reset(seed=5)
    _, second = env.reset()
    _, third = env.reset()
    assert [second["run"], third["run"]] == [1, 2]
    assert same(env.reset(seed=5, options={"run": 2})[1], third)
    assert not same(second["pose"], third["pose"])


@pytest.mark.parametrize(
    ("expert", "robot", "delay"),
    [("bang_bang", "drone", 0.1), ("continuous", "drone", 0.25), ("bang_bang", "turtlebot3", 0.0)],
)
def test_the_expert_flies_as_in_a_session(make_env, tmp_path, expert, robot, delay):
    """Start poses, scans, commands and path of two runs are those that a session records."""
    flights = {"expert": expert, "control_delay": delay, "max_duration": 8.0}
    if robot == "turtlebot3":
        flights.update(speed=0.3, turn_speed=0.3)
    schedule = FlightSchedule(seed=17, runs=2, **flights)
    size = {"width": 48, "height": 36, "depth_width": 48, "depth_height": 36}
    settings = SessionSettings(
        SimulatorOptions(robot=robot, **size), schedule, tmp_path / "data", tmp_path, []
    )
    prepare_dataset(settings)
    session = EmbeddedFlights(settings)
    for run in schedule.runs_to_fly(session._body):
        session.fly(run)
    session.close()
    env = make_env(robot=robot, observations=("scan",), **flights)
    policy = nav_pkg.gym.ExpertPolicy(env)
    # The continuous expert's commands have more digits than single precision.
    tolerance = 0.0 if expert == "bang_bang" else 1e-6
    for number, recorded in enumerate(Dataset(tmp_path / "data").runs):
        observation, info = env.reset(seed=17) if number == 0 else env.reset()
        scan = np.clip(np.nan_to_num(recorded.scan, posinf=3.5, neginf=0), 0, 3.5)
        for i, frame in enumerate(recorded.frames):
            np.testing.assert_allclose(info["pose"], frame.pose, rtol=0, atol=tolerance)
            np.testing.assert_allclose(info["expert_command"], frame.expert, rtol=0, atol=10 * tolerance)
            np.testing.assert_allclose(observation["scan"], scan[i], rtol=0, atol=10 * tolerance)
            observation, _, terminated, truncated, info = env.step(policy.predict(observation)[0])
            assert terminated is False
        assert truncated
        assert info["outcome"] == "timeout"
        assert info["progress"] == pytest.approx(recorded.facts["progress"], abs=10 * tolerance)


def test_rewards_are_progress(make_env):
    env = make_env(progress_reward=2.0, max_duration=5.0)
    policy = nav_pkg.gym.ExpertPolicy(env)
    observation, _ = env.reset(seed=3)
    total = 0.0
    for _ in range(50):
        observation, reward, terminated, truncated, info = env.step(policy.predict(observation)[0])
        total += reward
    assert (terminated, truncated, info["outcome"]) == (False, True, "timeout")
    assert total == pytest.approx(2.0 * info["progress"])
    assert info["progress"] > 3
    with pytest.raises(UsageError, match="the run has ended"):
        env.step(env.action_space.sample())


def test_a_collision_terminates_and_costs(make_env):
    env = make_env(collision_penalty=7.0)
    steps, ending = fly(env, np.zeros((100, 1), np.float32), seed=3, options=WALL)
    last = steps[-1][2]
    assert (ending, last["outcome"], last["is_success"]) == ((True, False), "collision", False)
    assert sum(reward for _, reward, _ in steps) == pytest.approx(last["progress"] - 7.0)
    assert "is_success" not in steps[-2][2]
    assert last["nearest"] < 0.5


def test_a_trapped_robot_truncates(make_env):
    env = make_env(speed=0.04, turn_speed=0.04)
    steps, ending = fly(env, np.ones((150, 1), np.float32), seed=3)
    assert (ending, steps[-1][2]["outcome"]) == ((False, True), "trapped")


def test_a_lap_terminates_as_success(make_env, documented_plan, tmp_path, monkeypatch):
    import json

    monkeypatch.setenv("NAV_PKG_WORLDS", str(tmp_path / "cache"))
    plan = json.loads(json.dumps(documented_plan))
    plan["name"] = "lap"
    for wall in plan["walls"]:
        for end in ("from", "to"):
            wall[end] = [
                {30: 11, 27: 8}.get(wall[end][0], wall[end][0]),
                {20: 11, 17: 8}.get(*2 * [wall[end][1]]),
            ]
    plan["waypoints"] = [[8, 1.5], [9.5, 3], [9.5, 8], [8, 9.5], [3, 9.5], [1.5, 8], [1.5, 3], [3, 1.5]]
    plan["start_pose"] = {"x": 5, "y": 1.5, "yaw": 0}
    (tmp_path / "lap.json").write_text(json.dumps(plan))
    env = make_env(world=str(tmp_path / "lap.json"), expert="continuous")
    policy = nav_pkg.gym.ExpertPolicy(env)
    observation, _ = env.reset(seed=1)
    ending = ()
    while not any(ending):
        observation, _, *ending, info = env.step(policy.predict(observation)[0])
    assert (ending, info["outcome"], info["is_success"]) == ([True, False], "success", True), info["reason"]


def test_a_bin_is_its_yaw_rate(make_env):
    """Bins 0, 1 and 2 of three turn right, not and left; the expert's action is the bin of its command."""
    bins, rates = make_env(discrete=True), make_env()
    for action in range(3):
        first, _ = fly(bins, [action] * 10, seed=4)
        second, _ = fly(rates, np.full((10, 1), action - 1.0, np.float32), seed=4)
        assert same(first[-1][0], second[-1][0])
        yaw = first[-1][2]["expert_command"][3]
        assert first[-1][2]["expert_action"] == (0 if yaw <= -0.5 else 2 if yaw > 0.5 else 1)


def test_options_of_reset(make_env):
    env = make_env(render_mode="rgb_array")
    plain, first = env.reset(seed=8)
    textures, second = env.reset(seed=8, options={"world": "esatv3+7"})
    assert same(first["pose"], second["pose"])
    assert not same(plain, textures)
    _, reverse = env.reset(seed=8, options={"reverse": True})
    turned = math.remainder(reverse["pose"][5] - first["pose"][5], 2 * math.pi)
    assert abs(turned) == pytest.approx(math.pi, abs=0.01)
    # options hold for one run
    again, _ = env.reset(seed=8)
    assert same(plain, again)
    assert same(env.render(), again)


def test_observations_are_finite():
    """No return is the largest distance of the sensor; nearer than the sensor measures is 0."""
    settings = Settings.from_arguments({**EVERYTHING, "width": 16, "height": 16})
    observed = settings.observe(
        Observation(
            stamp=CONTROL_PERIOD_NS,
            pose=Pose(0, 0, 1),
            velocity=Velocity(1, 2, -30, 4),
            rgb=np.zeros((16, 16, 3), np.uint8),
            depth=np.full((90, 160), np.inf, np.float32),
            scan=np.array([np.nan, np.inf, -np.inf, 1.5] * 90, np.float32),
        )
    )
    assert observed in settings.observation_space()
    assert set(observed["depth"].ravel()) == {100.0}
    assert observed["scan"][:4].tolist() == [3.5, 3.5, 0.0, 1.5]
    assert observed["velocity"].tolist() == [1, 2, -20, 4]


BAD = [
    ({"wrld": "esatv3"}, "no argument 'wrld'; did you mean 'world'"),
    ({"world": "esatv4"}, "no world is called 'esatv4'"),
    ({"robot": "drohne"}, "unknown robot 'drohne'"),
    ({"robot": "bebop"}, "a real one"),
    ({"robot": "turtlebot3", "z_pos": 1.0}, "has no effect"),
    ({"observations": ("rgb", "sonar")}, "observations cannot be 'sonar'"),
    ({"observations": ()}, "one or more"),
    ({"observations": 3}, "observations is 3"),
    ({"observations": ("depth",), "depth_width": 0}, "has no depth"),
    ({"width": "wide"}, "width is 'wide'; it has to be a whole number"),
    ({"width": 8}, "width has to be 16 to 4096 pixels, not 8"),
    ({"discrete": "yes"}, "it has to be True or False"),
    ({"discrete": True, "action_quantity": 1}, "1 is not at least 2"),
    ({"action_bound": math.nan}, "nan is not above 0"),
    ({"control_delay": 0.0123}, "control_delay is 0.0123; it must be a multiple"),
    ({"collision_penalty": -1}, "-1 is not at least 0"),
    ({"noise": "pink"}, "pink"),
    ({"start": "here"}, "start is 'here'"),
    ({"render_mode": "human"}, "render_mode is 'human'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_arguments(arguments, message):
    with pytest.raises(NavError) as error:
        nav_pkg.gym.CorridorEnv(**arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "--" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"posse": 1}, "no option 'posse'; did you mean 'pose'"),
        ({"pose": (1, 2)}, "three finite numbers"),
        ({"pose": (0.0, 900.0, 0.0)}, "outside esatv3"),
        ({"pose": (-50.0, -2.2, math.pi / 2)}, "ends at its start pose"),
        ({"run": -1}, "a run's number"),
        ({"world": "nowhere"}, "no world is called 'nowhere'"),
        ({"reverse": "no"}, "True or False"),
    ],
)
def test_bad_options_of_reset(make_env, options, message):
    env = make_env()
    with pytest.raises(UsageError, match=re.escape(message)):
        env.reset(seed=1, options=options)
    env.reset(seed=1)


@pytest.mark.parametrize("action", [np.array([np.nan]), np.zeros(2), "left", None])
def test_bad_actions(make_env, action):
    env = make_env()
    env.reset(seed=1)
    with pytest.raises(UsageError, match="must be one yaw rate"):
        env.step(action)


@pytest.mark.parametrize("action", [3, -1, 0.5, [0, 1], None])
def test_bad_bins(make_env, action):
    env = make_env(discrete=True)
    env.reset(seed=1)
    with pytest.raises(UsageError, match="must be a bin, 0 to 2"):
        env.step(action)


def test_bad_seed(make_env):
    with pytest.raises(UsageError, match="the seed is -1"):
        make_env().reset(seed=-1)


def test_the_entry_point_registers_the_environment():
    """What pip's entry point names exists, and a second registration has no effect."""
    import importlib
    from pathlib import Path

    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    target = text.split('[project.entry-points."gymnasium.envs"]\n')[1].split("\n")[0]
    namespace, module, function = re.fullmatch(r'(\w+) = "([\w.]+):(\w+)"', target).groups()
    getattr(importlib.import_module(module), function)()
    assert gymnasium.spec("nav_pkg/Corridor-v0").namespace == namespace
