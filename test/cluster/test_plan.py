"""Plans and the files that HTCondor gets of them; nothing here needs a pool."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nav_pkg.cluster import client, describe, estimate, existing_dag, scale, transfer, write
from nav_pkg.cluster.plan import DagNode, DagPlan, Hosts, Resources, condor_path
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files
from nav_pkg.studies import workload

ROOT = Path(__file__).resolve().parents[2]
client.offline()


def plan_of(folder, *jobs, **values):
    return DagPlan("dag_train.py", "a/b", folder / "log", folder / "data", ROOT, jobs, **values)


def three(**values):
    return (
        DagNode(
            "r0", "record", ("run_script.py", "-t", "a/b/r0"), Resources(2, 1500, 700), 3600.0, 4, **values
        ),
        DagNode(
            "r1", "record", ("run_script.py", "-t", "a/b/r1"), Resources(2, 1500, 700), 3600.0, 4, **values
        ),
        DagNode("merge", "merge", ("dataset.py", "gather", "x"), parents=("r0", "r1")),
    )


def test_the_files_of_a_dag(tmp_path):
    plan = plan_of(tmp_path, *three(simulator=True, datasets=("d",)))
    plan.check()
    file = write.write(plan)
    write.validate(plan)
    assert file == tmp_path / "log" / "a" / "b" / "DAG" / "dag_file_a_b"
    dag = file.read_text().splitlines()
    assert "JOB r1 record.sub" in dag and "PARENT r0 r1 CHILD merge" in dag
    assert "RETRY r0 1 UNLESS-EXIT 2" in dag and "NODE_STATUS_FILE nodes.status 5 ALWAYS-UPDATE" in dag
    assert 'VARS r0 nav_name="r0" cpus="2" memory="1500" disk="700" duration="3600"' in dag
    sub = (file.parent / "record.sub").read_text()
    for line in (
        f"executable = {ROOT}/setup/condor_job",
        "arguments = jobs/$(nav_name).json",
        "request_cpus = $(cpus)",
        "allowed_execute_duration = $(duration)",
        "concurrency_limits = nav_pkg_simulators",
        "nice_user = true",
        "on_exit_hold = ExitBySignal is false && (ExitCode == 2 || ExitCode == 3)",
        "on_exit_remove = (ExitBySignal is false && ExitCode == 0) || "
        "(ExitBySignal is false && ExitCode > 100) || "
        "((ExitBySignal || ExitCode != 85) && "
        "NumJobCompletions > 15 + (time() - QDate) / (0.8 * (AllowedExecuteDuration ?: 1.0E9)))",
        "should_transfer_files = NO",
        "rank = TARGET.Mips ?: 0",
    ):
        assert line in sub.splitlines()
    assert "request_gpus" not in sub
    spec = json.loads((file.parent / "jobs" / "r0.json").read_text())
    assert spec == {
        "format": 1,
        "name": "r0",
        "kind": "record",
        "command": ["run_script.py", "-t", "a/b/r0"],
        "wall_time": 3600.0,
        "simulator": True,
        "env": {"NAV_PKG_DATA": str(tmp_path / "data"), "NAV_PKG_LOG": str(tmp_path / "log")},
        "datasets": ["d"],
        "copy_dataset": False,
        "transfer": None,
        "pack": [],
        "retries": 4,
        "total": 0,
        "unit": "",
    }


def test_without_retries(tmp_path):
    plan = plan_of(tmp_path, *three())
    dag = write.write(plan, retry=False).read_text()
    assert "RETRY" not in dag
    assert "NumJobCompletions > 3 + " in (plan.folder / "record.sub").read_text()
    assert json.loads((plan.folder / "jobs" / "r0.json").read_text())["retries"] == 0


def test_hosts_gpus_and_containers(tmp_path):
    hosts = Hosts(("a.b.c", "d*"), ("e",), nice=False, image="/images/nav.sif", max_jobs=7)
    job = DagNode("m", "train", ("main.py",), Resources(1, 1000, 1000, 1, 1900))
    plan = plan_of(tmp_path, job, hosts=hosts)
    plan.check()
    write.write(plan)
    write.validate(plan)
    sub = (plan.folder / "train.sub").read_text()
    assert "universe = container" in sub and "container_image = /images/nav.sif" in sub
    assert "request_gpus = $(gpus)" in sub and "gpus_minimum_memory = $(gpu_memory)" in sub
    assert 'gpus="1" gpu_memory="1900"' in plan.file.read_text() and "nice_user" not in sub
    assert "DAGMAN_MAX_JOBS_SUBMITTED = 7" in (plan.folder / "dagman.config").read_text()
    with pytest.raises(UsageError, match="not a host's name"):
        plan_of(tmp_path, job, hosts=Hosts(('a" || true || "',))).check()


def test_a_host_that_failed_is_left_for_a_while():
    """The expression, worked out for ads of a job and of machines."""
    import classad2

    text = describe.requirements(DagPlan("c", "t", Path("/l"), Path("/d"), ROOT, ()))
    text = text.replace("MY.", "").replace("TARGET.Machine", "Host").replace("time()", "Now")
    for code, last, host, waited, wanted in (
        ("undefined", "undefined", "a", 0, True),
        (4, '"slot1_1@a"', "a", 0, False),
        (4, '"slot1_1@a"', "b", 0, True),
        (4, '"slot1_1@a"', "a", describe.OTHER_HOST_SECONDS + 1, True),
        (5, '"slot1_1@a"', "a", 0, True),
    ):
        ad = classad2.ClassAd(
            f'[ExitCode = {code}; LastRemoteHost = {last}; Host = "{host}"; Now = {1000 + waited}; '
            f"EnteredCurrentStatus = 1000; Fits = {text}]"
        )
        assert bool(ad.eval("Fits")) == wanted, (code, host, waited)


@pytest.mark.parametrize(
    "green, black, host, wanted",
    [
        ((), (), "a.b.c", True),
        (("a.b.c",), (), "a.b.c", True),
        (("a",), (), "A.b.c", True),
        (("a",), (), "ab.c", False),
        (("a*.c", "x"), (), "ab.c", True),
        (("a.c",), (), "abc", False),
        ((), ("a",), "a.b.c", False),
        ((), ("a", "b*"), "c.b", True),
    ],
)
def test_green_and_black_lists(green, black, host, wanted):
    import classad2

    plan = DagPlan("c", "t", Path("/l"), Path("/d"), ROOT, (), Hosts(green, black))
    text = describe.requirements(plan).replace("MY.", "").replace("TARGET.Machine", "Host")
    ad = classad2.ClassAd(f'[ExitCode = 0; LastRemoteHost = "x@y"; Host = "{host}"; Fits = {text}]')
    assert bool(ad.eval("Fits")) == wanted


def test_rounds_lie_in_layers_of_their_own():
    jobs = [DagNode("f1", "record", ("a",)), DagNode("t1", "train", ("a",), parents=("f1",))]
    jobs += [
        DagNode("f2", "record", ("a",), parents=("t1",)),
        DagNode("t2", "train", ("a",), parents=("f2",)),
    ]
    plan = DagPlan("c", "t", Path("/l"), Path("/d"), ROOT, tuple(jobs))
    names = {name: [job.name for job in layer] for name, layer in plan.layers().items()}
    assert names == {"record": ["f1"], "train": ["t1"], "record_2": ["f2"], "train_2": ["t2"]}


def test_a_faulty_planner_is_noticed(tmp_path):
    for jobs in (
        (DagNode("a", "train", ()), DagNode("a", "train", ())),
        (DagNode("a", "train", (), parents=("b",)), DagNode("b", "train", ())),
        (DagNode("a b", "train", ()),),
        (DagNode("a", "paint", ()),),
    ):
        with pytest.raises(ValueError):
            plan_of(tmp_path, *jobs).check()
    with pytest.raises(UsageError, match="nothing to do"):
        plan_of(tmp_path).check()


NASTY = st.text(
    st.sampled_from("ab \"'$()\\\n\t#=;,é€\U0001f600") | st.characters(codec="utf-8"), max_size=20
)


@settings(max_examples=60, deadline=None)
@given(words=st.lists(NASTY, max_size=6), dataset=NASTY)
def test_whatever_a_command_holds_it_arrives_as_it_was(tmp_path_factory, words, dataset):
    """Words of a job stand in its spec alone: what HTCondor parses is the same for all of them."""
    folder = tmp_path_factory.mktemp("nasty")
    job = DagNode("r0", "record", ("run_script.py", *words), datasets=(dataset,), simulator=True)
    plan = DagPlan("c", "t", folder, folder / "data", ROOT, (job,))
    plan.check()
    file = write.write(plan)
    write.validate(plan)
    spec = json.loads((plan.folder / "jobs" / "r0.json").read_text(encoding="utf-8"))
    assert spec["command"] == ["run_script.py", *words] and spec["datasets"] == [dataset]
    plain = DagPlan(
        "c", "t", folder, folder / "data", ROOT, (DagNode("r0", "record", ("x",), simulator=True),)
    )
    texts = [file.read_text(), (plan.folder / "record.sub").read_text()]
    write.write(plain)
    assert texts == [file.read_text(), (plan.folder / "record.sub").read_text()]


@settings(max_examples=300, deadline=None)
@given(name=NASTY)
@example(",")
def test_a_path_is_held_as_it_is_or_refused(name):
    path = Path("/logs") / (name.replace("\0", "") or "x")
    if re.match(r"[A-Za-z0-9_/.:@%+=~-]+\Z", str(path)):
        assert condor_path(path, "--summary_dir") == path
    else:
        with pytest.raises(UsageError) as error:
            condor_path(path, "--summary_dir")
        assert "\n" not in str(error.value)


def test_ten_thousand_nodes(tmp_path):
    """In a process of its own, whose memory is what writing takes; how long it takes is measured "
    "elsewhere."""
    code = (
        "from pathlib import Path; from nav_pkg.cluster import scale; "
        f"made = scale.written(scale.synthetic(9700, 297, Path({str(tmp_path)!r}))); print(made.jobs, "
        f"made.memory)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, timeout=280)
    jobs, memory = done.stdout.split()
    assert int(jobs) == 10000 and float(memory) < 500
    folder = tmp_path / "big" / "DAG"
    assert len(list((folder / "jobs").iterdir())) == 10000
    assert len(re.findall(r"^JOB ", (folder / "dag_file_big").read_text(), re.MULTILINE)) == 10000


# A tag's life.


@pytest.fixture(scope="module")
def samples():
    return runpy.run_path(str(Path(__file__).parents[1] / "data" / "conftest.py"))["Samples"]()


def kept(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


def status(plan, **nodes):
    """DAGMan's status file, with a number for each node."""
    blocks = [
        f'[\n  Type = "NodeStatus";\n  Node = "{name}";\n  NodeStatus = {number}; /* "X" */\n  '
        f'StatusDetails = "";\n'
        "  RetryCount = 0;\n]\n"
        for name, number in nodes.items()
    ]
    (plan.folder / "nodes.status").write_text(
        '[\n  Type = "DagStatus";\n  DagStatus = 3;\n]\n' + "".join(blocks)
    )


def test_a_tag_is_free_then_the_same_then_done(tmp_path):
    plan = plan_of(tmp_path, *three(), configuration={"flags": {"main.py": ["--max_episodes", "4"]}})
    assert existing_dag.state_of(plan) == "nothing"
    write.write(plan)
    assert existing_dag.state_of(plan) == "same"
    other = plan_of(tmp_path, *three(), configuration={"flags": {"main.py": ["--max_episodes", "5"]}})
    assert existing_dag.state_of(other) == "other"
    assert existing_dag.differences(other) == "--max_episodes 4, now 5"
    elsewhere = replace(plan, data_root=tmp_path / "elsewhere")
    assert existing_dag.state_of(elsewhere) == "other" and "--data_root" in existing_dag.differences(
        elsewhere
    )
    travelling = replace(plan, hosts=Hosts(file_transfer=True))
    assert existing_dag.differences(travelling) == "--file_transfer False, now True"
    status(plan, r0=5, r1=6, merge=7)
    assert existing_dag.state_of(plan) == "same"
    status(plan, r0=5, r1=5, merge=5)
    assert existing_dag.state_of(plan) == "done" and existing_dag.state_of(other) == "other"


def submitted(plan):
    """As after a submission."""
    write.write(plan)
    (plan.folder / "submitted.json").write_text("{}")


def test_what_no_dag_has_made_stays(tmp_path):
    jobs = (DagNode("m", "train", ("main.py",), outputs=("log/a/b/seed_1", "data/x")),)
    plan = plan_of(tmp_path, *jobs)
    other_folder = tmp_path / "log" / "a" / "b" / "seed_1"
    kept(other_folder, "config.json", "thesis.tex")
    assert existing_dag.state_of(plan) == "other" and existing_dag.existing(plan) == other_folder
    with pytest.raises(UsageError, match="seed_1 was not made by a DAG of -t a/b"):
        existing_dag.start_over(plan)
    write.write(plan)  # with --dont_submit: it has not made it either
    with pytest.raises(UsageError, match="seed_1 was not made by a DAG of -t a/b"):
        existing_dag.start_over(plan)
    assert (other_folder / "thesis.tex").exists()


def test_what_stands_where_a_job_would_write(tmp_path):
    jobs = (DagNode("m", "train", ("main.py",), outputs=("log/a/b/seed_1", "data/x")),)
    plan = plan_of(tmp_path, *jobs)
    submitted(plan)
    kept(tmp_path / "log" / "a" / "b" / "seed_1", "config.json")
    kept(tmp_path / "log" / "a" / "b" / "kept", "notes.txt")
    existing_dag.start_over(plan)
    assert existing_dag.state_of(plan) == "nothing" and (tmp_path / "log" / "a" / "b" / "kept").exists()
    submitted(plan)
    kept(tmp_path / "data" / "x", "holiday.jpg")
    with pytest.raises(UsageError, match="holds files that no job writes"):
        existing_dag.start_over(plan)
    assert (tmp_path / "data" / "x" / "holiday.jpg").exists()
    shutil.rmtree(tmp_path / "data" / "x")
    for place, name, inner in (
        ("data/x", "dataset.json", "mine/dataset.json"),
        ("log/a/b/seed_1", "config.json", "tuned/config.json"),
        ("log/a/b/seed_1", "config.json", "DAG/plan.json"),
    ):
        kept(tmp_path / place, name, inner)
        lost = str((tmp_path / place / inner).parent)
        with pytest.raises(UsageError, match=f"--owr would delete .*{place}, which contains {lost}: move"):
            existing_dag.start_over(plan)
        assert (tmp_path / place / inner).exists()
        shutil.rmtree(lost)
    lock = files.lock_folder(tmp_path / "log" / "a" / "b" / "seed_1")
    with pytest.raises(UsageError, match="seed_1 is in use by another process"):
        existing_dag.start_over(plan)  # a job that was removed saves there
    os.close(lock)
    existing_dag.start_over(plan)
    kept(tmp_path / "log" / "a" / "b" / "DAG", "mine.txt")
    with pytest.raises(UsageError, match="was not made by dag_train.py"):
        existing_dag.start_over(plan)


def test_beginning_anew_with_fewer_jobs_leaves_nothing_of_the_others(tmp_path):
    outputs = [(f"log/a/b/seed_{i}", f"data/a/b/seed_{i}") for i in (1, 2)]
    jobs = [
        DagNode(f"m_{i}", "online", ("run_script.py",), outputs=folders) for i, folders in enumerate(outputs)
    ]
    submitted(plan_of(tmp_path, *jobs))
    for place in (place for folders in outputs for place in folders):
        kept(tmp_path / place, "dataset.json" if place.startswith("data") else "config.json")
    elsewhere = replace(plan_of(tmp_path, jobs[0]), data_root=tmp_path / "other")
    kept(tmp_path / "other" / "a" / "b" / "seed_2", "dataset.json")
    existing_dag.start_over(elsewhere)
    assert not (tmp_path / "log/a/b/seed_2").exists()
    assert (tmp_path / "other/a/b/seed_2").exists() and (tmp_path / "data/a/b/seed_2").exists()
    submitted(plan_of(tmp_path, *jobs))
    existing_dag.start_over(plan_of(tmp_path, jobs[0]))
    assert not any((tmp_path / "data/a/b").iterdir())


def test_a_dag_that_was_cut_off_goes_on_from_its_status(tmp_path):
    plan = plan_of(tmp_path, *three())
    write.write(plan)
    assert existing_dag.make_rescue(plan) is None
    status(plan, r0=5, r1=3, merge=0)
    first = existing_dag.make_rescue(plan)
    assert first.name == "dag_file_a_b.rescue001" and first.read_text() == "DONE r0\n"
    assert existing_dag.make_rescue(plan) is None  # it has not been taken up yet
    (plan.folder / "submitted.json").write_text('{"cluster": 1, "rescue": 1}')
    status(plan, r0=5, r1=5, merge=3)
    assert existing_dag.make_rescue(plan).read_text() == "DONE r0\nDONE r1\n"


def test_what_makes_its_output_anew_may_change_and_is_done_again(tmp_path):
    r0, r1, merge = three()
    verify = DagNode("verify", "verify", ("dataset.py",), parents=("merge",))
    plan = plan_of(tmp_path, r0, r1, merge, verify)
    write.write(plan)
    status(plan, r0=5, r1=5, merge=5, verify=5)
    (plan.folder / "submitted.json").write_text('{"cluster": 1, "rescue": 0}')
    assert existing_dag.state_of(plan) == "done" and existing_dag.changed(plan) == []
    other_flights = replace(r0, command=("run_script.py", "--alpha", "0"))
    assert existing_dag.changed(plan_of(tmp_path, other_flights, r1, merge, verify)) == []
    other = plan_of(tmp_path, r0, r1, replace(merge, command=("dataset.py", "other")), verify)
    assert existing_dag.changed(other) == ["merge", "verify"] and existing_dag.state_of(other) == "same"
    rescue = existing_dag.make_rescue(other)
    assert rescue.read_text() == "DONE r0\nDONE r1\n"
    write.write(other)  # as with --dont_submit: the next submission knows nothing of what was before
    assert existing_dag.state_of(other) == "same" and existing_dag.make_rescue(other) is None
    assert existing_dag.rescues(other)[-1] == rescue


@pytest.mark.parametrize(
    "completions, hours, allowed, leaves",
    [
        (16, 0, 3600, True),
        (15, 0, 3600, False),
        (19, 4.0, 3600, False),
        (21, 4.0, 3600, True),
        (16, 99, None, True),
    ],
)
def test_wall_times_that_have_passed_are_no_failures(tmp_path, completions, hours, allowed, leaves):
    """HTCondor's own evaluation: a job that failed goes when its failures, not its saves, are too many."""
    import classad2

    text = describe.description(plan_of(tmp_path, *three()), [three()[0]])["on_exit_remove"]
    ad = classad2.ClassAd({"ExitBySignal": False, "ExitCode": 1, "NumJobCompletions": completions})
    ad["QDate"] = int(time.time() - 3600 * hours)
    if allowed:
        ad["AllowedExecuteDuration"] = allowed
    ad["leaves"] = classad2.ExprTree(text)
    assert ad.eval("leaves") is leaves
    ad["ExitCode"] = 85
    assert ad.eval("leaves") is False


def test_one_submission_of_a_tag_at_a_time(tmp_path):
    plan = plan_of(tmp_path, *three())
    with existing_dag.locked(plan), pytest.raises(UsageError, match="being submitted by another process"):  # noqa: SIM117
        with existing_dag.locked(plan):
            pass
    with existing_dag.locked(plan):
        pass


# Without a shared file system.


@pytest.mark.parametrize("name", ['a"\nSCRIPT PRE report /bin/true #', "a$(x)", "a,b", "a b", "a~b"])
def test_names_of_what_travels(tmp_path, name):
    job = DagNode("m", "train", ("main.py",), checkpoints=(name,))
    plan_of(tmp_path, job).check()  # on a shared file system they stand in the job's spec alone
    with pytest.raises(UsageError) as error:
        plan_of(tmp_path, job, hosts=Hosts(file_transfer=True)).check()
    assert "\n" not in str(error.value)


def test_new_files_go_along_with_the_code(tmp_path):
    """A robot that is not committed yet; but not what else lies in a checkout."""
    root = tmp_path / "checkout"
    kept(root, "env.sh", "config/robot/drone.yaml", "config/robot/mine.yaml", "notes/a.txt", "recorded.bag")
    (root / ".gitignore").write_text("*.bag\n")
    for words in (["init", "-q"], ["add", "env.sh", ".gitignore", "config/robot/drone.yaml"]):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    known = [".gitignore", "config/robot/drone.yaml", "env.sh"]
    assert sorted(transfer._code(root)) == [*known[:2], "config/robot/mine.yaml", known[2]]


def test_an_install_space_has_no_code_to_bring_along(tmp_path):
    """Its scripts and launch files lie apart from the library."""
    learn = DagNode("learn", "train", ("main.py",))
    plan = dataclasses.replace(plan_of(tmp_path, learn, hosts=Hosts(file_transfer=True)), root=tmp_path)
    with pytest.raises(UsageError, match="submit from the checkout"):
        transfer.pack(plan)


def test_what_is_made_on_the_submitting_host_goes_to_others(tmp_path, samples):
    add = DagNode("add", "merge", ("dataset.py",), outputs=("data/d/e", "log/a/x"))
    learn = DagNode("learn", "train", ("main.py",), datasets=("d/e",), parents=("add",))
    plan = plan_of(tmp_path, add, learn, hosts=Hosts(file_transfer=True))
    write.write(plan)
    assert plan.spec(add)["pack"] == ["data/d/e"] and plan.folders_before() == []
    with pytest.raises(DataError, match="data/d/e: no such dataset"):
        transfer.pack_made(plan.folder, "add", ["data/d/e"])
    for number in range(2):  # a job that is tried again
        dataset = samples.dataset(tmp_path / "data" / "d" / "e", runs=number, frames=2)
        transfer.pack_made(plan.folder, "add", ["data/d/e"])
        with tarfile.open(plan.transfer_in(learn)[1]) as tar:
            files = {name: tar.extractfile(name).read() for name in tar.getnames()}
        assert files == {f"data/d/e/{name}": data for name, data in samples.tree(dataset).items()}


@pytest.mark.parametrize("place", ["", "quarantine/", "00000_esatv3/", "00000_esatv3/RGB/"])
def test_tars_hold_what_the_commits_list_alone(tmp_path, samples, place):
    (tmp_path / "secret").write_text("secret")
    data = samples.dataset(tmp_path / "data" / "d", runs=1, frames=2)
    listed = set(samples.tree(data))
    (data / place).mkdir(exist_ok=True)
    (data / place / "extra.txt").symlink_to(tmp_path / "secret")
    (data / place / "more.txt").write_text("more")
    job = DagNode("m", "train", ("main.py",), datasets=("d",), outputs=("log/a",))
    plan = plan_of(tmp_path, job, hosts=Hosts(file_transfer=True))
    transfer.pack(plan)
    with tarfile.open(plan.folder / "transfer" / "data~d.tar") as tar:
        assert set(tar.getnames()) == {f"data/d/{name}" for name in listed}
    shutil.rmtree(plan.folder)
    image = data / "00000_esatv3/RGB/0000000001.jpg"
    image.rename(tmp_path / "image")
    image.symlink_to(tmp_path / "image")
    with pytest.raises(
        DataError, match=r"0000000001\.jpg: cannot read: is a symbolic link, not a file; jobs"
    ):
        transfer.pack(plan)
    assert not list((plan.folder / "transfer").glob("*data~d*"))


def test_a_dataset_with_tars_is_transferred_as_it_is(tmp_path, samples):
    data = type(samples)("tar").dataset(tmp_path / "data" / "d", runs=1, frames=2)
    job = DagNode("m", "train", ("main.py",), datasets=("d",), outputs=("log/a",))
    plan = plan_of(tmp_path, job, hosts=Hosts(file_transfer=True))
    transfer.pack(plan)
    with tarfile.open(plan.folder / "transfer" / "data~d.tar") as tar:
        packed = {name: tar.extractfile(name).read() for name in tar.getnames()}
    assert packed == {f"data/d/{name}": content for name, content in samples.tree(data).items()}
    assert {"data/d/00000_esatv3/RGB.tar", "data/d/00000_esatv3/RGB.index.npy"} < {*packed}


def test_files_go_and_come_back(tmp_path, samples):
    first = DagNode("m_0_train", "train", ("main.py",), datasets=("d/e",), outputs=("log/a/b/seed_1",))
    second = DagNode(
        "m_0_eva", "evaluate", ("evaluate.py",), checkpoints=("a/b/seed_1",), parents=("m_0_train",)
    )
    last = DagNode("report", "report", ("dag_report.py",), parents=("m_0_eva",))
    plan = plan_of(tmp_path, first, second, last, hosts=Hosts(file_transfer=True))
    plan.check()
    with pytest.raises(DataError, match="missing; jobs read it"):
        transfer.pack(plan)
    elsewhere = samples.dataset(tmp_path / "elsewhere" / "e", runs=1, frames=2)
    (tmp_path / "data" / "d").mkdir(parents=True)
    (tmp_path / "data" / "d" / "e").symlink_to(tmp_path / "elsewhere" / "e")
    transfer.pack(plan)
    write.write(plan)
    write.validate(plan)
    folder = plan.folder / "transfer"
    with tarfile.open(folder / "data~d~e.tar") as tar:
        assert {f"data/d/e/{name}" for name in samples.tree(elsewhere)} == set(tar.getnames())
    with tarfile.open(folder / "nav_pkg.tar.gz") as tar:
        assert {"env.sh", "nav_pkg/core.py", "setup/setup.sh"} <= set(tar.getnames())
    (folder / "nav_pkg.tar.gz").write_text("of before")
    packed = (folder / "data~d~e.tar").stat().st_ino
    transfer.pack(plan)  # continued: with the code as it is now
    assert tarfile.is_tarfile(folder / "nav_pkg.tar.gz")
    assert (folder / "data~d~e.tar").stat().st_ino == packed
    late = time.time() + 5
    image = "00000_esatv3/RGB/0000000000.jpg"
    os.utime(elsewhere / image, (late, late))
    transfer.pack(plan)  # and with a dataset that was mended
    with tarfile.open(folder / "data~d~e.tar") as tar:
        assert tar.getmember(f"data/d/e/{image}").mtime == pytest.approx(late, abs=2)
    spec = plan.spec(first)
    assert spec["env"] == {"NAV_PKG_DATA": "data", "NAV_PKG_LOG": "log"}
    assert spec["transfer"]["out"] == ["log/a/b/seed_1"]
    assert [Path(path).name for path in spec["transfer"]["in"]] == [
        "nav_pkg.tar.gz",
        "data~d~e.tar",
        "m_0_train.tar",
    ]
    assert [Path(path).name for path in plan.spec(second)["transfer"]["in"]] == [
        "nav_pkg.tar.gz",
        "m_0_train.tar",
        "m_0_eva.tar",
    ]
    assert plan.spec(last)["transfer"] is None and plan.spec(last)["pack"] == []
    report = (plan.folder / "report.sub").read_text()
    assert "universe = local" in report and "NumJobStarts > 9 + " in report
    sub = (plan.folder / "train.sub").read_text()
    assert "checkpoint_exit_code = 85" in sub and "max_retries = 2" in sub and "on_exit_remove" not in sub
    assert (
        f"SCRIPT POST m_0_train {ROOT}/setup/condor_unpack {plan.folder} $JOB $RETURN"
        in plan.file.read_text()
    )
    kept(tmp_path / "node" / "log" / "a" / "b" / "seed_1", "my-model")
    with tarfile.open(folder / "m_0_train.tar", "w") as tar:
        tar.add(tmp_path / "node" / "log", "log")
    assert transfer.main([str(plan.folder), "m_0_train", "0"]) == 0
    assert (tmp_path / "log" / "a" / "b" / "seed_1" / "my-model").read_text() == "{}"
    assert (
        transfer.main([str(plan.folder), "m_0_eva", "4"]) == 4
    )  # brought nothing; the node fails as its job did


@pytest.mark.parametrize("name", ["../out", "/etc/out", "log/../../out", "elsewhere/out", "data"])
def test_files_that_would_come_back_elsewhere_are_refused(tmp_path, name, capsys):
    plan = plan_of(tmp_path, *three())
    write.write(plan)
    (tmp_path / "file").write_text("x")
    with tarfile.open(plan.folder / "transfer" / "r0.tar", "w") as tar:
        tar.add(tmp_path / "file", name) if not name.startswith(("/", "..")) else _add(tar, name)
    assert transfer.main([str(plan.folder), "r0", "0"]) == 3
    assert "neither below data/ nor log/" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and not Path("/etc/out").exists()


def _add(tar, name):
    info = tarfile.TarInfo(name)
    tar.addfile(info)


# Estimates.


def test_estimates_follow_the_work():
    flags = {"batch_size": 64, "max_episodes": 10}
    small = workload.training("tiny_net", flags, 64000, 1000, 1000)
    twice = workload.training("tiny_net", {**flags, "max_episodes": 20}, 64000, 1000, 1000)
    rate = workload.RATES["tiny_net"].frames
    assert abs((twice.seconds - small.seconds) - (64000 + 10000 / 3) / rate) < 1e-6
    assert workload.training("tiny_net", {**flags, "max_steps": 100}, 64000, 0, 0).seconds < small.seconds
    ram = workload.training("tiny_net", {**flags, "load_data_in_ram": True}, 64000, 1000, 1000)
    assert abs((ram.memory - small.memory) - 66000 * 3 * 128 * 128 / 1e6) < 1e-6
    lstm = workload.training(
        "tiny_LSTM_net", {**flags, "time_length": 20, "batch_size": 32}, 64000, 1000, 1000
    )
    assert lstm.memory > workload.training("tiny_LSTM_net", {**flags, "time_length": 5}, 64000, 0, 0).memory
    flown = workload.flights(10, 2400, workload.RECORDED)
    assert abs(flown.disk - (200 + 10 * 2400 * 0.065)) < 1e-9 and flown.files == 10 * 8 + 8
    files = workload.flights(10, 2400, workload.RECORDED, frame=workload.CameraData(files=True)).files
    assert files == 10 * (2 * 2400 + 4) + 8
    large = workload.flights(
        10, 2400, workload.RECORDED, frame=workload.CameraData(4 * 640 * 360, 4 * 160 * 90, bag=True)
    )
    assert large.seconds > 2 * flown.seconds
    assert abs(large.disk - (200 + 24000 * (4 * 0.062 + 0.003 + 4 * (0.6912 + 0.0576) + 0.01))) < 1e-6
    evaluated = workload.flights(10, 2400, workload.FLOWN, "tiny_net", kept=86)
    assert abs(evaluated.disk - (200 + (860 + 2400) * 0.065)) < 1e-9
    learned = [workload.flights(1, 600, 30, "tiny_net", kept=0, buffer=n).memory for n in (0, 1000)]
    assert abs(learned[1] - learned[0] - 1000 * 3 * 128 * 128 / 1e6) < 1e-6
    slow = workload.flights(1, 600, workload.FLOWN, "vgg16_net")
    assert slow.seconds > workload.flights(1, 600, workload.FLOWN, "tiny_net").seconds
    assert estimate.wall_time(small) >= 3 * small.seconds and estimate.wall_time(small) % 60 == 0


def test_sums_and_the_longest_chain(tmp_path):
    jobs = three()
    works = {job.name: workload.Work(100.0 * (i + 1), 1000, 500, 0, 3) for i, job in enumerate(jobs)}
    assert estimate.longest(jobs, works) == 500
    total = estimate.totals(jobs, works)
    assert total["core_hours"] == (2 * 100 + 2 * 200 + 300) / 3600 and total["files"] == 9
    text = "\n".join(estimate.table(plan_of(tmp_path, *jobs), works))
    assert "the longest chain of jobs: 8 min; with 2 cores in all: 8 min" in text  # no sooner than the chain
    assert "dag_train.py -t a/b: 3 jobs" in text and "2 x record" in text


def test_the_scaling_page_holds_what_is_computed():
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert [line for line in scale.table() if line not in page.splitlines()] == []


def test_scripts_are_executable_and_short():
    for file in sorted((ROOT / "scripts").glob("dag_*.py")):
        assert os.access(file, os.X_OK) and len(file.read_text().splitlines()) <= 20
