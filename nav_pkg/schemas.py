"""Schemas of the JSON and YAML files of logs, DAGs and robots: the entries that commands rely on.

Files may have further entries, and null stands for an unknown value. Files of other versions therefore stay
readable. Datasets have their own schemas (`nav_pkg.data`).
"""

from __future__ import annotations

import re
from typing import Any, Dict

from nav_pkg.core import Outcome
from nav_pkg.fields import (
    NOTHING,
    OBJECT,
    TEXT,
    TRUTH,
    Field,
    a_list,
    an_object,
    either,
    number,
    one_of,
    table,
    whole,
)

Schema = Dict[str, Field]

_COUNT = whole(0, 10**12)
_REAL = number(-1e100, 1e100)  # sums and squares of it stay finite
_LENGTH = number(0, 1e100)
_SHARE = number(0, 1)
_SIZE = whole(0, 100_000)

_CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and not _CONTROL.search(value)


def _is_name(value: Any) -> bool:
    return _is_line(value) and 0 < len(value) < 256 and "/" not in value and value not in (".", "..")


LINE = Field("text of one line", _is_line)
NAME = Field("a name without '/'", _is_name)
_WORDS = a_list(LINE)

# A log folder.

_SCORES: Schema = {
    "frames": _COUNT,
    "loss": _REAL,
    "imitation_loss": _LENGTH,
    "accuracy": _SHARE,
    "balanced_accuracy": _SHARE,
    "majority_accuracy": _SHARE,
    "recall": a_list(either(_SHARE, NOTHING)),
    "confusion": a_list(a_list(_COUNT)),
}
SCORES = an_object(_SCORES)
"""Result of `learn.metrics.scores`; every entry is optional."""

_EPISODE_SCORES = an_object({**{key: field.required for key, field in _SCORES.items()}, "frames": _COUNT})

METRICS: Schema = {
    "episode": whole(1).required,
    "updates": _COUNT.required,
    **dict.fromkeys(("train", "val", "test"), _EPISODE_SCORES),
}
"""A line of metrics.jsonl."""

TIMING: Schema = {"episode": whole(1).required, "time": _REAL}
"""A line of timing.jsonl; its other entries are numbers."""

CONFIG: Schema = {
    "flags": OBJECT.required,
    "dataset": an_object({"name": LINE, "hash": LINE, "camera": a_list(_SIZE)}),
    "threads": whole(1, 100_000),
    "device": LINE,
    "versions": table(LINE),
}
"""config.json of a training, and its copies in results.json and evaluations."""

RESULTS: Schema = {
    "network": LINE,
    "parameters": _COUNT,
    "episodes": _COUNT,
    "frames": _COUNT,
    "updates": _COUNT,
    "classes": _WORDS,
    **dict.fromkeys(("train", "val", "test"), SCORES),
    "timing": table(_REAL),
    "config": an_object(
        {"flags": an_object({"network": LINE, "random_seed": whole(), "learning_rate": _REAL})}
    ),
}
"""results.json of a training."""

RUN: Schema = {
    "run": whole(0).required,
    "outcome": one_of(item.value for item in Outcome).required,
    "name": NAME,
    "frames": _COUNT,
    "interrupted": TRUTH,
    "evaluation": TRUTH,
    "reverse": TRUTH,
    "world": LINE,
    "reason": TEXT,
    "seed": whole(),
    "run_seed": whole(),
    **dict.fromkeys(("distance", "duration", "nearest", "imitation_loss", "mean_speed", "laps"), _LENGTH),
    **dict.fromkeys(("progress", "alpha", "control_delay", "route_length"), _REAL),
    **dict.fromkeys(("replaced", "takeovers", "inference_frames", "deadline_misses"), _COUNT),
    **dict.fromkeys(("inference_p50", "inference_p99", "wall_seconds", "simulated_seconds"), _LENGTH),
    **dict.fromkeys(("actors", "labels"), table(_COUNT)),
}
"""A line of runs.jsonl."""

