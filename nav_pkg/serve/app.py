"""The Flask application: read-only pages, rendered on the server."""

from __future__ import annotations

import contextlib
import io
import math
import re
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import flask
import numpy as np

from nav_pkg import schemas
from nav_pkg.core import DataError, NavError
from nav_pkg.data import format as fmt
from nav_pkg.data.image_store import ImageStore
from nav_pkg.data.reader import Dataset, Run
from nav_pkg.fields import NOTHING, either
from nav_pkg.flight.runlog import RunLog
from nav_pkg.reading import read_json
from nav_pkg.report import combine, style
from nav_pkg.report.curves import METRICS_FILE, RESULTS_FILE, read_results
from nav_pkg.report.floorplan import WALLS
from nav_pkg.report.scalars import read_curve
from nav_pkg.serve.catalogue import Catalogue, Entry, live
from nav_pkg.studies.cell_logs import recorded
from nav_pkg.studies.status import counts_text, status_table
from nav_pkg.world import load_plan

TAG = "Loss_val_accuracy"
_CONFIGURATION = {"world": either(schemas.LINE, NOTHING), "data_location": either(schemas.LINE, NOTHING)}
COMPARED = ("training", "evaluation")
"""Kinds of logs that can be compared in one figure."""
PAGE = 100
"""Rows per page of a list."""
THUMBNAIL = 160
"""Width of a preview image, pixels."""


