"""Routes keep away from walls where there is room."""

from __future__ import annotations

import json

import pytest

from nav_pkg.cli import make_world
from nav_pkg.world import known_worlds, load_plan, making
from nav_pkg.world.plan_file import PLANS
from nav_pkg.world.room import ROOM, tight_spots


@pytest.mark.parametrize("world", known_worlds())
def test_every_route_keeps_its_room(world):
    assert tight_spots(load_plan(world)) == []


@pytest.fixture
def published(tmp_path):
    """esatv3 with the waypoint of the published route that lies 0.64 m from a wall."""
    raw = json.loads((PLANS / "esatv3.json").read_text())
    raw["name"] = "published"
    raw["waypoints"][24] = [-57.99, -0.75]
    path = tmp_path / "published.json"
    path.write_text(json.dumps(raw))
    return path


def test_a_waypoint_near_a_wall_is_named(published):
    (spot,) = tight_spots(load_plan(published))
    assert spot.waypoint == 24
    assert spot.clearance == pytest.approx(0.64, abs=0.01)
    # The corridor is 2.5 m wide here.
    assert spot.possible == pytest.approx(1.24, abs=0.02)
    assert spot.better == pytest.approx((-57.4, -0.75), abs=0.1)


def test_a_narrow_corridor_is_no_tight_spot():
    """A route in the middle has all the room there is."""
    plan = load_plan("esatv3")
    assert min(plan.clearance(*plan.route.pose_at(s)[:2]) for s in range(191)) < 1.5 * ROOM
    assert [spot for spot in tight_spots(plan, 1.1) if spot.possible < spot.clearance + 0.1] == []


def test_make_world_warns(published, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(making, "make", lambda plan, output: True)
    assert make_world.main([str(published), "--output", str(tmp_path)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "waypoints[24]" in line and "0.64 m" in line and "1.24 m" in line
