"""An exported file flies in Gazebo as its checkpoint does: the same recorded flight."""

from pathlib import Path

import pytest

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "flight.jpg"


CAMERA = ("--width", 160, "--height", 120, "--depth_width", 80, "--depth_height", 45)


def fly(shell, name, checkpoint):
    """Fly and record 2 s; returns the folder of the run."""
    shell.run(
        "run_script.py",
        *("-t", name, "--owr", "-ds", "-n", 1, "--alpha", 0, "--start", "route"),
        *("--max_duration", 2, *CAMERA),
        *("--no_training", "--checkpoint_path", checkpoint),
        name=name,
    )
    return shell.data / name / "00000_esatv3"


def test_an_exported_file_flies_as_its_checkpoint(shell):
    shell.run("main.py", "--network", "tiny_LSTM_net", "--create_scratch_checkpoint", "-t", "net")
    file = shell.folder / "net.onnx"
    size = CAMERA[:4]
    out = shell.run("export.py", "-m", "net", "--output", file, *size, "--images", PICTURE)
    assert out.count("100 % equal commands") == 1
    own = fly(shell, "own", "net")
    rows = (own / "frames.csv").read_text().splitlines()
    assert len(rows) == 21
    other = (fly(shell, "onnx", file) / "frames.csv").read_text().splitlines()
    assert len(other) == len(rows)
    # a regressed yaw rate may differ in its last bits, and the path with it
    for row, other_row in zip(rows[1:], other[1:]):
        for a, b in zip(row.split(",")[:14], other_row.split(",")[:14]):
            assert float(a) == pytest.approx(float(b), abs=1e-4), (row, other_row)
    out = shell.run(
        "run_script.py", "-t", "small", "-n", 1, "--alpha", 0, "--width", 320, "--height", 180,
        "--max_duration", 4, "--no_training", "--checkpoint_path", file, code=2, name="small",
    )  # fmt: skip
    assert "was exported for a camera of 160x120, this one's is 320x180" in out
