"""The expert as a policy of an environment."""

import numpy as np
import pytest

from nav_pkg.core import UsageError

gymnasium = pytest.importorskip("gymnasium")

from nav_pkg.gym import ExpertPolicy  # noqa: E402


@pytest.mark.parametrize(
    "arguments", [{}, {"discrete": True, "observations": ("scan", "rgb")}], ids=["rate", "bins"]
)
def test_actions_are_those_of_the_info(make_env, arguments):
    env = make_env(**arguments)
    policy = ExpertPolicy(gymnasium.wrappers.TimeLimit(env, 100))
    observation, info = env.reset(seed=2)
    for _ in range(5):
        action, state = policy.predict(observation, state=None, deterministic=True)
        assert action in env.action_space
        assert state is None
        assert np.array_equal(action, info["expert_action"])
        batch = {k: v[None] for k, v in observation.items()} if arguments else observation[None]
        assert np.array_equal(policy.predict(batch)[0], np.asarray(action)[None])
        observation, *_, info = env.step(action)


def test_no_action_before_the_first_reset():
    env = gymnasium.make("nav_pkg/Corridor-v0", width=16, height=16)
    with pytest.raises(UsageError, match="before reset"):
        ExpertPolicy(env).predict(np.zeros((16, 16, 3), np.uint8))
    env.close()


def test_stable_baselines_evaluates_it(make_env):
    """Stable-Baselines3 measures rewards of it in an environment and in a vector environment of its own."""
    evaluation = pytest.importorskip("stable_baselines3.common.evaluation", reason="no stable-baselines3")
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    from nav_pkg.gym.stable_baselines import ExpertModule

    env = Monitor(make_env(max_duration=2.0))
    env.reset(seed=6)
    rewards, lengths = evaluation.evaluate_policy(ExpertPolicy(env), env, 2, return_episode_rewards=True)
    assert lengths == [20, 20]
    several = DummyVecEnv([lambda: env])
    several.seed(6)
    several.reset()
    for policy in (ExpertPolicy(several), ExpertModule(several)):
        again, _ = evaluation.evaluate_policy(policy, several, 1, return_episode_rewards=True)
        assert again[0] == pytest.approx(rewards[0], abs=0.5)
    assert rewards[0] > 1.0
