"""Train a policy by reinforcement learning: PPO of Stable-Baselines3, on images.

    pip install 'nav_pkg[gym]' stable-baselines3
    python examples/train_ppo.py --steps 200000 --processes 2

It prints the mean progress of the expert and of the policy before and after training, in metres.
"""

import argparse
from pathlib import Path

from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from nav_pkg.gym import ExpertPolicy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=200_000, help="frames to train on")
    parser.add_argument("--processes", type=int, default=2, help="environments, each in a process")
    parser.add_argument("--rollout", type=int, default=512, help="frames of an environment before an update")
    parser.add_argument("--episodes", type=int, default=5, help="runs of an evaluation")
    parser.add_argument("--duration", type=float, default=30.0, help="simulated seconds of a run")
    parser.add_argument("--model", type=Path, default=Path("ppo_corridor.zip"), help="file of the policy")
    args = parser.parse_args()

    arguments = {"world": "esatv3", "width": 64, "height": 48, "max_duration": args.duration}
    processes = make_vec_env(
        "nav_pkg.gym:nav_pkg/Corridor-v0",
        n_envs=args.processes,
        seed=1,
        env_kwargs={**arguments, "start": "route"},
        # "spawn": a process that was forked would inherit this one's OpenGL and threads.
        vec_env_cls=SubprocVecEnv,
        vec_env_kwargs={"start_method": "spawn"},
    )
    evaluation = make_vec_env(
        "nav_pkg.gym:nav_pkg/Corridor-v0", seed=99, env_kwargs=arguments, vec_env_cls=DummyVecEnv
    )
    model = PPO(
        "CnnPolicy",
        processes,
        n_steps=args.rollout,
        batch_size=min(128, args.rollout * args.processes),
        n_epochs=4,
        gamma=0.97,
        learning_rate=3e-4,
        seed=1,
        device="cpu",
        verbose=1,
    )
    for name, policy in (("expert", ExpertPolicy(evaluation)), ("before training", model)):
        report(name, policy, evaluation, args.episodes)
    model.learn(args.steps)
    model.save(args.model)
    report("after training", model, evaluation, args.episodes)
    processes.close()
    evaluation.close()


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
