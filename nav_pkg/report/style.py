"""Style of all figures: colours, sizes, and conversion of a matplotlib figure to a picture.

The colours are those of Okabe and Ito, which people with any colour vision can distinguish ("Color Universal
Design", 2008).
"""

from __future__ import annotations

import functools
import io
from typing import Any, Callable, Dict

INK, GREY, LIGHT = "#222222", "#767676", "#d9d9d9"
BLUE, GREEN, ORANGE, RED = "#0072b2", "#009e73", "#e69f00", "#d55e00"
SKY, PINK = "#56b4e9", "#cc79a7"

EXPERT, APPLIED = GREEN, ORANGE
"""Colours of the expert's and of the executed command in every figure and image."""

OUTCOMES: Dict[str, str] = {
    "success": BLUE,
    "collision": RED,
    "timeout": ORANGE,
    "trapped": PINK,
    "upside_down": INK,
    "aborted": GREY,
    "sim_failure": GREY,
}

SETTINGS: Dict[str, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 170,
    "font.size": 10,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
}


def outcome_colour(outcome: str) -> str:
    """The colour of an outcome; grey for an unknown one."""
    return OUTCOMES.get(outcome, GREY)


def styled(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the function draws with SETTINGS."""

    @functools.wraps(draw)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from matplotlib import rc_context

        with rc_context(SETTINGS):
            return draw(*args, **kwargs)

    return wrapped


@styled
def new_figure(width: float = 9.0, height: float = 4.0, **layout: Any) -> Any:
    """Create a matplotlib Figure without a window, and its axes (as `Figure.subplots` returns them).

    Args:
        width: inches.
        height: inches.
        **layout: further arguments of `Figure.subplots`: rows, columns, ...
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(**layout)


@styled
def png(figure: Any) -> bytes:
    """Encode a figure as PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png", facecolor="white")
    return out.getvalue()


@styled
def svg(figure: Any) -> bytes:
    """Encode a figure as SVG; the same figure gives the same bytes."""
    from matplotlib import rc_context

    out = io.BytesIO()
    with rc_context({"svg.hashsalt": "nav_pkg"}):
        figure.savefig(out, format="svg", facecolor="white", metadata={"Date": None})
    return out.getvalue()
