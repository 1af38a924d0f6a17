"""Drawings of flights: a world's floor plan from above, with its route and flown paths."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Iterable, List, Sequence

import numpy as np

from nav_pkg.core import Outcome
from nav_pkg.data.reader import Run
from nav_pkg.report import style
from nav_pkg.world import FloorPlan

WALLS = {
    "wall": ("#4a4a4a", 1.1),
    "door": ("#9c6b30", 2.4),
    "elevator_door": ("#7d8ca3", 2.8),
    "poster": ("#cc79a7", 2.4),
    "radiator": ("#b8a94a", 2.4),
    "blue_window_panel": ("#3a78c2", 2.8),
}
"""Kind of wall -> (colour, line width)."""

_DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)))


@dataclass(frozen=True)
class FlownPath:
    """A flown path.

    Attributes:
        name: of the run.
        label: text in the legend.
        xy: float64 (frames, 2), metres, world frame; may be empty.
        outcome: how the run ended.
    """

    name: str
    label: str
    xy: np.ndarray
    outcome: str

    @staticmethod
    def of_run(run: Run, label: str = "") -> FlownPath:
        """The path of a recorded run.

        Args:
            run: with its frames.
            label: text in the legend; empty for name, outcome and laps.
        """
        frames = run.frames
        laps = run.facts.get("laps")
        text = label or f"{run.name}: {run.outcome}" + ("" if laps is None else f", {laps:.2f} laps")
        return FlownPath(run.name, text, np.stack([frames.x, frames.y], axis=1), run.outcome)


def draw_plan(axes: Any, plan: FloorPlan, route: bool = True) -> None:
    """Draw a floor plan: the free floor, all kinds of walls, and the route with its direction.

    Args:
        axes: of matplotlib.
        plan: the world.
        route: draw the route.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    floor = Path.make_compound_path(*(_closed(ring) for ring in plan.rings()))
    axes.add_patch(PathPatch(floor, facecolor="#f6f4ef", edgecolor="none", zorder=0))
    for kind, (colour, width) in WALLS.items():
        lines = sorted({(wall.start, wall.end) for wall in plan.walls if wall.kind == kind})
        if lines:
            axes.add_collection(
                LineCollection(lines, colors=colour, linewidths=width, zorder=2, capstyle="round")
            )
    if route:
        loop = np.vstack([plan.waypoints, plan.waypoints[:1]])
        axes.plot(*loop.T, color="#b5b5b5", linewidth=1.0, linestyle=(0, (4, 3)), zorder=3)
        for s in np.linspace(0, plan.route.length, 9)[:-1]:
            here, ahead = plan.route.pose_at(s), plan.route.pose_at(s + 1.2)
            axes.annotate(
                "",
                (ahead.x, ahead.y),
                (here.x, here.y),
                arrowprops={"arrowstyle": "-|>", "color": "#b5b5b5", "lw": 1.0},
                zorder=3,
            )
    low, high = plan.outer_boundary.min(axis=0), plan.outer_boundary.max(axis=0)
    axes.set_xlim(low[0] - 1.5, high[0] + 1.5)
    axes.set_ylim(low[1] - 1.5, high[1] + 1.5)
    axes.set_aspect("equal")
    axes.set_xlabel("x [m]")
    axes.set_ylabel("y [m]")
    axes.grid(False)


def _closed(ring: np.ndarray) -> Any:
    from matplotlib.path import Path

    codes = [Path.MOVETO] + [Path.LINETO] * (len(ring) - 1) + [Path.CLOSEPOLY]
    return Path(np.vstack([ring, ring[:1]]), codes)


def draw_paths(axes: Any, paths: Iterable[FlownPath], numbers: bool = True) -> None:
    """Draw flown paths, coloured by outcome, with a numbered ring at the start and a cross at the end.

    The end of a whole lap is a filled dot; the cross of a collision is larger.

    Args:
        axes: of matplotlib.
        paths: in order; paths of the same outcome differ in their dashes.
        numbers: draw the numbered rings (from 1).
    """
    counts: dict = {}
    for number, path in enumerate(paths, 1):
        colour = style.outcome_colour(path.outcome)
        count = counts.get(path.outcome, 0)
        counts[path.outcome] = count + 1
        if not len(path.xy):
            axes.plot([], [], color=colour, label=f"{number}  {path.label}")
            continue
        axes.plot(
            *path.xy.T,
            color=colour,
            linewidth=1.5,
            linestyle=_DASHES[count % len(_DASHES)],
            alpha=0.9,
            zorder=4,
            label=f"{number}  {path.label}" if numbers else path.label,
        )
        start, end = path.xy[0], path.xy[-1]
        if path.outcome == str(Outcome.SUCCESS):
            axes.plot(*end, "o", color=colour, markersize=4, zorder=6)
        else:
            big = 13 if path.outcome == str(Outcome.COLLISION) else 9
            axes.plot(*end, "X", color=colour, markersize=big, markeredgecolor="white", zorder=7)
        if numbers:
            axes.plot(*start, "o", color="white", markeredgecolor=colour, markersize=11, zorder=6)
            axes.text(*start, str(number), ha="center", va="center_baseline", fontsize=7.5, zorder=8)


@style.styled
def flights_figure(plan: FloorPlan, paths: Sequence[FlownPath], numbers: bool = True) -> Any:
    """Draw a plan with flown paths and a legend inside the loop of the route."""
    figure, axes = style.new_figure(9.0, 6.9)
    draw_plan(axes, plan)
    draw_paths(axes, paths, numbers)
    if paths:
        middle = plan.inner_boundary.mean(axis=0)
        axes.legend(
            loc="center", bbox_to_anchor=tuple(middle), bbox_transform=axes.transData, handlelength=3.2
        )
    return figure


def paths_csv(paths: Sequence[FlownPath]) -> str:
    """The data of the figure as CSV: run, outcome, frame, x, y."""
    out = io.StringIO()
    out.write("run,outcome,frame,x,y\n")
    for path in paths:
        out.writelines(
            f"{path.name},{path.outcome},{i},{x:.4f},{y:.4f}\n" for i, (x, y) in enumerate(path.xy)
        )
    return out.getvalue()


def lap_offsets(run: Run, plan: FloorPlan) -> np.ndarray:
    """Signed distance of a run to the left of the route, per frame: float64 (frames,), metres."""
    offsets: List[float] = []
    near = None
    for x, y in zip(run.frames.x, run.frames.y):
        near, offset = plan.route.project(float(x), float(y), near)
        offsets.append(offset)
    return np.array(offsets)
