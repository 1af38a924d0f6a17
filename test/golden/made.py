"""Bytes of a recording and of trainings, and the ROS interface of a session, for the golden tests.

Images and weights are computed with the processor's vector instructions, so their sums hold for one kind of
processor: `instructions` says which. The numbers beside them hold for all, as closely as `CLOSE` says.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from nav_pkg.machine import vector_instructions

ROOT = Path(__file__).resolve().parents[2]
CLOSE = 1e-3
"""Relative difference of a number that another kind of processor may make."""
LIMIT = 180.0
"""Seconds until a session that starts is asked about its topics, at most."""
SETTLED = 6
"""Equal answers in a row, half a second apart, after which all nodes have registered."""
PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "OMP_NUM_THREADS": "1",
}
"""Environment of trainings: the same instructions on every processor with AVX2, as far as libraries go."""

_EASY = "--dataset easy --loss CrossEntropy --discrete --max_episodes 2 --max_steps 4 --learning_rate 0.05"
TRAININGS = {
    "feed_forward": f"--network tiny_net --shifted_input --batch_size 8 --optimizer Adam {_EASY}",
    "windows": f"--network tiny_LSTM_net --time_length 5 --batch_size 4 {_EASY}",
    "sliding": "--network tiny_LSTM_net --time_length 5 --sliding_tbptt --sliding_step_size 2 "
    f"--batch_size 2 {_EASY}",
    "whole_runs": f"--network tiny_LSTM_net --time_length -1 --batch_size 1 {_EASY}",
}
SMALL = "--width 64 --height 48 --depth_width 32 --depth_height 24 --start route --max_duration 2"
RECORDING = f"run_script.py -t recorded -ds -n 2 --noise ou --sigma_yaw 0.4 --random_seed 5 {SMALL}"
ONLINE = (
    "run_script.py -t online -n 2 --random_seed 6 --online --network tinyv3_net --discrete "
    f"--loss CrossEntropy --learning_rate 0.05 --batch_size 4 --min_buffer_size 4 "
    f"--alpha 0.5 --num_threads 1 -ds --bag {SMALL}"
)
INTERFACE = ONLINE.replace("-t online -n 2", "-t interface -n 1000")
"""Flies until it is interrupted, however long the questions take."""


def tensors(file: Path) -> str:
    """SHA-256 of all tensors of a checkpoint and their names."""
    import torch

    digest = hashlib.sha256()

    def add(name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.contiguous().numpy().tobytes())
        elif isinstance(value, dict):
            for key in sorted(value, key=str):
                add(f"{name}.{key}", value[key])
        elif isinstance(value, (list, tuple)):
            for place, item in enumerate(value):
                add(f"{name}.{place}", item)

    add("", torch.load(file, map_location="cpu", weights_only=True))
    return digest.hexdigest()


def numbers(value: Any, path: str = "") -> Iterator[Tuple[str, float]]:
    """All numbers of a JSON value, with their places."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from numbers(value[key], f"{path}/{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from numbers(item, f"{path}/{place}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path, float(value)


def lines(file: Path) -> List[Any]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def train(work: Any, way: str) -> Dict[str, Any]:
    """A short training: sum of its weights, and its numbers."""
    words = ["main.py", "-t", f"sum_{way}", "--num_threads", "1", *TRAININGS[way].split()]
    subprocess.run(
        [sys.executable, str(ROOT / "scripts" / words[0]), *words[1:]],
        env={**os.environ, **work.environment, **PORTABLE},
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    folder = work.log / f"sum_{way}"
    return {
        "instructions": vector_instructions(),
        "sums": {"tensors": tensors(folder / "my-model")},
        "numbers": {"metrics": dict(numbers(lines(folder / "metrics.jsonl")))},
    }


def fly(work: Any, line: str, ask: bool = False) -> Dict[str, Any]:
    """Fly a session in Gazebo. With `ask` it is interrupted when its ROS interface, the result, is known."""
    environment = {**os.environ, **work.environment, **PORTABLE, "PATH": os.environ["PATH"]}
    script, *words = line.split()
    interface: Dict[str, Any] = {}
    with open(work.folder / "out" / "session", "w+") as out:
        process = subprocess.Popen(
            [sys.executable, "-u", str(ROOT / "scripts" / script), *words],
            env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            if ask:
                interface = ask_master(Path(out.name), work.log / words[words.index("-t") + 1], process)
                process.send_signal(signal.SIGINT)
            code = process.wait(timeout=2 * LIMIT)
        finally:
            process.kill()
        out.seek(0)
        assert code == (128 + signal.SIGINT if ask else 0), out.read()
    return interface


def ask_master(output: Path, log: Path, process: subprocess.Popen[bytes]) -> Dict[str, Any]:
    """Topics with types, MD5 sums, publishers and subscribers, and services, of a session that flies."""
    deadline = time.monotonic() + LIMIT
    while not (log / "state.json").exists() or "ROS_MASTER_URI" not in output.read_text():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, f"no frame within {LIMIT:g} s: {output.read_text()}"
        time.sleep(0.02)
    uri = re.findall(r"ROS_MASTER_URI=(\S+)", output.read_text())[-1]
    paths = [str(Path(__file__).parent), str(ROOT), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", "import json, made; print(json.dumps(made.settled_interface()))"],
        env={**os.environ, "ROS_MASTER_URI": uri, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def settled_interface() -> Dict[str, Any]:
    """The interface once it has not changed for some seconds: nodes register their topics one by one."""
    deadline = time.monotonic() + LIMIT
    same, last = 0, interface()
    while same < SETTLED and time.monotonic() < deadline:
        time.sleep(0.5)
        now = interface()
        same, last = (same + 1 if now == last else 0), now
    return last


def interface() -> Dict[str, Any]:
    """What the ROS master of this environment knows."""
    import rosgraph
    import roslib.message
    import rosservice

    master = rosgraph.Master("/golden")
    publishers, subscribers, services = master.getSystemState()
    types = dict(master.getTopicTypes())
    known = {"publishers": dict(publishers), "subscribers": dict(subscribers)}
    topics = {}
    for topic in sorted({*known["publishers"], *known["subscribers"]}):
        message = roslib.message.get_message_class(types.get(topic, ""))
        topics[topic] = {
            "type": types.get(topic),
            "md5": message._md5sum if message else None,
            **{side: sorted(map(_node, nodes.get(topic, []))) for side, nodes in known.items()},
        }
    service_types = {}
    for service in sorted(name for name, _ in services):
        kind = rosservice.get_service_class_by_name(service)
        service_types[re.sub(r"_\d+_\d+", "", service)] = [kind._type, kind._md5sum]
    return {"topics": topics, "services": service_types}


def _node(name: str) -> str:
    return re.sub(r"_\d+_\d+", "", name)  # rosbag's


def recording(folder: Path) -> Dict[str, Any]:
    """What a dataset holds: sums of its images, rows, scans and tars, and the numbers of its runs."""
    from nav_pkg.data.reader import Dataset

    sums, facts = {}, {}
    for run in Dataset(folder).runs:
        for name in run.sums:
            data = run.images.read(name) if "/" in name else (run.path / name).read_bytes()
            sums[f"{run.name}/{name}"] = hashlib.sha256(data).hexdigest()
        for file in sorted(run.path.glob("*.tar")):
            sums[f"{run.name}/{file.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
        facts[f"{run.name}/run.json"] = dict(numbers(json.loads((run.path / "run.json").read_text())))
    return {"instructions": vector_instructions(), "sums": sums, "numbers": facts}


def differences(actual: Dict[str, Any], expected: Dict[str, Any]) -> List[str]:
    """What differs, in words: sums on the same kind of processor, numbers on any."""
    differing = []
    if actual["instructions"] == expected["instructions"]:
        differing += [
            f"{name}: other bytes"
            for name in sorted({*actual["sums"], *expected["sums"]})
            if actual["sums"].get(name) != expected["sums"].get(name)
        ]
    elif sorted(actual["sums"]) != sorted(expected["sums"]):
        differing.append(f"other files: {sorted(set(actual['sums']) ^ set(expected['sums']))}")
    for place, before in expected["numbers"].items():
        now = actual["numbers"].get(place, {})
        if sorted(now) != sorted(before):
            differing.append(f"{place}: other numbers: {sorted(set(now) ^ set(before))}")
        differing += [
            f"{place}{key}: {now[key]}, not {value}"
            for key, value in before.items()
            if key in now and abs(now[key] - value) > CLOSE * max(abs(value), 1.0)
        ]
    return differing
