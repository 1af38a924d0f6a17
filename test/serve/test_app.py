"""The local page: what it lists and shows, and what it refuses."""

import json
import os
import runpy
import shutil
from pathlib import Path

import pytest

flask = pytest.importorskip("flask")

from nav_pkg.core import DataError, UsageError  # noqa: E402
from nav_pkg.data import codec  # noqa: E402
from nav_pkg.serve.app import make_app  # noqa: E402
from nav_pkg.serve.catalogue import Catalogue, live  # noqa: E402
from nav_pkg.serve.export import export  # noqa: E402
from nav_pkg.studies.study import Cell  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = '<img src=x onerror="alert(1)">'
RUN = {
    "run": 0, "name": "00000_esatv3", "outcome": "success", "distance": 191.0, "frames": 2400,
    "reason": HOSTILE, "progress": 191.0,
}  # fmt: skip
RESULTS = {
    "config": {"flags": {"network": "tiny_net", "dataset": "easy", "random_seed": 1}},
    "updates": 20, "episodes": 2, "parameters": 5,
    "val": {"accuracy": 0.75}, "test": {"accuracy": 0.5},
}  # fmt: skip


def training(folder, accuracy=0.75):
    folder.mkdir(parents=True)
    lines = [{"episode": i, "updates": 10 * i, "val": {"accuracy": accuracy * i / 2}} for i in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "results.json").write_text(json.dumps(RESULTS))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("serve")
    data, logs = root / "data", root / "logs"
    runpy.run_path(str(ROOT / "test/learn/conftest.py"))["_write_dataset"](data, runs=1, frames=12)
    training(logs / "tiny/seed_1")
    training(logs / HOSTILE / "seed_2", 0.5)
    session = logs / "collect"
    session.mkdir()
    (session / "runs.jsonl").write_text(json.dumps(RUN) + "\n")
    (logs / "broken").mkdir()
    (logs / "broken/results.json").write_text("{")
    (logs / "elsewhere").symlink_to("/etc")
    (logs / "flown").mkdir()
    (logs / "flown/evaluation_conf.json").write_text("{}")
    (logs / "flown/evaluation.html").write_text("<style>p {}</style><p>flown")
    (data / b"\xff".decode("utf-8", "surrogateescape")).mkdir()
    (data / b"\xff".decode("utf-8", "surrogateescape") / "dataset.json").write_text("{}")
    return data, logs


@pytest.fixture
def get(folders):
    client = make_app(Catalogue(*folders)).test_client()

    def get(url, code=200, host="127.0.0.1:8080"):
        answer = client.get(url, base_url=f"http://{host}")
        assert answer.status_code == code, answer.get_data(as_text=True)[-300:]
        return answer

    return get


def test_lists_and_their_search(get):
    home = get("/").get_data(as_text=True)
    assert "<b>3</b>trainings" in home and "<b>1</b>sessions" in home and "<b>1</b>datasets" in home
    page = get("/logs/training/").get_data(as_text=True)
    assert "tiny/seed_1" in page and "0.75" in page and "3 in all" in page
    assert "1 in all" in get("/logs/training/?q=tiny/").get_data(as_text=True)
    assert "results.json: damaged" in page or "broken" in page
    assert "1 success" in get("/logs/session/").get_data(as_text=True)
    assert "/etc" not in page


def test_hostile_names_are_text(get):
    for url in ("/", "/logs/training/", "/logs/session/collect/", "/logs/training/?q=%3Cscript%3E"):
        page = get(url).get_data(as_text=True)
        assert "<img src=x" not in page and "<script>" not in page
    assert "&lt;img src=x" in get("/logs/training/").get_data(as_text=True)


def test_a_run_is_played(get):
    page = get("/datasets/easy/").get_data(as_text=True)
    assert "00000_esatv3" in page
    page = get("/datasets/easy/run/00000_esatv3.html").get_data(as_text=True)
    assert 'data-frames="12"' in page and page.count("<line ") > 100  # the floor plan
    columns = get("/datasets/easy/run/00000_esatv3.json").get_json()
    assert {len(column) for column in columns.values()} == {12}
    image = get("/datasets/easy/run/00000_esatv3/11.jpg")
    assert image.mimetype == "image/jpeg" and image.data[:2] == b"\xff\xd8"
    assert len(get("/datasets/easy/run/00000_esatv3/11.jpg?small=1").data) < len(image.data)


