"""Drawing does not fail on what recordings may hold."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from nav_pkg.core import DataError
from nav_pkg.report import curves, flights, floorplan, images, style

from .conftest import scores, write_run


def size(data):
    return Image.open(io.BytesIO(data)).size


@pytest.mark.parametrize("outcomes", [[], ["collision"], ["success"] * 5 + ["timeout", "sim_failure", "odd"]])
def test_paths_of_any_outcome(plan, outcomes):
    path = np.array([[-50.0, -3.0], [-49.0, -3.1]])
    flown = [
        floorplan.FlownPath(f"run {i}", outcome, path + [i, 0], outcome) for i, outcome in enumerate(outcomes)
    ]
    figure = floorplan.flights_figure(plan, flown)
    assert len(style.png(figure)) > 10_000
    lines = floorplan.paths_csv(flown).splitlines()
    assert len(lines) == 1 + 2 * len(outcomes)


def test_a_path_without_frames(plan):
    empty = floorplan.FlownPath("run 0", "aborted", np.empty((0, 2)), "aborted")
    assert style.png(floorplan.flights_figure(plan, [empty]))
    assert floorplan.paths_csv([empty]).count("\n") == 1


def test_every_kind_of_wall_has_a_colour(plan):
    assert {wall.kind for wall in plan.walls} <= set(floorplan.WALLS)


def test_a_run_of_one_frame(dataset):
    run = write_run(dataset("one", 0), 0, "collision", learner=True, frames=1)
    assert floorplan.FlownPath.of_run(run).xy.shape == (1, 2)
    assert style.png(flights.turns_figure([run], "learner", 30, ["a"], last=True))
    assert flights.last_indices(run, 6, 3.0) == [0]
    assert size(images.contact_sheet([images.frame_picture(run, 0)], 3)) == (320, 240)


def test_offsets_from_the_route(plan, dataset):
    run = write_run(dataset("one", 0), 0)
    offsets = floorplan.lap_offsets(run, plan)
    here = plan.route.project(-50.0, -3.0)
    assert offsets.shape == (40,) and offsets[0] == pytest.approx(here.offset)


def test_agreement_by_hand(dataset):
    """The expert turns left in every fourth frame, the network never."""
    from nav_pkg.learn.action import ActionSpace

    run = write_run(dataset("flown", 0), 0, "collision", learner=True)
    agreement = flights.agreement([run], ActionSpace(), 1)
    assert (
        agreement["frames"] == 40 and agreement["accuracy"] == 0.75 and agreement["majority_accuracy"] == 0.75
    )
    assert agreement["recall"] == [None, 1.0, 0.0] and agreement["balanced_accuracy"] == 0.5
    assert agreement["imitation_loss"] == 0.25
    assert agreement["confusion"] == [[0, 0, 0], [0, 30, 0], [0, 10, 0]]
    nobody = write_run(dataset("expert", 0), 0)
    assert flights.agreement([nobody], ActionSpace(), 1) is None
    assert flights.agreement([], ActionSpace(), 1) is None


def test_arrows_lean_to_the_side_of_the_turn():
    grey = np.full((120, 160, 3), 128, np.uint8)
    left = np.asarray(images.annotated(grey, 1.0, float("nan"), "", 320)).astype(int)
    green = (left[..., 1] > left[..., 0] + 60) & (np.arange(240)[:, None] < 200)
    assert green.any() and np.nonzero(green)[1].mean() < 0.46 * 320 - 15


def test_samples_show_turns_too(dataset):
    run = write_run(dataset("one", 0), 0)
    chosen = images.sample_indices(run, 6)
    assert len(chosen) == 6
    assert sum(run.frames.expert_yaw[i] > 0.5 for i in chosen) >= 3


def test_curves(training):
    records = curves.read_metrics(training)
    assert style.png(curves.curves_figure(records)) and style.png(curves.curves_figure(records[:1]))
    lines = curves.curves_csv(records).splitlines()
    assert lines[0].startswith("episode,updates,train_loss,train_accuracy")
    assert lines[1].split(",")[:2] == ["1", "100"] and float(lines[3].split(",")[3]) == pytest.approx(0.7)
    matrices = {"test": scores(0.8)["confusion"]}
    assert style.png(curves.confusion_figure(matrices, ["right", "straight", "left"]))
    assert "test,straight,straight,32" in curves.confusion_csv(matrices, ["right", "straight", "left"])


def test_a_cut_last_line_is_left_out_and_others_are_not(training):
    file = training / "metrics.jsonl"
    whole = file.read_text()
    file.write_text(whole + '{"episode": 4, "upd')
    assert len(curves.read_metrics(training)) == 3
    file.write_text("rubbish\n" + whole)
    with pytest.raises(DataError, match=r"metrics.jsonl: line 1 is damaged"):
        curves.read_metrics(training)
    file.write_text("")
    with pytest.raises(DataError, match="no whole episode"):
        curves.read_metrics(training)
    with pytest.raises(DataError, match="cannot read"):
        curves.read_results(training / "elsewhere")
