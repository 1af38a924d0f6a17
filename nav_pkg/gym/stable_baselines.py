"""The expert in the form that Stable-Baselines3 and imitation require of a policy."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from nav_pkg.gym.policy import ExpertPolicy


class ExpertModule(BasePolicy):
    """`ExpertPolicy` as a policy of Stable-Baselines3, e.g. for imitation's `SimpleDAggerTrainer`.

    Args:
        environment: the vector environment that flies.
    """

    def __init__(self, environment: VecEnv):
        super().__init__(environment.observation_space, environment.action_space)
        self._expert = ExpertPolicy(environment)

    def predict(
        self,
        observation: Any,
        state: Optional[Tuple[np.ndarray, ...]] = None,
        episode_start: Optional[np.ndarray] = None,
        deterministic: bool = False,
    ) -> Tuple[np.ndarray, Optional[Tuple[np.ndarray, ...]]]:
        """The expert's actions; see `ExpertPolicy.predict`."""
        return self._expert.predict(observation, state, episode_start, deterministic)

    def _predict(self, observation: Any, deterministic: bool = False) -> torch.Tensor:
        return torch.as_tensor(self._expert.predict(observation)[0])