def make_app(catalogue: Catalogue) -> flask.Flask:
    """Create the application.

    Args:
        catalogue: the datasets and logs to show.
    """
    app = flask.Flask(__name__)
    app.jinja_env.globals.update(kinds=("training", "session", "evaluation", "study", "dag"))
    app.jinja_env.filters["number"] = _number

    @app.after_request
    def harden(answer: flask.Response) -> flask.Response:
        # the page of a report has its own policy
        answer.headers.setdefault("Content-Security-Policy", "default-src 'self'; img-src 'self' data:")
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    @app.before_request
    def refuse_others() -> Optional[Any]:
        # DNS rebinding: a foreign page may map its own name to 127.0.0.1. Such requests are refused.
        host = flask.request.host.rsplit(":", 1)[0]
        if host not in ("127.0.0.1", "localhost", "[::1]"):
            return flask.Response("only for this machine\n", 403, mimetype="text/plain")
        return None

    @app.errorhandler(NavError)
    def refused(error: NavError) -> Any:
        return flask.render_template("error.html", error=str(error)), 404

    @app.get("/")
    def home() -> str:
        entries = catalogue.entries()
        running = [entry for entry in entries if entry.kind == "session" and live(catalogue.folder(entry))]
        counts = {
            kind: sum(entry.kind == kind for entry in entries) for kind in app.jinja_env.globals["kinds"]
        }
        names = catalogue.datasets()
        return flask.render_template(
            "home.html", counts=counts, datasets=len(names), latest=entries[:12], running=running
        )

    @app.get("/datasets/")
    def datasets() -> str:
        words = flask.request.args.get("q", "").lower()
        rows = []
        for name in catalogue.datasets():
            if words in name.lower():
                try:
                    entries = Dataset(catalogue.data_root / name, check=False).entries()
                    rows.append({"name": name, "runs": sum(entry.is_dir() for entry in entries)})
                except NavError as error:
                    rows.append({"name": name, "error": str(error)})
        return flask.render_template("datasets.html", rows=rows, q=words)

    @app.get("/datasets/<path:name>/")
    def dataset(name: str) -> str:
        opened = catalogue.dataset(name)
        rows = []
        for run in opened.runs:
            try:
                facts = run.facts
                keys = ("outcome", "frames", "distance", "duration", "world", "seed")
                rows.append({"name": run.name, **{key: facts.get(key) for key in keys}})
            except NavError as error:
                rows.append({"name": run.name, "error": str(error)})
        counts: Dict[str, int] = {}
        for row in rows:
            counts[row.get("outcome") or "unreadable"] = counts.get(row.get("outcome") or "unreadable", 0) + 1
        return flask.render_template("dataset.html", name=name, rows=rows, counts=counts)

    def run_of(dataset: str, run: str) -> Run:
        match = next((each for each in catalogue.dataset(dataset).runs if each.name == run), None)
        if match is None:
            raise _missing(run)
        return match

    @app.get("/datasets/<path:name>/run/<run>.html")
    def one_run(name: str, run: str) -> str:
        recording = run_of(name, run)
        return flask.render_template(
            "run.html",
            name=name,
            run=recording,
            facts=recording.facts,
            frames=len(recording),
            plan=_plan(recording.world),
        )

    @app.get("/datasets/<path:name>/run/<run>.json")
    def run_data(name: str, run: str) -> Any:
        frames = run_of(name, run).frames
        columns = ("x", "y", "yaw", "expert_yaw", "applied_yaw", "applied_x")
        return flask.jsonify({key: _plain(frames[key]) for key in columns})

    @app.get("/datasets/<path:name>/run/<run>/<int:index>.jpg")
    def frame(name: str, run: str, index: int) -> Any:
        recording = run_of(name, run)
        if index >= len(recording):
            raise _missing(f"frame {index}")
        return _image(recording, index, flask.request.args.get("small") == "1")

    @app.get("/logs/<kind>/")
    def logs(kind: str) -> str:
        words = flask.request.args.get("q", "").lower()
        page = max(0, flask.request.args.get("page", 0, int))
        matches = [
            entry
            for entry in catalogue.entries(kind)
            if words in f"{entry.tag} {entry.cell} {' '.join(map(str, entry.summary.values()))}".lower()
        ]
        columns = list(dict.fromkeys(key for entry in matches for key in entry.summary))
        return flask.render_template(
            "logs.html", kind=kind, rows=matches[page * PAGE : (page + 1) * PAGE], columns=columns, q=words,
            page=page, pages=math.ceil(len(matches) / PAGE), total=len(matches),
        )  # fmt: skip

    @app.get("/logs/training/<path:tag>/")
    def training(tag: str) -> str:
        entry = catalogue.entry("training", tag)
        folder = catalogue.folder(entry)
        whole = (folder / RESULTS_FILE).exists() and not entry.error
        results = read_results(folder) if whole else {}
        flags = (results.get("config") or {}).get("flags") or {}
        scores = {part: results.get(part) or {} for part in ("train", "val", "test") if results.get(part)}
        return flask.render_template(
            "training.html", entry=entry, scores=scores, flags=flags,
            curve=(folder / METRICS_FILE).exists() or None,
        )  # fmt: skip

    @app.get("/figure/training/<path:tag>.png")
    def training_figure(tag: str) -> Any:
        return _curves(catalogue, [catalogue.entry("training", tag)])

    @app.get("/compare")
    def compare() -> str:
        kind = flask.request.args.get("kind", "training")
        tags = flask.request.args.getlist("tag")
        entries = [catalogue.entry(kind, tag) for tag in tags]
        return flask.render_template("compare.html", kind=kind, entries=entries, tags=tags)

    @app.get("/figure/compare.png")
    def compare_figure() -> Any:
        kind = flask.request.args.get("kind", "training")
        entries = [catalogue.entry(kind, tag) for tag in flask.request.args.getlist("tag")]
        if not entries:
            raise _missing("a comparison of nothing")
        return _curves(catalogue, entries) if kind == "training" else _laps(entries)

    @app.get("/logs/session/<path:tag>/")
    def session(tag: str) -> str:
        entry = catalogue.entry("session", tag)
        plan = _plan(str(_configuration(catalogue.folder(entry)).get("world")))
        return flask.render_template("session.html", entry=entry, plan=plan, **_session(catalogue, entry))

    @app.get("/live/<path:tag>.json")
    def session_state(tag: str) -> Any:
        return flask.jsonify(_session(catalogue, catalogue.entry("session", tag))["state"])

    @app.get("/live/<path:tag>.jpg")
    def session_image(tag: str) -> Any:
        entry = catalogue.entry("session", tag)
        newest = _newest_image(catalogue, entry)
        if newest is None:
            raise _missing("an image of this session")
        return flask.Response(newest, mimetype="image/jpeg", headers={"Cache-Control": "no-store"})

    @app.get("/logs/evaluation/<path:tag>/")
    def evaluation(tag: str) -> str:
        return flask.render_template(
            "entry.html",
            entry=catalogue.entry("evaluation", tag),
            pages=_if_exists(catalogue, tag, "evaluation.html"),
        )

    @app.get("/logs/study/<path:tag>/")
    def study(tag: str) -> str:
        entry = catalogue.entry("study", tag)
        folder = catalogue.folder(entry)
        reports = sorted((folder / "report").glob("*.html"))
        rows: List[Dict[str, Any]] = []
        counts = ""
        try:
            logs = recorded(folder, tag)
        except DataError as error:  # its reports can still be read
            counts = str(error)
        else:
            states = logs.states()
            counts = counts_text(logs, states)
            entries = {each.tag: each for each in catalogue.entries()}
            for row in sorted(status_table(logs, states).rows, key=_natural):
                cell_entry = entries.get(f"{tag}/cells/{row['cell']}")
                rows.append({**row, "entry": cell_entry})
        compared = next(
            (row["entry"].kind for row in rows if row["entry"] and row["entry"].kind in COMPARED), ""
        )
        return flask.render_template(
            "study.html", entry=entry, counts=counts, rows=rows, compared=compared,
            pages=[path.stem for path in reports],
        )  # fmt: skip

    @app.get("/logs/dag/<path:tag>/")
    def dag(tag: str) -> str:
        from nav_pkg.cluster.status import Dag, table

        entry = catalogue.entry("dag", tag)
        lines = table(Dag(catalogue.folder(entry)).update(), time.time())
        return flask.render_template("entry.html", entry=entry, pages=[], lines=lines)

    @app.get("/page/<kind>/<path:tag>/<name>.html")
    def page(kind: str, tag: str, name: str) -> Any:
        folder = catalogue.folder(catalogue.entry(kind, tag))
        path = folder / ("report" if kind == "study" else "") / f"{name}.html"
        if not path.is_file() or folder.resolve() not in path.resolve().parents:
            raise _missing(f"{name}.html")
        answer = flask.Response(path.read_bytes(), mimetype="text/html")
        answer.headers["Content-Security-Policy"] = (
            "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
        )
        return answer

    return app


