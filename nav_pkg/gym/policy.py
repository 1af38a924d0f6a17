"""The expert as a policy."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import gymnasium
import numpy as np
from gymnasium import spaces


class ExpertPolicy:
    """Flies the expert's commands in an environment, or in each environment of a vector environment.

    The expert decides from the lidar and the robot's pose, which an observation need not contain. The policy
    therefore gets the action from the environment: it is that of the environment's present state, whatever
    observation is given. `predict` is that of Stable-Baselines3's models, for `evaluate_policy`.

    Example:
        env = gymnasium.make("nav_pkg/Corridor-v0")
        expert = ExpertPolicy(env)
        observation, info = env.reset(seed=123)
        action, _ = expert.predict(observation)

    Args:
        environment: an environment, wrapped or not; a vector environment of Gymnasium or Stable-Baselines3.
    """

    def __init__(self, environment: Any):
        self._environment = environment
        self._vector = not isinstance(environment, gymnasium.Env)
        single = self._vector and hasattr(environment, "single_action_space")
        self.observation_space: spaces.Space = (
            environment.single_observation_space if single else environment.observation_space
        )
        self.action_space: spaces.Space = (
            environment.single_action_space if single else environment.action_space
        )

    def predict(
        self,
        observation: Any,
        state: Optional[Tuple[np.ndarray, ...]] = None,
        episode_start: Optional[np.ndarray] = None,
        deterministic: bool = True,
    ) -> Tuple[np.ndarray, Optional[Tuple[np.ndarray, ...]]]:
        """The expert's actions, and the state unchanged.

        Args:
            observation: only its shape is used: a batch of one observation gives a batch of one action.
            state: returned as it is; the expert's state is in the environment.
            episode_start: without effect.
            deterministic: without effect.

        Raises:
            UsageError: the environment was not reset.
        """
        if self._vector:
            return np.stack([np.asarray(action) for action in self._actions()]), state
        action = np.asarray(self._environment.unwrapped.expert_action)
        return (action[None] if self._is_batch(observation) else action), state

    def _actions(self) -> Sequence[Any]:
        """The actions of a vector environment."""
        environment = self._environment
        if hasattr(environment, "env_method"):  # Stable-Baselines3
            return environment.env_method("get_wrapper_attr", "expert_action")
        return environment.unwrapped.get_attr("expert_action")

    def _is_batch(self, observation: Any) -> bool:
        space, part = self.observation_space, observation
        if isinstance(space, spaces.Dict):
            key = next(iter(space.spaces))
            space, part = space.spaces[key], observation[key]
        return np.ndim(part) > len(space.shape or ())