def test_trainings_are_compared(get):
    assert get("/figure/training/tiny/seed_1.png").data[:4] == b"\x89PNG"
    page = get("/compare?kind=training&tag=tiny/seed_1&tag=tiny/seed_1").get_data(as_text=True)
    assert "/figure/compare.png" in page
    assert get("/figure/compare.png?kind=training&tag=tiny/seed_1").data[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "url",
    [
        "/datasets/nothing/", "/datasets/easy/run/00009_esatv3.html",
        "/datasets/easy/run/00000_esatv3/99.jpg",
        "/logs/training/elsewhere/", "/logs/training/tiny/", "/logs/session/tiny/seed_1/",
        "/logs/training/./tiny/seed_1/",
        "/datasets/easy/00000_esatv3/", "/datasets/.easy/", "/logs/training/../../etc/",
        "/figure/compare.png", "/live/collect.jpg", "/datasets/..%2f..%2fetc/",
        "/page/training/tiny/seed_1/..%2f..%2fx.html",
        "/figure/training/broken.png", f"/logs/training/{300 * 'a'}/", f"/datasets/{300 * 'a'}/b/",
    ],
)  # fmt: skip
def test_what_is_not_there(get, url):
    assert "Traceback" not in get(url, 404).get_data(as_text=True)


def test_only_this_machine_is_answered_and_nothing_is_changed(get, folders):
    get("/", 403, "evil.example")
    client = make_app(Catalogue(*folders)).test_client()
    assert client.post("/", base_url="http://127.0.0.1").status_code == 405
    assert "default-src 'self'" in get("/").headers["Content-Security-Policy"]


def test_a_session_that_runs(folders, tmp_path):
    import os

    state = {"run": 3, "state": "running", "stamp": 5.0, "progress": 20.0, "lap": 191.0, "pid": os.getpid()}
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert live(tmp_path)["run"] == 3
    for between in ("ended", "idle"):
        (tmp_path / "state.json").write_text(json.dumps({**state, "state": between}))
        assert live(tmp_path)["run"] == 3
    (tmp_path / "state.json").write_text(json.dumps({**state, "pid": 2**22 + 1}))
    assert live(tmp_path) is None


@pytest.mark.parametrize("storage", ["tar", "files"])
def test_the_image_of_a_run_that_is_being_recorded(folders, tmp_path, storage):
    samples = runpy.run_path(str(ROOT / "test/data/conftest.py"))["Samples"](storage)
    shutil.copytree(folders[1] / "collect", tmp_path / "logs/collect")
    conf = {"world": "esatv3", "create_dataset": True}
    (tmp_path / "logs/collect/run_conf.json").write_text(json.dumps(conf))
    dataset = samples.dataset(tmp_path / "data" / "collect", runs=1)
    client = make_app(Catalogue(tmp_path / "data", tmp_path / "logs")).test_client()
    writer = samples.writer(dataset, "00001_esatv3")
    assert client.get("/live/collect.jpg", base_url="http://127.0.0.1").status_code == 404
    for i in range(3):
        writer.add(samples.frame(i), samples.rgb(i), samples.depth(i))
    writer._pool.shutdown(wait=True)
    answer = client.get("/live/collect.jpg", base_url="http://127.0.0.1")
    assert answer.data == codec.encode_rgb(samples.rgb(1), 95)  # the newest but one, which is whole
    writer._close()


def test_exported_pages_link_to_each_other(folders, tmp_path):
    first = export(make_app(Catalogue(*folders)), tmp_path / "site")
    pages = [path for path in (tmp_path / "site").rglob("*.html")]
    assert first in pages and len(pages) > 8
    import html
    import re
    from urllib.parse import unquote, urlsplit

    for page in pages:
        for link in re.findall(r'(?:href|src)="([^"#]*)"', page.read_text()):
            link = html.unescape(link)
            if link.startswith("data:") or "compare" in link:
                continue
            assert not link.startswith("/") and not urlsplit(link).scheme
            assert (page.parent / unquote(link)).exists(), (page, link)


def test_a_reports_page_keeps_its_style(get):
    answer = get("/page/evaluation/flown/evaluation.html")
    assert "style-src 'unsafe-inline'" in answer.headers["Content-Security-Policy"]
    assert "script" not in answer.headers["Content-Security-Policy"]


def test_hostile_values_of_a_session(folders, get):
    conf = folders[1] / "collect/run_conf.json"
    for world in ("a\0b.json", 5, "../../etc/passwd", "x.json"):
        conf.write_text(json.dumps({"world": world, "data_location": world, "create_dataset": True}))
        assert "<line" not in get("/logs/session/collect/").get_data(as_text=True)
    conf.unlink()


