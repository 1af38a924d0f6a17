"""The page holds all that it shows, and nothing from elsewhere."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import pathlib

import pytest

from nav_pkg.core import DataError
from nav_pkg.report import demo_page
from nav_pkg.report.page import Page

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Checker(html.parser.HTMLParser):
    """Collects texts and addresses; every element must be closed."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.addresses, self.images = [], [], [], 0

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.addresses += [values[key] for key in ("src", "href", "srcset", "data") if key in values]
        if tag == "img":
            self.images += 1
            assert values["alt"]
        assert tag not in ("script", "link", "iframe")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def checked(path):
    text = path.read_text()
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert not checker.open
    assert all(a.startswith(("data:image/", "#")) for a in checker.addresses)
    assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text
    return checker


@pytest.fixture
def demo(tmp_path, dataset, training):
    dataset("collect/expert", 2)
    dataset("collect/noisy", 1)
    dataset("clean", 3)
    dataset("fly", 2, outcome="collision", learner=True, laps=0.37, imitation_loss=0.25)
    return demo_page.Demo(
        folder=tmp_path,
        steps=[
            demo_page.DemoStep("collect", "python scripts/run_script.py -t 'a b'", 40.0, 250.0, 25.0),
            demo_page.DemoStep("train", "python scripts/main.py", 60.0),
        ],
        collections={"collect/expert": "as it flies", "collect/noisy": "with noise"},
        clean="clean",
        flights="fly",
        training="train",
        notes=["A lap takes <long>."],
    )


@pytest.mark.slow
def test_the_demo_page(demo, tmp_path, monkeypatch):
    # As the demo is called: its folder is a relative one.
    monkeypatch.chdir(tmp_path)
    demo = dataclasses.replace(demo, folder=pathlib.Path("."))
    story = demo_page.DemoData(demo)
    path = demo_page.write(story)
    assert path.resolve() == tmp_path / "report.html"
    page = checked(path)
    text = " ".join(page.texts)
    assert (
        "The trained tiny_net flew 0.37 and 0.37 laps of the route; 0 of 2 flights were a whole lap" in text
    )
    assert "A lap takes <long>." in text
    assert "python scripts/run_script.py -t 'a b'" in text
    assert page.images >= 7
    files = {file.name: list(csv.DictReader(file.open())) for file in (tmp_path / "report").glob("*.csv")}
    assert all(files.values())
    assert all(f"{name}" in text for name in files)
    # What the tables show are the CSVs' numbers, rounded.
    for row in files["flights.csv"]:
        assert f"{float(row['laps']):.2f}" in page.texts
    for row in files["scores.csv"]:
        assert f"{100 * float(row['accuracy']):.1f} %" in page.texts
    speed = files["speed.csv"]
    assert float(speed[0]["ratio"]) == 10.0 and float(speed[0]["frames_per_second"]) == 100.0
    assert speed[1]["ratio"] == "" and float(speed[2]["wall"]) == 100.0
    assert len(files["flight_paths.csv"]) == 80 and len(files["collection_paths.csv"]) == 120
    assert {"processor", "Python", "numpy"} <= {row["what"] for row in files["environment.csv"]}
    labels = {row["part"]: row for row in files["labels.csv"]}
    assert float(labels["train"]["left"]) == 0.25 and float(labels["train"]["straight"]) == 0.75
    # Once more, over itself.
    assert demo_page.write(story) == path


def test_a_demo_without_flights_says_what_is_missing(demo, tmp_path):
    for run in (tmp_path / "data" / "fly").glob("0*"):
        run.rename(run.with_name(f"{run.name}.partial"))
    with pytest.raises(DataError, match="no runs"):
        demo_page.DemoData(demo)


def test_a_page_of_nothing(tmp_path):
    page = Page("Empty <page>")
    page.head("A head")
    page.text("a `code` & more", note=True)
    checker = checked(page.write(tmp_path / "deep" / "page.html"))
    assert "Empty <page>" in checker.texts and "code" in checker.texts


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "page").write_text("a file where the folder should be")
    page = Page("x")
    page.figure(b"", "curve", "step,loss", "a curve")
    with pytest.raises(DataError, match="cannot write"):
        page.write(tmp_path / "page.html")
