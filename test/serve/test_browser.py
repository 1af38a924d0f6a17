"""The local page in headless Chromium, driven by Playwright; skipped where one of them is missing."""

import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("flask")
playwright = pytest.importorskip("playwright.sync_api", reason="needs `pip install playwright`")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = '<img src=x onerror="alert(1)">'
LIMIT = 60.0
"""Seconds that a page, or the server, may take."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    data, logs = root / "data", root / "logs"
    runpy.run_path(str(ROOT / "test/learn/conftest.py"))["_write_dataset"](data, runs=2, frames=12)
    (data / "easy").rename(data / HOSTILE)
    make = runpy.run_path(str(ROOT / "test/serve/test_app.py"))
    make["training"](logs / "tiny/seed_1")
    make["training"](logs / HOSTILE / "seed_2", 0.5)
    session = logs / "fly"
    session.mkdir()
    (session / "runs.jsonl").write_text(json.dumps({**make["RUN"], "outcome": "collision"}) + "\n")
    (session / "run_conf.json").write_text(json.dumps({"world": "esatv3"}))
    return data, logs


@pytest.fixture(scope="module")
def server(folders):
    data, logs = folders
    words = ["--data_root", str(data), "--summary_dir", str(logs), "--port", "0"]
    run = subprocess.Popen(
        [sys.executable, "-u", str(ROOT / "scripts/serve.py"), *words], stdout=subprocess.PIPE, text=True
    )
    try:
        address = next(word for line in run.stdout for word in line.split() if word.startswith("http://127"))
        yield address.rstrip("/")
    finally:
        run.terminate()
        run.wait(LIMIT)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        # --no-sandbox: tests in containers run as root, where Chromium has none
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page that may neither log an error, fail to load anything nor open a dialogue."""
    problems = []
    page = browser.new_page()
    page.set_default_timeout(1000 * LIMIT)
    page.on(
        "console",
        lambda message: problems.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    # one that is cut off by the next page is no failure
    page.on("requestfailed", lambda it: problems.append(it.url) if it.failure != "net::ERR_ABORTED" else None)
    page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    yield page
    page.close()
    assert not problems


def wait_for(page, condition):
    """Until a condition holds; Playwright's own wait is forbidden by the page's security policy."""
    end = time.monotonic() + LIMIT
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"not within {LIMIT:.0f} s: {condition}"
        time.sleep(0.05)


def pictures_are_there(page):
    wait_for(page, "[...document.images].every(image => image.complete)")
    return page.evaluate("[...document.images].map(image => image.naturalWidth)")


def test_all_lists_are_clicked_through(page, server):
    page.goto(server)
    for name in ("datasets", "trainings", "sessions", "evaluations", "studies", "DAGs", "nav_pkg"):
        page.click(f"nav >> text={name}")
        assert page.inner_text("h1").lower() == name.lower()
    assert "tiny/seed_1" in page.inner_text("table") and HOSTILE in page.inner_text("table")


def test_a_run_is_played(page, server):
    page.goto(server)
    page.click("nav >> text=datasets")
    page.click(f"table >> text={HOSTILE}")
    assert page.inner_text("h1") == HOSTILE
    shown = pictures_are_there(page)
    assert len(shown) == page.locator("tr").count() - 1 and all(shown)
    page.click("text=00001_esatv3")
    wait_for(page, "document.getElementById('path').points.length == 12")
    first = page.get_attribute("#here", "cx")
    page.click("text=play")
    wait_for(page, "document.getElementById('number').textContent == '11'")
    wait_for(page, "document.getElementById('play').textContent == 'play'")  # it stops at the end
    assert page.get_attribute("#here", "cx") != first
    assert page.get_attribute("#camera", "src").endswith("/11.jpg")
    assert all(pictures_are_there(page))


def test_trainings_are_searched_ticked_and_compared(page, server):
    page.goto(server + "/logs/training/")
    page.fill("input[name=q]", "seed_")
    page.press("input[name=q]", "Enter")
    page.wait_for_url("**q=seed_*")
    for box in page.query_selector_all("input[type=checkbox]"):
        box.check()
    page.click("text=compare the ticked ones")
    assert page.inner_text("h1") == "Comparison" and len(page.query_selector_all("li")) == 2
    assert pictures_are_there(page)[0] > 500
    page.click(f"text={HOSTILE}")
    assert page.inner_text("h1") == f"{HOSTILE}/seed_2" and pictures_are_there(page)[0] > 500
    assert "0.5" in page.inner_text("table")


def test_a_session_is_watched_live(page, server, folders):
    file = folders[1] / "fly/state.json"
    flying = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def beat(**more):
        state = {"run": 1, "state": "running", "lap": 100.0, "pid": flying.pid, **more}
        file.with_suffix(".tmp").write_text(json.dumps(state))
        os.replace(file.with_suffix(".tmp"), file)

    try:
        beat(progress=20.0, stamp=30.0, x=1.0, y=2.0)
        page.goto(server)
        page.click("text=fly")
        wait_for(page, "document.getElementById('here').getAttribute('cy') == '-2'")
        assert page.inner_text("#percent") == "20"
        beat(progress=40.0, stamp=60.0, x=5.0, y=2.0)
        wait_for(page, "document.getElementById('percent').textContent == '40'")
        wait_for(page, "document.getElementById('path').points.length > 1")
        assert float(page.inner_text("#rate")) > 0
        flying.kill()
        flying.wait()
        page.wait_for_selector("#live[data-running=no]", state="attached")  # the page has loaded itself anew
        assert "collision" in page.inner_text("table") and HOSTILE in page.inner_text("table")
    finally:
        flying.kill()
        file.unlink(missing_ok=True)


def test_exported_files_open_without_a_server(page, server, folders, tmp_path):
    words = [
        "--data_root",
        str(folders[0]),
        "--summary_dir",
        str(folders[1]),
        "--export",
        str(tmp_path / "site"),
    ]
    subprocess.run([sys.executable, str(ROOT / "scripts/serve.py"), *words], check=True, timeout=LIMIT)
    page.goto((tmp_path / "site/index.html").as_uri())
    page.click("nav >> text=trainings")
    page.click("text=tiny/seed_1")
    assert pictures_are_there(page)[0] > 500
    assert "tiny_net" in page.content()
