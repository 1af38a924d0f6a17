"""How far a DAG is, read from files as DAGMan and HTCondor write them."""

from __future__ import annotations

import json
import os
import time

import pytest

from nav_pkg.cli import dag_status
from nav_pkg.cluster import status, status_text
from nav_pkg.core import DataError, UsageError

NODES = """[
  Type = "DagStatus";
  DagFiles = {
    "dag_file_t"
  };
  Timestamp = 1795622781; /* "Wed Nov 25 16:06:21 2026" */
  DagStatus = %d; /* "STATUS_SUBMITTED ()" */
]
"""
NODE = """[
  Type = "NodeStatus";
  Node = "%s";
  NodeStatus = %d; /* "STATUS" */
  StatusDetails = "%s";
  RetryCount = %d;
  JobProcsQueued = 1;
  JobProcsHeld = 0;
]
"""
SUBMITTED = """000 (%03d.000.000) 2026-11-25 16:05:56 Job submitted from host: <127.0.0.1:1?alias=vm>
    [ DAGNodeName = "%s"; JobBatchName = "t" ]
...
"""
STARTED = """001 (%03d.000.000) 2026-11-25 16:06:00 Job executing on host: <127.0.0.1:1?alias=%s&x>
	SlotName: slot1_1@vm
...
"""
HELD = """012 (%03d.000.000) 2026-11-25 16:07:00 Job was held.
	exit code 2: wrong use or bad data; see out/m_1_train.err
	Code 3 Subcode 2
...
"""


@pytest.fixture
def folder(tmp_path):
    """A DAG of three nodes."""
    dag_folder = tmp_path / "t" / "DAG"
    for name in ("state", "out"):
        (dag_folder / name).mkdir(parents=True)
    jobs = [
        {"name": f"m_{i}_train", "kind": "train", "seconds": 100, "total": 4, "unit": "episodes"}
        for i in (0, 1)
    ]
    jobs.append({"name": "report", "kind": "report", "seconds": 10})
    (dag_folder / "plan.json").write_text(json.dumps({"command": "dag_train.py", "tag": "t", "jobs": jobs}))
    (dag_folder / "submitted.json").write_text('{"cluster": 1}')
    return dag_folder


def write(folder, *nodes, dag=3, log=""):
    """The status file (name, number, retries) and what is added to the log."""
    blocks = [NODE % (name, number, "", retries) for name, number, retries in nodes]
    (folder / "nodes.status").write_text(NODES % dag + "".join(blocks))
    with open(folder / "nodes.log", "a") as stream:
        stream.write(log)


def test_a_dag_as_it_goes_on(folder):
    dag = status.Dag(folder)
    assert [node.status for node in dag.update()] == ["waiting"] * 3
    log = "".join(SUBMITTED % (i, name) for i, name in ((7, "m_0_train"), (8, "m_1_train")))
    write(
        folder,
        ("m_0_train", 3, 0),
        ("m_1_train", 3, 0),
        ("report", 0, 0),
        log=log + STARTED % (7, "fast.host"),
    )
    (folder / "state" / "m_0_train.json").write_text(
        json.dumps(
            {"host": "fast", "tries": 2, "unit": "episodes", "episodes": 3, "of": 4, "status": "running"}
        )
    )
    first, second, report = dag.update()
    assert (first.status, first.host, first.tries, first.done, first.total) == ("running", "fast", 2, 3, 4)
    assert (second.status, second.tries, report.status) == ("idle", 0, "waiting")
    assert status.counts([first, second, report]) == {"running": 1, "idle": 1, "waiting": 1}
    half = (STARTED % (8, "slow"))[:30]
    write(folder, ("m_0_train", 5, 0), ("m_1_train", 3, 1), ("report", 0, 0), log=half)
    assert dag.update()[1].status == "idle"  # an event that is being written
    (folder / "out" / "m_1_train.err").write_text("warning: x\nerror: d/train_set.txt: line 1\n")
    write(folder, ("m_0_train", 5, 0), ("m_1_train", 3, 1), log=(STARTED % (8, "slow"))[30:] + HELD % 8)
    first, second, _ = dag.update()
    assert (first.status, first.done) == ("done", 4)
    assert (second.status, second.host, second.tries) == ("held", "slow", 1)
    assert second.reason == "exit code 2: wrong use or bad data; see out/m_1_train.err"
    lines = status.table([first, second], time.time())
    assert lines[-1].strip() == "error: d/train_set.txt: line 1"


def test_what_is_left():
    now = 1000.0
    half = status.Node("a", status="running", begin=900.0, done=2, total=4, seconds=1000)
    fresh = status.Node("b", status="running", begin=990.0, seconds=60)
    waiting = status.Node("c", seconds=30)
    done = status.Node("d", status="done", seconds=99)
    assert [node.seconds_left(now) for node in (half, fresh, waiting, done)] == [100, 50, 30, 0]
    assert status.seconds_left([half, fresh, waiting, done], now) == 100
    assert status.seconds_left([half, waiting], now) == 130
    assert status.seconds_left([waiting, done], now) is None
    assert [status.duration(s) for s in (45, 600, 9000, 200000)] == ["45 s", "10 min", "2.5 h", "2.3 d"]


def test_what_is_left_of_a_job_that_goes_on():
    """By its own progress in this try; before there is any, by what was expected of the rest."""
    gone_on = status.Node("a", status="running", begin=900.0, before=2, done=3, total=4, seconds=1000)
    assert gone_on.seconds_left(1000.0) == 100
    assert status.Node(
        "b", status="running", begin=900.0, before=2, done=2, total=4, seconds=1000
    ).seconds_left(1000.0) == pytest.approx(400)