def _if_exists(catalogue: Catalogue, tag: str, name: str) -> List[str]:
    return [name] if (catalogue.summary_dir / tag / name).is_file() else []


def _natural(row: Dict[str, Any]) -> List[Any]:
    """Sort key of a study's row: numbers in its name by value."""
    return [
        (not word.isdecimal(), int(word) if word.isdecimal() else 0, word)
        for word in re.findall(r"\d+|\D+", row["group"])
    ]


def _missing(subject: str) -> NavError:
    return DataError(f"{subject}: not there")


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(values: np.ndarray) -> List[Optional[float]]:
    return [None if math.isnan(value) else round(float(value), 3) for value in values]


def _image(run: Run, index: int, small: bool) -> flask.Response:
    data = run.images.read(fmt.rgb_file(index))
    if small:
        from PIL import Image

        picture = Image.fromarray(run.rgb(index))
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=80)
        data = out.getvalue()
    return flask.Response(data, mimetype="image/jpeg", headers={"Cache-Control": "max-age=3600"})


def _plan(world: str) -> Optional[Dict[str, Any]]:
    """The data of a world's floor plan for an SVG: walls with colours, and the bounding box."""
    try:
        plan = load_plan(world)
    except NavError:
        return None
    low, high = plan.outer_boundary.min(axis=0) - 1.5, plan.outer_boundary.max(axis=0) + 1.5
    lines = [(*wall.start, *wall.end, WALLS[wall.kind][0]) for wall in plan.walls if wall.kind in WALLS]
    return {"lines": lines, "box": (low[0], -high[1], high[0] - low[0], high[1] - low[1])}


def _curves(catalogue: Catalogue, entries: Sequence[Entry]) -> flask.Response:
    groups = []
    for entry in entries:
        folder = catalogue.folder(entry)
        groups.append(combine.Group(entry.title.replace("$", r"\$"), (folder,), (read_curve(folder, TAG),)))
    rows = [row for group in groups for row in combine.drawn_points(group)]
    return _png(combine.combined_figure(rows, TAG, ""))


@style.styled
def _laps(entries: Sequence[Entry]) -> flask.Response:
    figure, axes = style.new_figure(8.0, 1.2 + 0.45 * len(entries))
    shares, names = [], []
    for entry in entries:
        for line in str(entry.summary.get("whole laps") or "").split("; "):
            label, _, count = line.rpartition(": ")
            done, _, total = count.partition(" of ")
            if total.isdigit() and int(total):
                shares.append(100 * int(done) / int(total))
                names.append(f"{entry.title}: {label}".replace("$", r"\$"))
    axes.barh(names, shares, color=style.BLUE)
    axes.set_xlim(0, 100)
    axes.set_xlabel("whole laps [%]")
    return _png(figure)


def _png(figure: Any) -> flask.Response:
    return flask.Response(style.png(figure), mimetype="image/png")


def _session(catalogue: Catalogue, entry: Entry) -> Dict[str, Any]:
    folder = catalogue.folder(entry)
    runs = list(RunLog(folder).runs()) if (folder / "runs.jsonl").exists() else []
    state = live(folder)
    values: Dict[str, Any] = {"running": state is not None, "outcomes": entry.summary.get("outcomes", "")}
    if state is not None:
        lap = state.get("lap") or 0.0
        values.update(
            run=state.get("run"),
            percent=min(100, round(100 * (state.get("progress") or 0.0) / lap)) if lap else None,
            simulated=state.get("stamp"),
            image=_newest_image(catalogue, entry) is not None,
            **({"x": state["x"], "y": state["y"]} if None not in (state.get("x"), state.get("y")) else {}),
        )
    return {"state": values, "runs": runs[-50:]}


def _configuration(folder: Path) -> Dict[str, Any]:
    """Read a session's configuration; empty if it cannot be read."""
    try:
        return read_json(folder / "run_conf.json", _CONFIGURATION)
    except NavError:
        return {}


def _newest_image(catalogue: Catalogue, entry: Entry) -> Optional[bytes]:
    """The latest complete image (JPEG) of the run that a session is recording."""
    conf = _configuration(catalogue.folder(entry))
    location = conf.get("data_location") or entry.tag
    dataset = catalogue.data_root / str(location)
    if not conf.get("create_dataset") or catalogue.data_root.resolve() not in dataset.resolve().parents:
        return None
    for partial in sorted(dataset.glob(f"*{fmt.PARTIAL}"), reverse=True):
        images = ImageStore(partial)
        with contextlib.suppress(NavError):  # its run has ended in the meantime
            names = images.camera(fmt.RGB_FOLDER).names()
            if len(names) > 1:
                return images.read(names[-2])  # the last one may still be written
    return None
