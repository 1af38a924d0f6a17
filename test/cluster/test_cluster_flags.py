"""The cluster's command lines: whose each flag is, what is refused, the published lines, the table."""

from __future__ import annotations

import runpy
import shlex
import shutil
from pathlib import Path

import pytest

from nav_pkg.cli import dag_train
from nav_pkg.cluster import write
from nav_pkg.cluster.plans import create_data, dagger, evaluate, train, train_and_evaluate, train_online
from nav_pkg.cluster.plans import run as run_module
from nav_pkg.config import cluster, learner
from nav_pkg.core import DataError, NavError, UsageError
from nav_pkg.data import files
from nav_pkg.learn.training.parts import TrainingParts

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "dag_create_data.py": create_data,
    "dag_train.py": train,
    "dag_train_and_evaluate.py": train_and_evaluate,
    "dag_evaluate.py": evaluate,
    "dag_train_online.py": train_online,
    "dag_dagger.py": dagger,
}
DATASETS = ("esatv3_expert_200K", "esatv3_expert")


@pytest.fixture(scope="module")
def samples():
    return runpy.run_path(str(ROOT / "test" / "data" / "conftest.py"))["Samples"]()


@pytest.fixture(scope="module")
def data(samples, tmp_path_factory):
    """The datasets that the published lines name."""
    root = tmp_path_factory.mktemp("datasets")
    for name in DATASETS:
        path = samples.dataset(root / name, runs=3, frames=4)
        for number, part in enumerate(("train", "val", "test")):
            (path / f"{part}_set.txt").write_text(f"{number:05d}_esatv3\n")
    return root


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path, data):
    """Logs and datasets of a test's own."""
    shutil.copytree(data, tmp_path / "data")
    monkeypatch.setenv("NAV_PKG_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAV_PKG_LOG", str(tmp_path / "log"))
    monkeypatch.delenv(cluster.LENIENT, raising=False)
    return tmp_path


def command(line):
    """The command of a command line, which is given without `python`."""
    script, *argv = shlex.split(line)
    commands = (
        value
        for value in vars(COMMANDS[script]).values()
        if isinstance(value, type) and getattr(value, "name", "") == script
    )
    return next(commands)(argv)