def test_datasets_below_a_root_that_is_one(folders, tmp_path):
    shutil.copytree(folders[0] / "easy", tmp_path / "easy")
    (tmp_path / "dataset.json").write_text("{}")
    catalogue = Catalogue(tmp_path, tmp_path / "log")
    assert catalogue.datasets() == ["easy"] and len(catalogue.dataset("easy").runs) == 3


def test_an_export_overwrites_nothing_but_an_export(folders, tmp_path):
    app, site = make_app(Catalogue(*folders)), tmp_path / "site"
    export(app, site)
    (site / "stays.txt").write_text("mine")
    removed = folders[1] / "gone"
    training(removed / "seed_1")
    export(app, site)
    assert (site / "logs/training/gone/seed_1/index.html").exists()
    shutil.rmtree(removed)
    export(app, site)
    assert not (site / "logs/training/gone/seed_1/index.html").exists() and (site / "stays.txt").exists()
    (site / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="link is a link; remove it"):
        export(app, site)
    other_folder = tmp_path / "mine"
    other_folder.mkdir()
    (other_folder / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="mine: holds files but no serve.json"):
        export(app, other_folder)
    assert (other_folder / "index.html").read_text() == "mine" and len(list(other_folder.iterdir())) == 1


def test_the_command(tmp_path, folders):
    from nav_pkg.cli import serve

    with pytest.raises(DataError, match="nothing to show"):
        serve.main(["--summary_dir", str(tmp_path / "no"), "--data_root", str(tmp_path / "neither")])
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = ["--port", str(taken.getsockname()[1]), "--summary_dir", str(folders[1])]
        with pytest.raises(UsageError, match="cannot listen"):
            serve.main(words)
    shutil.rmtree(tmp_path)


def test_a_study_lists_its_cells_by_their_choices(tmp_path):
    choices = ({"network": "tiny", "rate": HOSTILE}, {"network": "tiny", "rate": "0.1"})
    cells = [Cell(choice, 7, {"learning_rate": i}) for i, choice in enumerate(choices)]
    folder = tmp_path / "logs/studies/rates/small"
    by_digest = {
        cell.digest: {"choices": cell.choices, "seed": 7, "command": "main.py", "flags": cell.flags}
        for cell in cells
    }
    training(folder / "cells" / cells[0].digest)
    (folder / "study.json").write_text(json.dumps({"study": "rates", "scale": "small", "cells": by_digest}))
    client = make_app(Catalogue(tmp_path, tmp_path / "logs")).test_client()
    page = client.get("/logs/study/studies/rates/small/").get_data(as_text=True)
    link = f'<a href="/logs/training/studies/rates/small/cells/{cells[0].digest}/">tiny, &lt;img src=x'
    assert link in page and "tiny, 0.1, seed 7" in page and HOSTILE not in page
    assert "studies/rates/small: 1 of 2 cells done, 1 left" in page
    for url in (
        "/",
        "/logs/training/?q=onerror",
        f"/compare?tag=studies/rates/small/cells/{cells[0].digest}",
    ):
        listed = client.get(url).get_data(as_text=True)
        assert "rates/small: tiny, &lt;img src=x" in listed and HOSTILE not in listed
    os.mkfifo(folder / "cells" / cells[1].digest)
    link = dict(by_digest[cells[1].digest], flags={"learning_rate": 2})
    (folder / "cells" / Cell(choices[1], 7, link["flags"]).digest).symlink_to("/etc")
    flown = dict(link, command="run_script.py", flags={"number_of_runs": None})
    others = {"x": link, "y": flown, **by_digest}
    (folder / "study.json").write_text(json.dumps({"cells": others}))
    page = client.get("/logs/study/studies/rates/small/").get_data(as_text=True)
    assert "is a link, not a log folder" in page and "1 of 4 cells done" in page
    (folder / "report").mkdir()
    (folder / "report/rates.html").write_text("")
    for key, value in (("command", "rm"), ("flags", {"number_of_runs": "x"})):
        damaged = {**by_digest, cells[0].digest: {**by_digest[cells[0].digest], key: value}}
        (folder / "study.json").write_text(json.dumps({"cells": damaged}))
        page = client.get("/logs/study/studies/rates/small/").get_data(as_text=True)
        assert "study.json: " in page and "report rates" in page and "compare" not in page