def test_a_dag_that_was_removed(folder, capsys):
    write(folder, ("m_0_train", 5, 0), ("m_1_train", 6, 0), ("report", 0, 0), dag=6)
    text = (folder / "nodes.status").read_text().replace("STATUS_SUBMITTED ()", "STATUS_ERROR (removed)")
    failed, removed = (
        '"m_1_train";\n  NodeStatus = 6; /* "STATUS" */\n  StatusDetails = "',
        "Was STATUS_SUBMITTED",
    )
    (folder / "nodes.status").write_text(text.replace(failed, failed + removed))
    assert [node.status for node in status.Dag(folder).update()] == ["done", "removed", "waiting"]
    assert dag_status.main(["t", "--summary_dir", str(folder.parents[1])]) == 1
    assert "removed; the same dag_train.py -t t ... again continues it" in capsys.readouterr().out


def test_silence_is_told(folder, capsys):
    """The pool or a host was killed: the last that was written says that a job runs."""
    write(folder, ("m_0_train", 3, 0), log=SUBMITTED % (7, "m_0_train") + STARTED % (7, "fast.host"))
    state = folder / "state" / "m_0_train.json"
    state.write_text(json.dumps({"host": "fast", "unit": "episodes", "episodes": 1, "of": 4}))
    root = ["--summary_dir", str(folder.parents[1])]
    assert dag_status.main(["t", "--once", *root]) == 0
    assert "nothing heard" not in capsys.readouterr().out
    now = time.time()
    for file in (state, folder / "nodes.status", folder / "submitted.json"):
        os.utime(file, (now - 1200, now - 1200))
    assert dag_status.main(["t", "--once", *root]) == 0
    output = capsys.readouterr().out
    assert "no report from it for 20 min" in output and "no report from DAGMan for 20 min" in output
    write(folder, ("m_0_train", 5, 0), ("m_1_train", 5, 0), ("report", 5, 0), dag=5)
    os.utime(folder / "nodes.status", (now - 1200, now - 1200))
    assert dag_status.main(["t", "--once", *root]) == 0  # a DAG that has ended has nothing to say
    assert "nothing heard" not in capsys.readouterr().out


@pytest.mark.timeout(60)
def test_it_prints_once_where_there_is_no_terminal(folder, capsys, monkeypatch):
    """A script that looks at a DAG does not wait for its end, unless it says so."""
    root = ["--summary_dir", str(folder.parents[1])]
    write(folder, ("m_0_train", 3, 0), log=SUBMITTED % (7, "m_0_train") + STARTED % (7, "fast.host"))
    assert dag_status.main(["t", *root]) == 0
    assert "2 waiting, 1 running" in capsys.readouterr().out

    def end(seconds):
        write(folder, *((name, 5, 0) for name in ("m_0_train", "m_1_train", "report")), dag=5)

    monkeypatch.setattr(status_text.time, "sleep", end)
    assert dag_status.main(["t", "--watch", *root]) == 0
    output = capsys.readouterr().out
    assert "2 waiting, 1 running" in output and "t: 3 done" in output
    with pytest.raises(UsageError, match="not allowed with"):
        dag_status.main(["t", "--watch", "--once", *root])


def test_rows_that_need_a_look_come_first():
    nodes = [status.Node(f"n{i}", status="done") for i in range(50)]
    nodes[40].status, nodes[45].status = "failed", "running"
    lines = status.table(nodes, 0.0, 5)
    assert (
        lines[1].startswith("n40")
        and lines[2].startswith("n45")
        and lines[-1] == "... 45 more (--all shows them)"
    )
    assert len(status.table(nodes, 0.0)) == 51


def test_files_that_are_torn_or_missing(folder):
    dag = status.Dag(folder)
    (folder / "nodes.status").write_text('[\n  Type = "NodeStatus";\n  Node = "m_0_tr')
    (folder / "state" / "m_0_train.json").write_text('{"host": ')
    (folder / "nodes.log").write_bytes(b"\xff\xfe 001 garbage\n...\n")
    assert [node.status for node in dag.update()] == ["waiting"] * 3
    (folder / "plan.json").write_text("{")
    with pytest.raises(DataError, match="plan.json"):
        status.Dag(folder)


def test_the_command(folder, capsys):
    write(folder, ("m_0_train", 5, 0), ("m_1_train", 6, 1), ("report", 7, 0), dag=6)
    (folder / "out" / "m_1_train.err").write_text("error: out of memory\n")
    root = ["--summary_dir", str(folder.parents[1])]
    assert dag_status.main(["t", *root]) == 1
    output = capsys.readouterr().out
    assert "dag_train.py -t t: 1 done, 1 failed, 1 futile" in output and "error: out of memory" in output
    assert "again continues it" in output and "\033" not in output
    write(folder, ("m_0_train", 5, 0), ("m_1_train", 5, 1), ("report", 5, 0), dag=5)
    assert dag_status.main(["-t", "t", *root]) == 0
    (folder / "submitted.json").unlink()
    (folder / "nodes.status").unlink()
    assert dag_status.main(["t", *root]) == 0  # and does not wait for what will not come
    assert "not submitted (--dont_submit)" in capsys.readouterr().out
    with pytest.raises(DataError, match="holds no DAG"):
        dag_status.main(["nowhere", *root])
    with pytest.raises(UsageError, match="give the DAG's tag"):
        dag_status.main(root)
