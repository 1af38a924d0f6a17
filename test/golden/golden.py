"""What must not change from commit to commit: configurations, exit codes, bytes, ROS interfaces.

`cases.yaml` says what is run; `expected/` holds what came of it. To make it again:

    source env.sh
    python test/golden/golden.py

Look at the difference (`git diff test/golden/expected`): all of it has to be on purpose.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import yaml

sys.path.insert(0, str(Path(__file__).parent))
import made  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
EXPECTED = HERE / "expected"
CASES = yaml.safe_load((HERE / "cases.yaml").read_text())
UNSTEADY = {"versions", "threads", "sha256", "offline"}
"""Keys of files that tell on what machine, or what its weights came to; not what was asked for."""

# Runs command lines one after the other, each in a process of its own; imports are shared.
SERVER = """
import json, os, runpy, sys
import torch
from nav_pkg.cli import entry
from nav_pkg.learn.deployment import exported
from nav_pkg.learn.training import offline
from nav_pkg.learn.online import online_flags
torch.set_num_threads(1)
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        os.environ.update(job["environment"])
        os.chdir(job["folder"])
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = [job["script"], *job["words"]]
        code = 0
        try:
            runpy.run_path(job["script"], run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        sys.stdout.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

# Stands where roslaunch is looked for: writes what the graph would be, and fails as a wrong use would.
ROSLAUNCH = f"""#!{sys.executable}
import json, os, sys
sys.path.insert(0, {str(HERE)!r})
import golden
words = sys.argv[1:]
file, *arguments = words[words.index("nav_pkg") + 1:]
place = os.environ["GOLDEN_GRAPH"]
if not os.path.exists(place):
    with open(place, "w") as out:
        json.dump(golden.graph_of(file, arguments), out)
print("error: this is not roslaunch")
print("[supervisor-1] process has died [pid 1, exit code 2")
"""


OWN_NET = (ROOT / "docs" / "learning.md").read_text().split("# my_nets.py\n")[1].split("```")[0]


def graph_of(file: str, arguments: Sequence[str]) -> Dict[str, Any]:
    """The nodes and parameters that a launch file gives with these arguments, by roslaunch's own reader."""
    from roslaunch.config import ROSLaunchConfig
    from roslaunch.xmlloader import XmlLoader

    config = ROSLaunchConfig()
    XmlLoader().load(str(ROOT / "launch" / file), config, argv=list(arguments), verbose=False)
    nodes = {}
    for node in config.nodes:
        words = by_flag(shlex.split(node.args))
        nodes[f"/{node.name}"] = {"type": node.type, "required": node.required, "flags": words}
    return {"nodes": nodes, "parameters": {key: param.value for key, param in sorted(config.params.items())}}


def by_flag(words: Sequence[str]) -> List[str]:
    """A command line as its flags, each with its values, sorted: their order means nothing."""
    groups: List[List[str]] = [[]]
    for word in words:
        if re.match(r"--?[A-Za-z]", word):
            groups.append([])
        groups[-1].append(word)
    return sorted(" ".join(each) for each in groups if each)


class Work:
    """A folder in which command lines are run: datasets, logs, and a process that runs them.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.log, self.data = folder / "log", folder / "data"
        for path in (self.log, self.data, folder / "bin", folder / "out", folder / "here"):
            path.mkdir(parents=True)
        self._datasets()
        fake = folder / "bin" / "roslaunch"
        fake.write_text(ROSLAUNCH)
        fake.chmod(0o755)
        self.environment = {
            "NAV_PKG_DATA": str(self.data),
            "NAV_PKG_LOG": str(self.log),
            "NAV_PKG_CACHE": str(folder / "packs"),
            "TORCH_HOME": str(folder / "torch"),
            "CONDOR_CONFIG": str(folder / "no_condor"),
            "NAV_PKG_POOL": str(folder / "pool"),
            "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "9999",  # no line of a help is broken, least of all within a path
        }
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        )
        for line in CASES["first"]:
            code, output = self.run(line)
            assert code == 0, (line, output)

    def _datasets(self) -> None:
        from nav_pkg.data.writer import create_dataset

        make = runpy.run_path(str(ROOT / "test" / "learn" / "conftest.py"))
        make["_write_dataset"](self.data, "easy", runs=3, frames=90)
        flown = self.data / "collect" / "flown"
        create_dataset(flown, make["DESCRIPTION"])
        for number in range(3):
            make["_write_run"](flown, f"{number:05d}_esatv3", 30, number)
        shutil.copytree(self.data / "easy", self.data / "smoke")
        (self.folder / "here" / "my_nets.py").write_text(OWN_NET)
        (self.data / "damaged").mkdir()
        (self.data / "damaged" / "dataset.json").write_text("{")

    def run(self, line: str, folder: str = "here") -> Tuple[int, str]:
        """Run a command line; its exit code and what it said on stderr."""
        script, *words = shlex.split(line)
        out, err = self.folder / "out" / "stdout", self.folder / "out" / "stderr"
        job = {
            "script": str(ROOT / "scripts" / script), "words": words, "folder": str(self.folder / folder),
            "environment": self.environment, "out": str(out), "err": str(err),
        }  # fmt: skip
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        self.said = out.read_text()
        return code, err.read_text()

    def steady(self, value: Any) -> Any:
        """A value without what differs from machine to machine and from time to time."""
        if isinstance(value, dict):
            return {key: self.steady(item) for key, item in value.items() if key not in UNSTEADY}
        if isinstance(value, list) and any(isinstance(item, str) and item.startswith("--") for item in value):
            value = by_flag(value)
        if isinstance(value, list):
            return [self.steady(item) for item in value]
        if isinstance(value, str):
            for path, name in ((self.folder, "<work>"), (ROOT, "<checkout>"), (Path.home(), "<home>")):
                value = value.replace(str(path.resolve()), name)
            return value
        return value

    def close(self) -> None:
        """End the process."""
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait(timeout=30)


def configuration(work: Work, name: str) -> Any:
    """What a case of cases.yaml makes: its exit code and the files that it is to keep."""
    case = CASES["configurations"][name]
    if "launch" in case:
        file, *arguments = shlex.split(case["launch"])
        os.environ.setdefault("ROS_PACKAGE_PATH", str(ROOT))
        return work.steady(graph_of(file, arguments))
    graph = work.folder / "out" / "graph"
    graph.unlink(missing_ok=True)
    work.environment["GOLDEN_GRAPH"] = str(graph)
    code, output = work.run(case["line"])
    result: Dict[str, Any] = {"code": code}
    if code not in (0, 2) or (code == 2 and "this is not roslaunch" not in output):
        result["error"] = work.steady(output.splitlines()[:1])
    for pattern in case.get("keep", []):
        for file in sorted(work.folder.glob(pattern)):
            text = file.read_text()
            key = str(file.relative_to(work.folder))
            result[key] = work.steady(json.loads(text) if file.suffix == ".json" else text.splitlines())
    if graph.exists():
        result["graph"] = work.steady(json.loads(graph.read_text()))
    return result


def errors(work: Work) -> List[Dict[str, Any]]:
    """Exit code and first line of each wrong use in cases.yaml."""
    results = []
    for line in CASES["errors"]:
        code, output = work.run(line)
        results.append({"line": line, "code": code, "says": work.steady(output.splitlines()[:1])})
    return results


def flags(work: Work) -> Dict[str, List[str]]:
    """The flags of each script and of its subcommands, as its help tells them, with defaults."""
    by_command: Dict[str, List[str]] = {}
    left = [[path.name] for path in sorted((ROOT / "scripts").glob("*.py"))]
    while left:
        words = left.pop(0)
        code, _ = work.run(shlex.join([*words, "--help"]))
        head, _, _ = work.said.partition("\n\n")
        if code or not head.startswith("usage: "):
            continue
        entries = re.split(r"\n  (?=\S)", work.said)
        defaults = {}
        for entry in entries:
            names = re.findall(r"(?:^|, )(--?[A-Za-z]\w*)", re.split(r"\s{2,}", entry)[0])
            entry = entry.split("\n\n")[0]  # the last one of a group
            default = re.search(r"\(default:\s+(.*?)\)$", " ".join(entry.split()))
            defaults.update(dict.fromkeys(names, default.group(1) if default else ""))
        usage = " ".join(head.split())
        optional = re.findall(r"\[(--?[A-Za-z](?:[^\[\]]|\[[^\]]*\])*)\]", usage)
        required = re.sub(r"\[(?:[^\[\]]|\[[^\]]*\])*\]", "", usage).split()[2:]
        lines = [f"{text} = {defaults.get(text.split()[0], '')}".rstrip("= ") for text in optional]
        by_command[" ".join(words)] = [" ".join(required), *sorted(lines)]
        if len(words) == 1 and required and required[0].startswith("{"):
            left += [[*words, name] for name in required[0].strip("{}").split(",")]
    return work.steady(by_command)


def read(name: str) -> Any:
    """What is expected."""
    return json.loads((EXPECTED / f"{name}.json").read_text())


def write(name: str, value: Any) -> None:
    """Keep what is expected from now on."""
    EXPECTED.mkdir(exist_ok=True)
    (EXPECTED / f"{name}.json").write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def made_bytes(work: Work) -> Dict[str, Any]:
    """Sums and numbers of trainings, a recording and learning in flight; a session's ROS interface."""
    results = {f"training_{way}": made.train(work, way) for way in made.TRAININGS}
    made.fly(work, made.RECORDING)
    results["recording"] = made.recording(work.data / "recorded")
    made.fly(work, made.ONLINE)
    results["interface"] = made.fly(work, made.INTERFACE, ask=True)
    online = made.recording(work.data / "online")
    online["sums"] = {"tensors": made.tensors(work.log / "online" / "my-model")}
    results["online"] = online
    return results


def everything(work: Work) -> Dict[str, Any]:
    """All that is expected, by name."""
    results = {f"configuration_{case}": configuration(work, case) for case in CASES["configurations"]}
    return {**results, "errors": errors(work), "flags": flags(work), **made_bytes(work)}


def main() -> None:
    """Make what is expected."""
    folder = ROOT / "build" / "golden"
    shutil.rmtree(folder, ignore_errors=True)
    work = Work(folder)
    try:
        results = everything(work)  # all of it, before anything that was there is removed
    finally:
        work.close()
    before = {path.stem: json.loads(path.read_text()) for path in EXPECTED.glob("*.json")}
    shutil.rmtree(EXPECTED, ignore_errors=True)
    for name, value in results.items():
        known = before.get(name)
        if isinstance(known, dict) and "instructions" in known:
            same = {**known, "instructions": value["instructions"]} == json.loads(json.dumps(value))
            value = known if same else value  # another processor, which gives the same bytes, is no change
        write(name, value)


if __name__ == "__main__":
    main()
