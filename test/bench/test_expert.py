"""The bench's laps of the expert: every condition, continued where it was cut off. Nothing is flown."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from bench import expert
from nav_pkg.session import arguments
from nav_pkg.world import load_plan


@pytest.fixture
def bench(tmp_path):
    """A bench that flies nothing: every command it is given makes the missing runs of its session."""
    fake_bench = SimpleNamespace(file=tmp_path / "results.json", laps=3, lines=[], figures={})
    fake_bench.script = lambda name: name
    fake_bench.command = lambda *words: " ".join(map(str, words))
    fake_bench.report = lambda name, value, unit, command, detail: fake_bench.figures.update(
        {name: (value, detail)}
    )

    def run(python, script, *words):
        words = [str(word) for word in words]
        fake_bench.lines.append(words)
        schedule = arguments.schedule(arguments.split(words)[0])
        write(tmp_path / "laps" / words[words.index("-t") + 1], schedule.runs)

    fake_bench.run = run
    return fake_bench


def write(log, runs, world_hash=None, **facts):
    log.mkdir(parents=True, exist_ok=True)
    line = {
        "outcome": "success", "world_hash": world_hash or load_plan("esatv3").digest, "nearest": 0.8,
        "frames": 2400, "labels": {"left": 300, "straight": 1800, "right": 300},
        "simulated_seconds": 240.0, "wall_seconds": 10.0, **facts,
    }  # fmt: skip
    lines = [json.dumps({"run": run, **line}) + "\n" for run in range(runs)]
    (log / "runs.jsonl").write_text("".join(lines))


def test_both_directions_kinds_and_three_delays(bench):
    expert.expert(bench)
    schedules = [arguments.schedule(arguments.split(words)[0]) for words in bench.lines]
    assert {(s.reverse, s.expert, s.control_delay) for s in schedules} == {
        (reverse, kind, delay)
        for reverse in (False, True)
        for kind in ("bang_bang", "continuous")
        for delay in (0.0, 0.1, 0.2)
    }
    assert len(schedules) == 12 and {(s.runs, s.start, s.alpha) for s in schedules} == {(3, "route", 1.0)}
    assert bench.figures["expert_success_reverse"][0] == 1
    assert "bang_bang 0.2 s: 3 of 3, nearest obstacle 0.80 m" in bench.figures["expert_success_reverse"][1]
    assert bench.figures["straight_fraction"][0] == 0.75


def test_only_what_is_missing_is_flown(bench, tmp_path):
    done, begun, old, failed, stopped = expert.CONDITIONS[:5]
    write(tmp_path / "laps" / done.tag, 3)
    write(tmp_path / "laps" / begun.tag, 1)
    write(tmp_path / "laps" / old.tag, 3, world_hash="of another route")
    write(tmp_path / "laps" / failed.tag, 3, outcome="sim_failure")
    write(tmp_path / "laps" / stopped.tag, 3, outcome="aborted", interrupted=True)
    expert.expert(bench)
    tags = {words[words.index("-t") + 1]: words for words in bench.lines}
    assert done.tag not in tags and len(tags) == 11
    assert [tag for tag, words in tags.items() if "--owr" in words] == [old.tag]
