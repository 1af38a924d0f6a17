"""A study as one DAG: the cells that are left, and the report."""

import json
import runpy
from pathlib import Path

import pytest
import yaml

from nav_pkg.cli import study as command
from nav_pkg.cluster import write
from nav_pkg.core import UsageError
from nav_pkg.studies import study
from nav_pkg.studies.runner import StudyFolder

ROOT = Path(__file__).resolve().parents[2]
RAW = {
    "title": "Rates",
    "question": "Which one?",
    "base": {"network": "tinyv3_net", "dataset": "easy", "discrete": True, "max_episodes": 3,
             "batch_size": 30},
    "grid": {"rate": {"0.1": {"learning_rate": 0.1}, "0.01": {"learning_rate": 0.01}}},
    "seeds": [1, 2],
    "scales": {"small": {}},
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a study with --backend condor; HTCondor's bindings, once imported, find no pool later."""
    monkeypatch.setattr(write, "_write_dag", lambda *_: None)
    monkeypatch.setattr(write, "validate", lambda *_: None)
    runpy.run_path(str(ROOT / "test/learn/conftest.py"))["_write_dataset"](
        tmp_path / "data", runs=1, frames=60
    )

    def run(raw, *more):
        file = tmp_path / "rates.yaml"
        file.write_text(yaml.safe_dump(raw, sort_keys=False))
        places = ["--data_root", str(tmp_path / "data"), "--summary_dir", str(tmp_path / "log")]
        words = ["run", str(file), "--scale", "small", "--backend", "condor", "--dont_submit", *places]
        words += more
        assert command.main(words) == 0
        plans = list((tmp_path / "log").rglob("plan.json"))
        return json.loads(plans[0].read_text())["jobs"], StudyFolder(
            study.load(str(file)), "small", tmp_path / "log"
        )

    return run


def test_a_job_a_cell_and_the_report(run):
    jobs, folder = run(RAW, "--rammem", "3", "--wall_time", "7200")
    assert [job["name"] for job in jobs] == [*(f"c_{cell.digest}" for cell in folder.cells), "report"]
    report = json.loads(next(folder.folder.rglob("report.json")).read_text())
    assert Path(report["command"][2]).is_absolute() and report["command"][2].endswith("/rates.yaml")
    first = folder.cells[0]
    tag = f"studies/rates/small/cells/{first.digest}"
    spec = json.loads((next(folder.folder.rglob(f"{jobs[0]['name']}.json"))).read_text())
    assert spec["command"][:3] == ["main.py", "-t", tag]
    assert spec["command"][-2:] == ["--random_seed", "1"]
    assert spec["wall_time"] == 7200


def test_cells_that_are_done_are_left_out(run):
    _, folder = run(RAW)
    done = folder.log(folder.cells[1])
    done.mkdir(parents=True)
    (done / "results.json").write_text("{}")
    jobs, _ = run(RAW, "--owr")
    assert [job["name"] for job in jobs] == [
        *(f"c_{cell.digest}" for cell in folder.cells if cell is not folder.cells[1]),
        "report",
    ]


def test_what_a_cluster_does_not_run(run):
    with pytest.raises(UsageError, match="--backend condor: study rates runs network_details.py"):
        run(
            {
                **RAW,
                "command": "network_details.py",
                "base": {},
                "grid": {"n": {"a": {"network": "tiny_net"}}},
            }
        )
    with pytest.raises(UsageError, match="unknown flag '--rammen'"):
        run(RAW, "--rammen", "3")
    with pytest.raises(UsageError, match="unknown argument '--rammem'"):
        command.main(["status", "tinyv2", "--rammem", "3"])
