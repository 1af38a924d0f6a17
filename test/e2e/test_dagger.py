"""Rounds of DAgger in the real simulator: cut off, resumed, and what each leaves."""

import json
import signal
import time

import pytest

from nav_pkg.data.reader import load_dataset

SHORT = ("--max_duration", 4, "--width", 160, "--height", 120, "--depth_width", 80, "--depth_height", 45)
DAGGER = (
    "-t", "dagger", "--dataset", "first/clean", "--checkpoint_path", "net", "--rounds", 2, "--runs", 2,
    "--evaluation_runs", 1, "--alpha", 0.5, "--takeover_distance", 1.0, *SHORT,
    "--loss", "CrossEntropy", "--learning_rate", 0.05, "--batch_size", 16, "--max_episodes", 2,
    "--num_threads", 1,
)  # fmt: skip


@pytest.fixture(scope="module")
def first(shell):
    """What the rounds begin with: a dataset of three short flights, and a net that has learned nothing."""
    shell.run(
        "run_script.py", "-t", "first/raw", "-ds", "--number_of_runs", 3, "--alpha", 1, "--start", "route",
        *SHORT,
    )  # fmt: skip
    shell.run(
        "clean_dataset.py", "--startswith", "first/raw", "--destination", "first/clean", "--val_len", 1,
        "--test_len", 1, "--min_rgb", 10, "--outcomes", "timeout",
    )  # fmt: skip
    shell.run(
        "main.py", "--create_scratch_checkpoint", "-t", "net", "--network", "tinyv3_net", "--discrete",
        "--shifted_input",
    )  # fmt: skip


def test_rounds(shell, first):
    # cut off in the first round
    process = shell.start("dagger.py", *DAGGER, name="dagger")
    flown = shell.log / "dagger" / "round_1" / "collect" / "runs.jsonl"
    deadline = time.monotonic() + 200
    while not flown.exists():
        assert process.poll() is None and time.monotonic() < deadline, shell.report("dagger")
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=90) == 130, shell.report("dagger")
    out = shell.run("dagger.py", *DAGGER, limit=700, name="dagger")
    assert "round 2: fly alone" in out and "laps alone" in out
    rounds = json.loads((shell.log / "dagger" / "dagger.json").read_text())["rounds"]
    assert [row["round"] for row in rounds] == [1, 2]
    assert [row["alpha"] for row in rounds] == [0.5, 0.25]
    # the first dataset's run, and all that was flown
    assert rounds[1]["training_frames"] == 40 + rounds[0]["flown"] + rounds[1]["flown"]
    assert 0 < rounds[0]["expert_share"] < 1
    # an evaluation learns nothing
    assert not (shell.log / "dagger" / "round_1" / "evaluate" / "my-model").exists()
    merged = load_dataset(shell.data / "dagger" / "round_2" / "dataset")
    assert len(merged.split("train")) == 5 and len(merged.split("val")) == 1
    assert {str(a) for run in merged.split("train")[1:] for a in run.frames.actor} == {"expert", "learner"}
    shell.run("dataset.py", "verify", "dagger/round_2/dataset", name="verify")
    # nothing is done twice; an earlier version kept the flags in another order
    begin = flown.read_bytes()
    state = shell.log / "dagger" / "dagger.json"
    content = json.loads(state.read_text())
    words = content["flags"]["flight"]
    content["flags"]["flight"] = [
        word for place in range(len(words) - 2, -1, -2) for word in words[place : place + 2]
    ]
    assert content["flags"]["flight"] != words
    state.write_text(json.dumps(content))
    out = shell.run("dagger.py", *DAGGER, name="again")
    assert out.count(": done ==") == 8 and flown.read_bytes() == begin
    out = shell.run("dagger.py", *DAGGER, "--alpha", 0.3, code=2, name="other")
    assert "was started with --alpha 0.5, not 0.3" in out


@pytest.mark.parametrize(
    "words, text, code",
    [
        (("--runs", 0), "--runs: 0 is not at least 1", 2),
        (("--alpha", 2), "--alpha: 2 is not at least 0 and at most 1", 2),
        (("--network", "alex_net"), "alex_net", 3),
        (("--evaluate_every", 2), "--evaluate_every is set by the rounds", 2),
        (("--learning_rat", 2), "did you mean '--learning_rate'", 2),
        (("--checkpoint_path", "nowhere"), "nowhere", 3),
        (("--dataset", "nowhere"), "nowhere", 3),
    ],
)
def test_bad_input(shell, first, words, text, code):
    out = shell.run("dagger.py", *DAGGER, "-t", "bad", *words, code=code, name="bad")
    assert text in out and out.count("error:") == 1 and "Traceback" not in out
    assert not (shell.log / "bad").exists()