def planned(line):
    """Its plan."""
    dag = command(line)
    with dag.folders():
        dag.check()
    return dag.plan()[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A function that puts a model of fresh weights into a log folder."""
    config = learner.parse(["--network", "tiny_net", "--discrete"])
    file = tmp_path_factory.mktemp("model") / "my-model"
    TrainingParts(config).untrained_checkpoint().save(file)

    def put(folder):
        folder.mkdir(parents=True)
        shutil.copy(file, folder)

    return put


@pytest.fixture
def written(monkeypatch):
    """A function that writes a plan without HTCondor's bindings, which, once imported, find no pool later."""
    monkeypatch.setattr(write, "_write_dag", lambda *_: None)
    return write.write


def words(plan, name):
    """The command of a job, as one line."""
    return " ".join(next(job.command for job in plan.jobs if job.name == name))


VGG = (
    "dag_train.py -t vgg16_net/esatv3_expert_200K/Adam/001 --network vgg16_net --dataset esatv3_expert_200K "
    "--discrete --turn_speed 0.8 --speed 0.8 --continue_training --checkpoint_path vgg16_net_scratch "
    "--tensorboard "
    "--max_episodes 100 --batch_size 32 --learning_rate 0.001 --loss CrossEntropy --shifted_input "
    "--optimizer Adam "
    "--number_of_models 1 --wall_time_train 37200 --rammem 6 --gpumem 6000 --copy_dataset"
)
COLLECT = (
    "dag_create_data.py -t collect_esatv3 --z_pos 1 -w esatv3 --random_seed 512 --owr -ds "
    "--number_of_runs 10 "
    "--no_training --evaluate_every -1 --final_evaluation_runs 0 --pause_simulator --online --alpha 1 "
    "--tensorboard "
    "--discrete --turn_speed 0.8 --speed 0.8 --min_rgb 2000 --max_rgb 3000 --number_of_recorders 1 "
    "--destination esatv3_made --val_len 1 --test_len 1 --wall_time_rec 36000 --rammem 7"
)


def test_the_published_lines():
    plan = planned(VGG)
    assert [job.name for job in plan.jobs] == ["m_0_train", "report"]
    train = plan.jobs[0]
    assert train.wall_time == 37200 and train.resources.memory == 6000 and train.copy_dataset
    assert "--wall_time" not in train.command and "--copy_dataset" in train.command
    assert words(plan, "m_0_train").startswith("main.py -t vgg16_net/esatv3_expert_200K/Adam/001/seed_123 ")
    assert words(plan, "m_0_train").endswith("--copy_dataset --random_seed 123")
    plan = planned(COLLECT)
    assert [job.name for job in plan.jobs] == ["r0", "merge", "clean", "verify"]
    assert plan.jobs[0].wall_time == 36000 and plan.jobs[0].retries == 4 and plan.jobs[0].simulator
    assert "--min_rgb" not in plan.jobs[0].command and "--owr" not in plan.jobs[0].command
    assert "--min_rgb 2000 --max_rgb 3000 --val_len 1 --test_len 1" in words(plan, "clean")
    assert "--random_seed 512" in words(plan, "clean") and "--random_seed 512" in words(plan, "r0")


def test_recorders_share_the_runs_of_one_session():
    plan = planned("dag_create_data.py -t c --number_of_recorders 3 --number_of_runs 2 --destination d")
    assert words(plan, "r1").endswith("-n 6 --shard 2/3")
    assert "--data_location recorders/c/r1" in words(plan, "r1")
    assert words(plan, "merge").startswith("dataset.py gather recorders/c/r0 recorders/c/r1 recorders/c/r2 ")
    assert plan.jobs[3].parents == ("r0", "r1", "r2")


def test_models_over_rates_and_seeds():
    plan = planned(
        "dag_train.py -t t --dataset esatv3_expert --learning_rates 0.1 0.001 --number_of_models 2"
    )
    tags = [job.command[2] for job in plan.jobs[:-1]]
    assert tags == ["t/lr_01/seed_123", "t/lr_01/seed_456", "t/lr_0001/seed_123", "t/lr_0001/seed_456"]
    assert words(plan, "m_2_train").endswith("--learning_rate 0.001 --random_seed 123")
    assert [train.rate_folder(rate) for rate in (0.5, 1.0, 1e-5, 10.0)] == [
        "lr_05",
        "lr_1",
        "lr_000001",
        "lr_10",
    ]


@pytest.mark.parametrize(
    "given, image",
    [
        ("-pe docker --image nav_pkg", "docker://nav_pkg"),
        ("-pe docker --image docker://site/nav_pkg:2", "docker://site/nav_pkg:2"),
        ("-pe sing --image docker://nav_pkg", "docker://nav_pkg"),
    ],
)
def test_images_are_named_as_htcondor_wants_them(given, image):
    assert planned(f"dag_train.py -t t --dataset esatv3_expert {given}").hosts.image == image


def test_trained_models_are_flown():
    plan = planned(
        "dag_train_and_evaluate.py -t t --dataset esatv3_expert --random_numbers 5 6 --model_names a b "
        "--number_of_runs 4 --directions both --speed 0.5 --gpumem_eva 100 --wall_time_eva 4000 --gpunum 1"
    )
    assert [job.name for job in plan.jobs] == ["m_0_train", "m_1_train", "m_0_eva", "m_1_eva", "report"]
    assert words(plan, "m_1_eva").startswith("evaluate.py -m t/b -t t/b/evaluation ")
    for name in ("m_0_train", "m_0_eva"):
        assert "--speed 0.5" in words(plan, name)
    flown = plan.jobs[3]
    assert flown.parents == ("m_1_train",) and flown.total == 8 and flown.wall_time == 4000


def test_all_models_of_the_tag_are_flown(folders, model, written):
    written(planned("dag_train.py -t t --dataset esatv3_expert --learning_rates 0.1 0.01 --seeds 9"))
    with pytest.raises(DataError, match="lr_01/seed_9: holds no model"):
        planned("dag_evaluate.py -t t")
    for rate in ("lr_01", "lr_001"):
        model(folders / "log" / "t" / rate / "seed_9")
    plan = planned("dag_evaluate.py -t t --number_of_runs 2")
    assert [job.name for job in plan.jobs] == ["m_0_eva", "m_1_eva", "report"]
    assert words(plan, "m_1_eva").startswith(
        "evaluate.py -m t/lr_001/seed_9 -t t/evaluation/lr_001/seed_9/evaluation "
    )
    with pytest.raises(DataError, match="t/seed_9: holds no model"):
        planned("dag_evaluate.py -t t --seeds 9")


def test_the_nets_of_the_last_round_are_flown(folders, model, written):
    """Of rounds of DAgger on a cluster, and of dagger.py's own."""
    model(folders / "log" / "base")
    dag = command(
        "dag_dagger.py -t d --dataset esatv3_expert -m base --rounds 10 --loss CrossEntropy --seeds 7 9"
    )
    with dag.folders():
        dag.check()
    written(dag.plan()[0])
    dag.prepare()
    for place in (f"d/seed_{seed}/round_{n}/train" for seed in (7, 9) for n in (2, 9, 10)):
        model(folders / "log" / place)
    for more in ("", " --seeds 7 9"):
        plan = planned(f"dag_evaluate.py -t d{more} --number_of_runs 2")
        assert plan.configuration["checkpoints"] == [f"d/seed_{seed}/round_10/train" for seed in (7, 9)]
    plan = planned("dag_evaluate.py -t d/seed_9 --number_of_runs 2")
    assert plan.configuration["checkpoints"] == ["d/seed_9/round_10/train"]
    assert plan.tag == "d/seed_9/evaluation"
    for model in folders.rglob("round_*/train/my-model"):
        model.unlink()
    with pytest.raises(DataError, match="d/seed_7: holds no model"):
        planned("dag_evaluate.py -t d")


def test_a_dag_that_is_done_says_where_its_output_is(folders, monkeypatch, capsys, written):
    """Given again with the same flags, it ends as a training does that is done."""
    monkeypatch.setattr(run_module.submit, "in_queue", lambda folder: [])
    monkeypatch.setattr(run_module.existing_dag, "is_done", lambda folder: True)
    for line, output in (
        ("dag_train.py -t t --dataset esatv3_expert --seeds 5", "log/t/report.html"),
        ("dag_create_data.py -t c --number_of_recorders 1 --destination made", "data/made"),
    ):
        dag = command(line)
        with dag.folders():
            dag.check()
        plan, works = dag.plan()
        written(plan)
        before = {path: path.stat().st_mtime_ns for path in folders.rglob("*")}
        assert run_module._write_and_submit(dag, plan, works) == 0
        assert f"-t {plan.tag}: this DAG is done; its output: {folders / output} " in capsys.readouterr().out
        changed = {path for path in folders.rglob("*") if path.stat().st_mtime_ns != before.get(path)}
        assert not {path for path in changed if path.is_file() and path.suffix != ".lock"}


def test_learning_in_flight():
    plan = planned(
        "dag_train_online.py -t t --number_of_models 2 --discrete --loss CrossEntropy --number_of_runs 3 "
        "--online "
        "--alpha 0.5"
    )
    assert words(plan, "m_1_train").startswith("run_script.py -t t/seed_456 --random_seed 456 ")
    assert words(plan, "m_1_train").count("--online") == 1 and plan.jobs[0].kind == "online"


def test_what_a_learner_in_flight_reads(folders, model):
    model(folders / "log" / "t" / "net")
    plan = planned(
        "dag_train_online.py -t o -m t/net --prefill_dataset esatv3_expert --loss CrossEntropy "
        "--number_of_models 1 --alpha 0.5 --width 48 --height 32"
    )
    assert plan.jobs[0].checkpoints == ("t/net",) and plan.jobs[0].datasets == ("esatv3_expert",)
    plan = planned("dag_create_data.py -t c -m t/net --alpha 0.5 --number_of_recorders 1 --destination d")
    assert plan.jobs[0].checkpoints == ("t/net",)


def test_flags_of_before_that_do_nothing_are_passed_over_when_asked(capsys, monkeypatch):
    line = "dag_train.py -t t --dataset esatv3_expert -pp pilot/pytorch -ps main.py --max_episodes 3"
    with pytest.raises(UsageError, match="-pp is not needed"):
        planned(line)
    assert "--max_episodes 3" in words(planned(f"{line} --allow_unused_flags"), "m_0_train")
    assert "-ps is not needed: dag_train.py runs main.py; ignored" in capsys.readouterr().err
    monkeypatch.setenv(cluster.LENIENT, "1")
    assert "--max_episodes 3" in words(planned(f"{line} --number_of_recorders 2"), "m_0_train")
    assert "--number_of_recorders belongs to dag_create_data.py" in capsys.readouterr().err


def test_an_image_is_there(folders, monkeypatch):
    line = "dag_train.py -t t --dataset esatv3_expert -pe sing --image"
    with pytest.raises(UsageError, match=r"x\.sif: no such file"):
        planned(f"{line} {folders}/x.sif")
    (folders / "x.sif").write_text("")
    assert planned(f"{line} {folders}/x.sif").hosts.image == str(folders / "x.sif")
    monkeypatch.chdir(folders)  # jobs begin in another folder
    assert planned(f"{line} x.sif").hosts.image == str(folders / "x.sif")
    assert planned(f"{line} docker://there/nav_pkg").hosts.image == "docker://there/nav_pkg"
    line = line.replace("-pe sing", "-pe docker")
    assert planned(f"{line} nav_pkg:1").hosts.image == "docker://nav_pkg:1"


def test_rounds_of_dagger_read_what_those_before_have_written(folders, model):
    """Each round builds on the files of the last: on a host that sees none of them, too."""
    model(folders / "log" / "base")
    line = "dag_dagger.py -t d --dataset esatv3_expert -m base --rounds 2 --loss CrossEntropy --seeds 7"
    for more, last in (("", "d/seed_7/round_1/train"), (" --from_start", "base")):
        plan = planned(f"{line} --number_of_models 1 --file_transfer{more}")
        jobs = {job.name.replace("m_0_", ""): job for job in plan.jobs}
        assert list(jobs) == [
            *(f"round_{n}_{step}" for n in (1, 2) for step in ("fly", "add", "learn", "fly_alone")),
            "table",
            "report",
        ]
        reads = {name: plan.folders_in(job) for name, job in jobs.items()}
        assert reads["round_1_fly"] == ["log/base"] and reads["round_2_fly"] == ["log/d/seed_7/round_1/train"]
        assert reads["round_2_learn"] == ["data/d/seed_7/round_2/dataset", f"log/{last}"]
        assert reads["round_2_fly_alone"] == ["log/d/seed_7/round_2/train"]
        assert plan.folders_before() == ["log/base"]
        tars = [path.name for path in plan.transfer_in(jobs["round_2_learn"])]
        assert tars[1] == "m_0_round_2_add.tar"
        assert plan.spec(jobs["round_2_add"])["pack"] == ["data/d/seed_7/round_2/dataset"]
        assert [name for name, job in jobs.items() if not plan.transferred(job)] == [
            "round_1_add",
            "round_2_add",
            "table",
            "report",
        ]
    shared = planned(f"{line} --number_of_models 1")
    assert not any(shared.spec(job)["transfer"] or shared.spec(job)["pack"] for job in shared.jobs)


def test_paths_hold_on_other_hosts(folders, model, monkeypatch):
    for place in ("log/base", "elsewhere"):
        model(folders / place)
    line = "dag_train.py -t t --dataset esatv3_expert --number_of_models 1 --checkpoint_path"
    for more in ("", " --file_transfer"):
        plan = planned(f"{line} {folders}/log/base{more}")
        assert "--checkpoint_path base " in words(plan, "m_0_train")
        assert plan.jobs[0].checkpoints == ("base",)
        assert "--checkpoint_path=base" in words(planned(f"{line}={folders}/log/base{more}"), "m_0_train")
    assert f"--checkpoint_path {folders}/elsewhere " in words(
        planned(f"{line} {folders}/elsewhere"), "m_0_train"
    )
    assert "--checkpoint_path base " in words(planned(f"{line} base/../base --file_transfer"), "m_0_train")
    for place in (f"{folders}/elsewhere", "../elsewhere"):
        with pytest.raises(UsageError, match="elsewhere: with --file_transfer .*: copy it there"):
            planned(f"{line} {place} --file_transfer")
    shutil.copy(ROOT / "config" / "robot" / "drone.yaml", folders / "mine.yaml")
    monkeypatch.chdir(folders)
    line = "dag_create_data.py -t c --number_of_recorders 1 --destination d --robot mine.yaml"
    assert f"--robot {folders}/mine.yaml" in words(planned(line), "r0")
    with pytest.raises(UsageError, match="--robot mine.yaml: .* put the file into .*config/robot"):
        planned(f"{line} --file_transfer")


def test_a_plan_file_is_read_where_it_lies_or_refused(small_plan, monkeypatch):
    monkeypatch.chdir(small_plan.parent)
    line = "dag_create_data.py -t c --number_of_recorders 1 --destination d --world small.json+7"
    plan = planned(line)
    assert f"--world {small_plan}+7" in words(plan, "r0")
    small_plan.write_text(small_plan.read_text() + " ")
    assert planned(line).configuration != plan.configuration  # another world: not the same DAG
    with pytest.raises(
        UsageError, match=r"--world small.json\+7: .* put the file into .*world/plans and give"
    ):
        planned(f"{line} --file_transfer")


def test_tars_take_room_beside_what_is_in_them():
    line = "dag_train.py -t t --dataset esatv3_expert --network tiny_net --number_of_models 1"
    here, far = (planned(f"{line}{more}").jobs[0].resources.disk for more in ("", " --file_transfer"))
    assert far == pytest.approx(2 * here, abs=200)
    assert planned(f"{line} --file_transfer --diskmem 3").jobs[0].resources.disk == 3000


def test_what_can_not_be_validated_is_refused_before(folders):
    (folders / "data" / "esatv3_expert" / "val_set.txt").write_text("")
    with pytest.raises(DataError, match="esatv3_expert/val_set.txt: no runs to validate on"):
        planned("dag_train.py -t t --dataset esatv3_expert")


def test_light_jobs_have_no_wall_time():
    """They keep nothing: stopped by it, they would begin again and again."""
    plan = planned("dag_create_data.py -t c --number_of_recorders 1 --destination d")
    assert [job.wall_time > 0 for job in plan.jobs] == [True, False, False, False]


def test_owr_leaves_a_dataset_that_others_made(folders, samples, monkeypatch):
    dag = create_data.CreateData(["-t", "c", "--destination", "esatv3_expert", "--owr"])
    with dag.folders():
        dag.check()
    plan, works = dag.plan()
    removed = []
    monkeypatch.setattr(run_module.submit, "in_queue", lambda folder: [])
    monkeypatch.setattr(run_module.existing_dag, "start_over", removed.append)
    (folders / "data" / "c").mkdir()
    with pytest.raises(DataError, match="esatv3_expert: exists and was made of .*, not of c "):
        run_module._write_and_submit(dag, plan, works)
    assert removed == []  # nothing, before it was refused
    for file in (folders / "data" / "esatv3_expert").glob("*/run.json"):
        samples.edit(file.parent, source={"dataset": "c"})
    dag.check_places(resumes=False)


def test_files_of_a_dag_that_was_submitted_are_not_written_again(folders, capsys):
    submitted = folders / "log" / "t" / "DAG" / "submitted.json"
    submitted.parent.mkdir(parents=True)
    submitted.write_text("{}")
    with pytest.raises(UsageError, match="--dont_submit: the DAG of -t t was submitted"):
        dag_train.main(["-t", "t", "--dataset", "esatv3_expert", "--owr", "--dont_submit"])
    assert submitted.exists()


REFUSED = [
    ("dag_train.py --dataset esatv3_expert", "arguments are required: -t/--log_tag"),
    ("dag_train.py -t t stray", "unknown argument 'stray'"),
    ("dag_train.py -t t --lerning_rate 1", "did you mean '--learning_rate'"),
    ("dag_train.py -t t --min_rgb 5", "--min_rgb belongs to clean_dataset.py"),
    ("dag_train.py -t t --number_of_recorders 5", "belongs to dag_create_data.py"),
    ("dag_train.py -t t --world esatv3", "--world belongs to run_script.py"),
    ("dag_train.py -t t --random_seed 5", "give --seeds"),
    ("dag_train.py -t t --evaluate", "is what dag_train.py sets"),
    ("dag_train.py -t t --alpha 1", "--alpha has no effect when training offline"),
    ("dag_train.py -t t --batch_size 0", "0 is not at least 1"),
    ("dag_train.py -t t --network nonet", "no such network"),
    ("dag_train.py -t t --control_file x", "is called --labels here"),
    ("dag_train.py -t t --python_project x", "is not needed"),
    ("dag_train.py -t t --number_of_models 4", "give as many --seeds"),
    ("dag_train.py -t t --seeds 1 1", "--seeds 1 is given twice"),
    ("dag_train.py -t t --learning_rates 0.1 0.10", "two models would be in"),
    ("dag_train.py -t t --learning_rates 0.1 --learning_rate 0.1", "give one of them"),
    ("dag_train.py -t t --wall_time 50 --wall_time_train 50", "give one of them"),
    ("dag_train.py -t t --wall_time_rec 50 --wall_time 50", "--wall_time and --wall_time_rec are the same"),
    ("dag_train.py -t t --wall_time_rec 40", "--wall_time_rec 40 is shorter than the time to the first"),
    ("dag_train_and_evaluate.py -t t --wall_time_rec 50", "give --wall_time_train or --wall_time_eva"),
    ("dag_train.py -t t --dataset nowhere", "nowhere: no such dataset"),
    ("dag_train.py -t t --checkpoint_path nowhere", "no such checkpoint"),
    ("dag_train.py -t t --wall_time_train 40", "shorter than the time to the first checkpoint"),
    ("dag_train.py -t t --greenlist a$b", "is not a host's name"),
    ("dag_train.py -t t --use_greenlist", "names no host"),
    ("dag_train.py -t t --image x.sif", "a container needs both"),
    ("dag_train.py -t t -pe sing", "a container needs both"),
    ("dag_train.py -t t -pe docker --image x.sif", "give -pe sing"),
    ("dag_train.py -t ../t", "is not a name"),
    (f"dag_train.py -t {'a' * 201}", "is too long for a name (at most 200 characters"),
    (f"dag_train.py -t {'a' * 100}/{'b' * 100}", "-t aaaaaaaaaaaaaaaaaaaa...: a tag of 201 characters"),
    ("dag_train.py -t 'a b'", "is not a name"),
    ("dag_train.py -t 'a$(b)'", "is not a name"),
    ("dag_train.py -t 'a\"b'", "is not a name"),
    ("dag_train.py -t 'a\nb'", "is not a name"),
    ("dag_train.py -t t --summary_dir '/tmp/a b'", "HTCondor's files can't hold this path"),
    ("dag_train.py -t t --summary_dir '/tmp/$(HOME)'", "HTCondor's files can't hold this path"),
    ("dag_train.py -t t --summary_dir /tmp/a,b", "HTCondor's files can't hold this path"),
    ("dag_create_data.py -t t --wall_time_train 5", "give --wall_time_rec"),
    ("dag_create_data.py -t t --seeds 5", "--seeds belongs to dag_train.py"),
    ("dag_create_data.py -t t --shard 1/2", "is what dag_create_data.py sets"),
    ("dag_create_data.py -t t --alpha 0.5", "needs a learner"),
    ("dag_create_data.py -t t --min_rgb 9 --max_rgb 3", "exceeds --max_rgb"),
    ("dag_create_data.py -t t --destination t", "is the tag"),
    ("dag_create_data.py -t t --destination t/clean", "is the tag"),
    ("dag_create_data.py -t t/r0 --destination t", "is the tag"),
    ("dag_create_data.py -t t --destination recorders/t/r0", "is where the recorders write"),
    ("dag_create_data.py -t t --destination recorders", "is where the recorders write"),
    ("dag_train.py -t t --dataset esatv3_expert --number_of_models 1 --model_names DAG", "DAG"),
    ("dag_create_data.py -t t --number_of_runs 0", "must be between 1 and 1000000"),
    ("dag_create_data.py -t t --wall_time_rec 20", "shorter than the time to the first checkpoint"),
    ("dag_create_data.py -t t --world nowhere", "nowhere"),
    ("dag_train_and_evaluate.py -t t -m x", "is what dag_train_and_evaluate.py sets"),
    ("dag_train_and_evaluate.py -t t --jobs 2", "a job has one simulator"),
    ("dag_train_and_evaluate.py -t t --reverse", "is what dag_train_and_evaluate.py sets"),
    ("dag_evaluate.py -t t", "holds no model"),
    ("dag_evaluate.py -t t -m nowhere", "nowhere"),
    ("dag_train_online.py -t t --no_training", "is what dag_train_online.py sets"),
    ("dag_dagger.py -t t --dataset esatv3_expert", "-m/--checkpoint_path"),
]


@pytest.mark.parametrize("line, text", REFUSED, ids=[line[:80] for line, _ in REFUSED])
def test_what_is_refused_before_anything_is_made(line, text, folders):
    if "--dataset" not in line and ("dag_train.py" in line or "and_evaluate" in line):
        line += " --dataset esatv3_expert"
    with pytest.raises(NavError) as error:
        planned(line)
    assert text in str(error.value) and "\n" not in str(error.value)
    assert isinstance(error.value, (UsageError, DataError))
    assert not (folders / "log").exists()


def test_less_memory_than_expected_is_warned_of():
    dag = train.Train(["-t", "t", "--dataset", "esatv3_expert", "--rammem", "0.5"])
    with dag.folders():
        dag.check()
    dag.plan()
    assert ["--rammem 0.5 is less than" in text for text in dag.warnings] == [True]


@pytest.mark.parametrize("more, warned", [([], True), (["--outcomes", "success", "timeout"], False)])
def test_runs_that_can_not_be_whole_laps_are_warned_of(more, warned):
    dag = create_data.CreateData(["-t", "t", "--destination", "d", "--max_duration", "40", *more])
    with dag.folders():
        dag.check()
    text = "--max_duration 40: ends before a whole lap (240 s)"
    assert any(text in warning for warning in dag.warnings) == warned


def test_every_network_can_be_estimated():
    import torch

    from nav_pkg import nets
    from nav_pkg.studies.workload import RATES

    assert set(RATES) <= set(nets.names())  # others' are estimated
    for name, rate in RATES.items():
        assert nets.spec(name).input_size == (rate.side, rate.side)
        with torch.device("meta"):  # no weights are drawn, of which some have 150 million
            net = nets.build(name, seed=1)
        assert abs(nets.registry.parameter_count(net) / 1e6 - rate.parameters) < 0.1


def test_other_flags_under_a_tag_are_told_before_its_destination(folders, monkeypatch):
    """The destination is there since the tag's DAG has made it: that is not what is wrong."""

    def submitted(*more):
        dag = create_data.CreateData(["-t", "c", "--destination", "made", *more])
        with dag.folders():
            dag.check()
        return dag, *dag.plan()

    monkeypatch.setattr(run_module.submit, "in_queue", lambda folder: [])
    dag, plan, _ = submitted()
    (plan.folder).mkdir(parents=True)
    files.atomic_write(
        plan.folder / "plan.json",
        files.to_json({"command": plan.command, "configuration": plan.configuration, **plan.places()}),
    )
    (folders / "data" / "made").mkdir()
    dag.check_places(resumes=True)
    with pytest.raises(UsageError, match=r"c: holds another DAG \(--speed not given, now 0.5\)"):
        run_module._write_and_submit(*submitted("--speed", "0.5"))


def test_checkpoints_without_a_name_are_refused(tmp_path, monkeypatch):
    from nav_pkg.cluster.plans.evaluate import Evaluate

    monkeypatch.setenv("NAV_PKG_LOG", str(tmp_path))
    with pytest.raises(UsageError, match="-m: expected at least one checkpoint"):
        Evaluate(["-t", "x", "-m", "--number_of_runs", "3"]).check()