HEARTBEAT: Schema = {
    "pid": whole(1),
    "wall": _REAL,
    "run": whole(),
    "state": LINE,
    "stamp": _REAL,
    "index": whole(),
    "progress": _REAL,
    "lap": _REAL,
    "limit": _REAL,
    "x": _REAL,
    "y": _REAL,
    "loss": _REAL,
    "updates": _COUNT,
}
"""state.json of a session."""

DAGGER: Schema = {"flags": OBJECT.required, "rounds": a_list(OBJECT)}
"""dagger.json."""

# An evaluation.

_CHECKPOINT = an_object({"label": NAME.required, "network": LINE, "sha256": LINE, "offline": SCORES})

EVALUATION_CONFIGURATION: Schema = {
    "checkpoints": a_list(_CHECKPOINT).required,
    "worlds": _WORDS.required,
    "directions": a_list(one_of(["forward", "reverse"])).required,
    "control_delays": a_list(number(0, 1000)).required,
    "perturbations": _WORDS.required,
    "number_of_runs": whole(1, 10**6).required,
    "shards": whole(1, 10_000).required,
    "keep_images": TRUTH,
    "versions": table(LINE),
}
"""evaluation_conf.json."""

EVALUATION: Schema = {
    "checkpoints": table(
        an_object(
            {
                "network": LINE,
                "measures": an_object({"success_rate": _SHARE, "collision_free_distance": _LENGTH}),
            }
        )
    ),
    "conditions": a_list(
        an_object(
            {
                "checkpoint": NAME.required,
                "runs": a_list(
                    an_object(
                        {
                            "outcome": one_of(item.value for item in Outcome).required,
                            **dict.fromkeys(
                                ("imitation_loss", "distance", "nearest"), either(_LENGTH, NOTHING)
                            ),
                        }
                    )
                ).required,
            }
        )
    ),
}
"""evaluation.json: the entries that are read again."""

# A DAG.

SPEC: Schema = {
    "name": NAME.required,
    "kind": LINE,
    "command": a_list(TEXT).required,
    "wall_time": _LENGTH,
    "simulator": TRUTH,
    "env": table(TEXT),
    "datasets": a_list(TEXT),
    "copy_dataset": TRUTH,
    "transfer": an_object({"in": a_list(TEXT), "out": a_list(TEXT)}),
    "pack": a_list(TEXT),
    "retries": whole(0, 10_000),
    "total": _COUNT,
    "unit": LINE,
}
"""jobs/NODE.json."""

PLAN: Schema = {
    "command": LINE.required,
    "tag": LINE,
    "data_root": LINE,
    "summary_dir": LINE,
    "configuration": OBJECT,
    "jobs": a_list(
        an_object(
            {
                "name": NAME.required,
                "kind": LINE.required,
                "seconds": _LENGTH,
                "total": _COUNT,
                "unit": LINE,
                "outputs": _WORDS,
            }
        )
    ),
}
"""plan.json of a DAG."""

PLACES: Schema = {**PLAN, "data_root": LINE.required, "summary_dir": LINE.required}
"""plan.json, for readers that need the folders of the jobs' files."""

SUBMITTED: Schema = {"cluster": whole(0), "rescue": whole(0, 10_000), "pool": LINE, "time": _REAL}
"""submitted.json of a DAG."""

STATE: Schema = {
    "host": LINE,
    "cluster": either(whole(), LINE),
    "error_line": TEXT,
    "last_line": TEXT,
    **dict.fromkeys(
        ("tries", "failures", "hangs", "done_before", "of", "runs", "episodes", "frames"), _COUNT
    ),
}
"""state/NODE.json."""

# A robot.

ROBOT: Schema = {
    "name": LINE,
    "base": LINE,
    "model": LINE,
    "drive": LINE,
    "control_rate": number(0.01, 10_000),
    "topics": table(either(LINE, NOTHING)),
    "frames": table(LINE),
    "camera": an_object({"width": _SIZE, "height": _SIZE, "horizontal_fov": number(0.001, 6.3)}),
    "depth": an_object({"width": _SIZE, "height": _SIZE}),
    "scan": an_object({"noise": _LENGTH, "range_max": _LENGTH}),
    "command": an_object({"timeout": _LENGTH}),
    "guard": OBJECT,
}
"""A robot's YAML file. The code that uses `cameras` and `runs` checks them."""
