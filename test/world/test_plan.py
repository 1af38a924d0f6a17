"""The floor plan of esatv3: its known facts, and plan files that are wrong."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest

from nav_pkg.core import DataError, NavError, UsageError
from nav_pkg.world import load_plan
from nav_pkg.world.plan import polygon_area, polygon_perimeter
from nav_pkg.world.plan_file import PLANS

PLAN = load_plan("esatv3")


def test_facts():
    assert polygon_perimeter(PLAN.outer_boundary) == pytest.approx(PLAN.facts["outer_perimeter"], abs=0.05)
    assert polygon_perimeter(PLAN.inner_boundary) == pytest.approx(PLAN.facts["inner_perimeter"], abs=0.05)
    assert PLAN.free_area == pytest.approx(PLAN.facts["free_floor_area"], abs=0.05)
    assert PLAN.route.length == pytest.approx(PLAN.facts["loop_length"], abs=0.05)
    assert (PLAN.facts["outer_perimeter"], PLAN.facts["inner_perimeter"]) == (240.6, 191.1)
    assert (PLAN.facts["free_floor_area"], PLAN.facts["loop_length"]) == (719.9, 191.65)


def test_route_keeps_clear_of_the_walls():
    gaps = [PLAN.clearance(*PLAN.route.pose_at(s)[:2]) for s in np.arange(0, PLAN.route.length, 0.1)]
    assert min(gaps) == pytest.approx(PLAN.facts["route_clearance"], abs=0.01)
    assert min(gaps) >= 1.0


def test_start_and_counts():
    assert PLAN.start_pose == (-50, -3, 0)
    assert PLAN.inside(*PLAN.start_pose[:2])
    assert len(PLAN.waypoints) == 27 and len(PLAN.lamps) == 35 and len(PLAN.start_positions) == 35
    kinds = [wall.kind for wall in PLAN.walls]
    assert kinds.count("door") == 25 and kinds.count("poster") == 9
    assert sum(math.dist(w.start, w.end) for w in PLAN.walls if w.kind == "door") == pytest.approx(49, abs=1)
    assert PLAN.ceiling == 2.5
    assert PLAN.limits == {
        "delay_evaluation": 3.0, "max_duration": 260.0, "min_depth": 0.5, "starting_height": 1.0,
    }  # fmt: skip
    assert (PLAN.goto_weight, PLAN.reached_distance) == (0.9, 0.5)


def test_inside():
    assert PLAN.inside(0, 10) and not PLAN.inside(-30, 15) and not PLAN.inside(50, 0)
    assert PLAN.inside(np.array([0, -30]), np.array([10, 15])).tolist() == [True, False]
    # The radiator stands in the way below its top, and only there.
    assert not PLAN.inside(-44.7, -2.2, height=1.0) and PLAN.inside(-44.7, -2.2, height=1.5)


def test_rings_bound_the_floor_at_every_height():
    for height in (0.0, 0.5, 1.0, 1.5, 1.9, 1.95, 2.49):
        outer, inner = PLAN.rings(height)
        assert polygon_area(outer) > 2600 and -2000 < polygon_area(inner) < -1900


def test_ray_cast_by_hand():
    # Across the east corridor at y = 8.5: from x = -1.974 to x = 1.666.
    distances = PLAN.ray_cast(np.array([[0.0, 8.5]]), np.array([0.0, math.pi]))
    assert distances.shape == (1, 2)
    assert distances[0] == pytest.approx([1.664, 1.975], abs=0.01)


def test_no_ray_leaves_the_corridor():
    points = np.array([PLAN.route.pose_at(s)[:2] for s in np.linspace(0, 190, 100)])
    assert np.isfinite(PLAN.ray_cast(points, np.linspace(-np.pi, np.pi, 361))).all()


def test_unknown_world_names_the_nearest():
    with pytest.raises(UsageError, match=r"'esatv4'.*'esatv3'"):
        load_plan("esatv4")
    with pytest.raises(UsageError, match="known: esatv3"):
        load_plan("zzz")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda raw: raw.pop("waypoints"), "'waypoints' is missing"),
        (lambda raw: raw.update(format=2), "format"),
        (lambda raw: raw.update(goto_weight="much"), "'goto_weight' must be a number"),
        (lambda raw: raw.update(goto_weight=1.5), "between 0 and 1"),
        (lambda raw: raw.update(waypoints=[[0, 0], [1]]), "'waypoints' must be at least 3 rows"),
        (lambda raw: raw["walls"].pop(7), "gap"),
        (lambda raw: raw["walls"][3].update(kind="hedge"), r"walls\[3\].*'hedge'"),
        (lambda raw: raw["walls"][3].pop("z"), r"walls\[3\] lacks 'z'"),
        (lambda raw: raw["walls"][3].update(z=[0, 9]), r"reaches outside"),
        (lambda raw: raw["start_pose"].update(x=40), "start_pose.*not on the free floor"),
        (lambda raw: raw["limits"].update(min_depth=-1), "must not be negative"),
        (lambda raw: raw["limits"].update(max_durations=3), "did you mean 'max_duration'"),
        (lambda raw: raw.update(waypoint=[]), "'waypoint' is unknown; did you mean 'waypoints'"),
        (lambda raw: raw.update(goto_weight=10**400), "not JSON.*more than 64 bits"),
        (lambda raw: raw.update(facts=[1]), "'facts' must be an object"),
        (lambda raw: raw.update(name=["x"]), "'name' must be a text"),
        (lambda raw: raw.update(name="../x"), "'name' '../x' must be letters"),
        (
            lambda raw: raw.update(name="longer"),
            "'name' is 'longer', the file's is 'esatv3': give both the same",
        ),
        (
            lambda raw: raw["walls"][3].update({"from": [1e300, 0]}),
            r"walls\[3\] is wrong: .* not a point within",
        ),
        (lambda raw: raw["waypoints"][0].__setitem__(0, 1e9), "'waypoints' reaches farther than 1000 m"),
        (lambda raw: raw["heights"].update(floor=-1), "'walls' form no ring at a height of -1 m"),
        (lambda raw: raw["lamps"][0].__setitem__(0, 1e308), "'lamps' must be within 1000 m"),
        (lambda raw: raw["lamps"][0].__setitem__(3, 0), "'lamps' must be within .* above 0"),
        (lambda raw: raw["cable_strip"].update(points=[[0, 0]] * 4), "the same point twice in a row"),
        (lambda raw: raw.update(title="Another"), "esatv3 is a world of the package, with another plan"),
        (lambda raw: raw["caps"][0]["points"].reverse(), "counter-clockwise"),
    ],
)
def test_wrong_plan_files(tmp_path, change, problem):
    raw = json.loads((PLANS / "esatv3.json").read_text())
    change(raw)
    path = tmp_path / "esatv3.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(NavError, match=problem) as caught:
        load_plan(path)
    assert str(path) in str(caught.value) or "gap" in problem
    assert "\n" not in str(caught.value)


def test_unreadable_plan_files(tmp_path):
    with pytest.raises(UsageError, match="nowhere.json"):
        load_plan(tmp_path / "nowhere.json")
    path = tmp_path / "broken.json"
    path.write_text("{")
    with pytest.raises(DataError, match="not JSON, cut or damaged"):
        load_plan(path)
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match="not JSON, cut or damaged"):
        load_plan(path)
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("folder.json", "pipe.json"):
        with pytest.raises(DataError, match="cannot read: is a"):
            load_plan(tmp_path / name)
    path.write_text("[]")
    with pytest.raises(DataError, match="is an object"):
        load_plan(path)


def test_a_small_plan_of_the_documentation(tmp_path, monkeypatch):
    """The ten lines of docs/worlds.md: what the plan does not say is as the page says."""
    page = (PLANS.parents[2] / "docs" / "worlds.md").read_text()
    lines = page.split("```python\nimport json\n")[1].split("```")[0]
    assert len(lines.splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    exec("import json\n" + lines, {})
    plan = load_plan("small.json")
    assert plan.title == "small" and plan.limits["max_duration"] == round(1.25 * plan.route.length / 0.8 + 20)
    assert len(plan.rings()) == 2 and plan.free_area == pytest.approx(30 * 20 - 24 * 14)
    assert len(plan.lamps) == round(plan.route.length / 6) and plan.cable_strip is None and not plan.caps
    assert plan.start_positions.tolist() == [[15.0, 1.5]]
    assert load_plan("small.json+7").name == "small+7"
    assert load_plan("small.json+7").digest != plan.digest


def box(points):
    """The walls of a box in the room of the documentation's plan."""
    pairs = zip(points, points[1:] + points[:1])
    return [{"kind": "wall", "from": a, "to": b, "z": [0, 2.5]} for a, b in pairs]


