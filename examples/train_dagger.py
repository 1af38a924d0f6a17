"""Train a policy by imitation: DAgger of the `imitation` library, with nav_pkg's expert, on images.

`imitation` 1.0.1 needs older versions of Gymnasium and Stable-Baselines3. Give it an environment of its own:

    python3 -m venv imitation && imitation/bin/pip install 'nav_pkg[gym]' imitation==1.0.1
    imitation/bin/python examples/train_dagger.py --steps 20000

It prints the mean progress of the expert and of the policy before and after training, in metres.
"""

import argparse
import tempfile

import numpy as np
from imitation.algorithms.bc import BC
from imitation.algorithms.dagger import SimpleDAggerTrainer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from stable_baselines3.common.vec_env import SubprocVecEnv, VecTransposeImage

from nav_pkg.gym.stable_baselines import ExpertModule


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000, help="frames to fly")
    parser.add_argument("--processes", type=int, default=2, help="environments, each in a process")
    parser.add_argument(
        "--round", type=int, default=2000, help="least frames before the policy is trained again"
    )
    parser.add_argument("--epochs", type=int, default=4, help="passes over all frames in each training")
    parser.add_argument("--episodes", type=int, default=5, help="runs of an evaluation")
    parser.add_argument("--duration", type=float, default=30.0, help="simulated seconds of a run")
    args = parser.parse_args()

    environment = VecTransposeImage(
        make_vec_env(
            "nav_pkg.gym:nav_pkg/Corridor-v0",
            n_envs=args.processes,
            seed=1,
            env_kwargs={
                "world": "esatv3",
                "width": 64,
                "height": 48,
                "max_duration": args.duration,
                "discrete": True,
                "start": "route",
            },
            # "spawn": a process that was forked would inherit this one's OpenGL and threads.
            vec_env_cls=SubprocVecEnv,
            vec_env_kwargs={"start_method": "spawn"},
        )
    )
    random = np.random.default_rng(1)
    learner = BC(
        observation_space=environment.observation_space,
        action_space=environment.action_space,
        policy=ActorCriticCnnPolicy(
            environment.observation_space, environment.action_space, lr_schedule=lambda _: 1e-3
        ),
        batch_size=32,
        rng=random,
        device="cpu",
    )
    expert = ExpertModule(environment)
    with tempfile.TemporaryDirectory() as folder:
        trainer = SimpleDAggerTrainer(
            venv=environment, scratch_dir=folder, expert_policy=expert, bc_trainer=learner, rng=random
        )
        for name, policy in (("expert", expert), ("before training", learner.policy)):
            report(name, policy, environment, args.episodes)
        environment.seed(1)
        trainer.train(
            args.steps,
            rollout_round_min_episodes=1,
            rollout_round_min_timesteps=args.round,
            bc_train_kwargs={"n_epochs": args.epochs, "progress_bar": False},
        )
        report("after training", learner.policy, environment, args.episodes)
    environment.close()


def report(name, policy, environment, episodes):
    environment.seed(99)
    progress = []

    def at_end(values, _globals):
        if values["done"]:
            progress.append(values["info"]["progress"])

    reward, deviation = evaluate_policy(policy, environment, episodes, callback=at_end)
    mean = sum(progress) / len(progress)
    print(f"{name}: {mean:.1f} m, reward {reward:.1f} +- {deviation:.1f} over {episodes} runs", flush=True)


if __name__ == "__main__":
    main()
