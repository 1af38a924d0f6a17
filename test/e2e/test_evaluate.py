"""A checkpoint evaluated in Gazebo: two simulators, interrupted and resumed, the same result."""

import json
import signal
import time

from nav_pkg.sim.graph import sessions

FLAGS = ["-n", 2, "--max_duration", 3, "--width", 160, "--height", 120, "--jobs", 2]
FLAGS += ["--control_delays", 0.2, "--perturbations", "noise:0.2"]


def result(shell, tag):
    return json.loads((shell.log / tag / "evaluation.json").read_text())


def test_two_simulators_and_an_interruption_give_what_one_gives(shell):
    shell.run("main.py", "--create_scratch_checkpoint", "-t", "a", "--network", "tiny_net")
    output = shell.run("evaluate.py", "-t", "both", "-m", "a", *FLAGS, "none", name="both")
    both = result(shell, "both")
    assert [condition["measures"]["counted"] for condition in both["conditions"]] == [2] * 2, output
    # These nets regress: any other image is another turn.
    noisy, plain = (condition["runs"] for condition in both["conditions"][:2])
    assert noisy[0]["imitation_loss"] != plain[0]["imitation_loss"]
    assert "0 of 2" in output
    times = both["timing"][both["conditions"][0]["folder"]]
    assert times["real_time_ratio"] > 0
    assert times["inference_frames"] >= 60
    assert (shell.log / "both" / "evaluation.html").exists()

    # One condition: the two simulators share its runs.
    line = ["-t", "one", "-m", "a", *FLAGS]
    process = shell.start("evaluate.py", *line, name="one")
    deadline = time.monotonic() + 300
    logs = [shell.log / "one" / "a" / "esatv3_forward_delay0.2_noise0.2" / f"shard_{k}" for k in (1, 2)]
    while not any((log / "runs.jsonl").exists() for log in logs):
        assert time.monotonic() < deadline and process.poll() is None, shell.report("one")
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=120)
    assert process.returncode == 130, shell.report("one")
    assert [session for session in sessions() if session["folder"].startswith(str(shell.log))] == []

    shell.run("evaluate.py", *line[:-6], "--jobs", 1, *line[-4:], name="again")
    resumed = result(shell, "one")
    assert resumed["conditions"] == both["conditions"][:1]
    assert resumed["checkpoints"]["a"]["sha256"] == both["checkpoints"]["a"]["sha256"]

    output = shell.run(
        "evaluate.py", "-t", "one", "-m", "a", "--random_seed", 9, *FLAGS, code=2, name="other"
    )
    assert output.count("\n") == 1
    assert "random_seed 123, now 9" in output

    before = (shell.log / "one" / "evaluation.json").read_bytes()
    shell.run("evaluate.py", *line, name="done")
    assert (shell.log / "one" / "evaluation.json").read_bytes() == before