def test_a_box_is_clockwise(tmp_path, documented_plan):
    corners = [[14, 2.2], [14, 2.6], [15, 2.6], [15, 2.2]]
    file = tmp_path / "small.json"
    file.write_text(json.dumps({**documented_plan, "walls": documented_plan["walls"] + box(corners)}))
    plan = load_plan(file)
    assert not plan.inside(14.5, 2.4) and plan.inside(14.5, 1.5)
    file.write_text(json.dumps({**documented_plan, "walls": documented_plan["walls"] + box(corners[::-1])}))
    with pytest.raises(
        DataError, match=r"walls\[8\].*free floor on its left.*around a box or pillar clockwise"
    ):
        load_plan(file)


def test_a_box_may_stand_against_a_wall(tmp_path, documented_plan):
    corners = [[14, 0], [14, 0.5], [15, 0.5], [15, 0]]  # over the middle of the south wall
    file = tmp_path / "small.json"
    file.write_text(json.dumps({**documented_plan, "walls": documented_plan["walls"] + box(corners)}))
    assert load_plan(file).inside(14.5, 0.7)


def test_a_route_through_a_wall_is_refused(tmp_path, documented_plan):
    walls = documented_plan["walls"] + box([[14, 1], [14, 2], [15, 2], [15, 1]])
    file = tmp_path / "small.json"
    start = {"x": 10, "y": 1.5, "yaw": 0}
    file.write_text(json.dumps({**documented_plan, "walls": walls, "start_pose": start}))
    with pytest.raises(
        DataError, match=r"waypoints\[7\].*waypoints\[0\]: a wall crosses the way at \(14.00, 1.50\)"
    ):
        load_plan(file)
