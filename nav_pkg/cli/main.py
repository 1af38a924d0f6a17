"""main.py: train a network offline, or run it as the learner node of a flight (--online)."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Dict, List, Optional, Sequence

from nav_pkg.cli import early, learner_flags
from nav_pkg.cli.flags import Parser
from nav_pkg.core import UsageError


def make_parser(only_given: bool = False) -> Parser:
    """The parser of main.py; with `only_given`, flags that are not given have no value."""
    parser = Parser(prog="main.py", description=__doc__)
    learner_flags.add_to(parser, only_given)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; arguments of roslaunch (with ':=') are passed over.

    Raises:
        UsageError: a flag is unknown, has a bad value, or would have no effect.
    """
    for argument in argv:
        name = argument.split("=")[0]
        if name in learner_flags.RETIRED:
            raise UsageError(f"main.py: {name} {learner_flags.RETIRED[name]}")
    args = make_parser().parse_args(_own(argv))
    idle, where, cure = _OFFLINE
    if args.online:
        idle, where, cure = _FLIGHT if args.no_training else _ONLINE
    for key in given(argv):
        # switches that say what happens anyway, or ask for curves of learning that is not done, do no harm
        if learner_flags.BY_KEY[key].owner in idle and key not in _HARMLESS:
            raise UsageError(f"main.py: --{key} has no effect {where}: {cure}")
    if args.continue_training and not args.checkpoint_path:
        raise UsageError("main.py: --continue_training needs a --checkpoint_path to go on from")
    for key in ("data_root", "prefill_frames"):
        if args.online and not args.prefill_dataset and key in given(argv):
            raise UsageError(
                f"main.py: --{key} has no effect in flight without --prefill_dataset: leave it out"
            )
    if args.trust_torchscript and not args.no_training:
        raise UsageError(
            "main.py: --trust_torchscript: an exported file flies and does not learn: add "
            "--no_training, or leave "
            "it out"
        )
    if args.create_scratch_checkpoint and (args.checkpoint_path or args.evaluate):
        raise UsageError(
            "main.py: --create_scratch_checkpoint makes fresh weights: leave --checkpoint_path "
            "and --evaluate out"
        )
    if args.evaluate and args.continue_training:
        raise UsageError("main.py: --evaluate learns nothing: leave --continue_training out")
    if args.lr_schedule == "constant" and {"lr_decay", "lr_decay_every"} & set(given(argv)):
        raise UsageError(
            "main.py: --lr_decay and --lr_decay_every have no effect without --lr_schedule: add it"
        )
    if args.evaluate and not args.checkpoint_path:
        raise UsageError("main.py: --evaluate needs a --checkpoint_path, whose network is scored")
    return args


def given(argv: Sequence[str]) -> Dict[str, Any]:
    """The values of the flags that stand on a command line, by key; no defaults.

    Raises:
        UsageError: as `parse`, for unknown flags and bad values.
    """
    return vars(make_parser(only_given=True).parse_args(_own(argv)))


def _own(argv: Sequence[str]) -> List[str]:
    return [argument for argument in argv if ":=" not in argument]


# whose flags have no effect, where, and what to do about it
_OFFLINE = (("flight", "online"), "when training offline", "add --online or leave it out")
_ONLINE = (("training",), "in flight (--online)", "leave it out")
_FLIGHT = (("training", "learning", "online"), "in flight (--online --no_training)", "leave it out")
_HARMLESS = ("load_data_in_ram", "pause_simulator", "tensorboard")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    args = parse(argv)
    # Before torch is loaded: its threads, when they wait for each other, would else spin, on cores that
    # others need. tiny_net in lock-step on two cores: 2.9 times real time, spinning 1.8; offline beside
    # other programs (load 20): 44 frames/s, spinning 20.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if args.online:
        import nav_pkg.ros.learner

        return nav_pkg.ros.learner.main(args, given(argv))
    from nav_pkg.learn.stop import Stop

    with Stop(args.wall_time) as stop:  # listening before the slow import of torch
        early.training(args, given(argv))
        from nav_pkg.learn.offline import train

        values = learner_flags.offline_values(args)
        free = [flag.key for flag in learner_flags.FLAGS if flag.free]
        return train(values, free, stop)
