"""Progress of a DAG, from DAGMan's node status file, the node log and the jobs' state files.

All of them lie below the DAG's folder. Any host that can read the folder can show the status, during the run
and afterwards.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from nav_pkg import schemas
from nav_pkg.cluster.plan import NODE_LOG, PLAN_FILE, STATUS_FILE, SUBMITTED_FILE
from nav_pkg.core import DataError
from nav_pkg.data import files

NODE_STATUS = ("waiting", "ready", "starting", "queued", "ending", "done", "failed", "futile")
"""Names of DAGMan's node status numbers; events of the node log refine `queued`."""

SILENT = 180.0
"""Seconds without an update after which a warning is shown; jobs write every 3 or 20 s, DAGMan every 5 s."""

TAIL = 65536
"""Bytes at the end of a job's output that are searched for its last error line."""


def read_nodes(file: Path) -> Dict[str, Dict[str, Any]]:
    """Read the nodes of a DAGMan status file, by name, each with `status`, `retries` and `details`.

    The result is empty while the file does not exist or is being replaced.
    """
    try:
        text = files.read_small(file).decode("utf-8", "replace")
    except DataError:
        return {}
    nodes: Dict[str, Dict[str, Any]] = {}
    for block in re.findall(r"^\[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL):
        values = dict(re.findall(r"^\s*(\w+) = \"?(.*?)\"?;(?: /\*.*\*/)?$", block, re.MULTILINE))
        if values.get("Type") == "NodeStatus" and values.get("NodeStatus", "").isdigit():
            nodes[values["Node"]] = {
                "status": NODE_STATUS[min(int(values["NodeStatus"]), len(NODE_STATUS) - 1)],
                "retries": int(values.get("RetryCount") or 0),
                "details": values.get("StatusDetails", ""),
            }
    return nodes


def has_ended(folder: Path) -> bool:
    """Whether DAGMan's last status file reports that the DAG is done or has failed."""
    return _last_word(folder)[0] in (5, 6)


def was_removed(folder: Path) -> bool:
    """Whether DAGMan's last status file reports that the DAG was removed (condor_rm)."""
    number, words = _last_word(folder)
    return number == 6 and "(removed)" in words


def _last_word(folder: Path) -> Tuple[int, str]:
    """The DAG's status number in DAGMan's status file, and its text; -1 and "" without status."""
    try:
        text = files.read_small(folder / STATUS_FILE).decode("utf-8", "replace")
    except DataError:
        return -1, ""
    match = re.search(r"^\s*DagStatus = (\d+);(.*)$", text, re.MULTILINE)
    return (int(match.group(1)), match.group(2)) if match else (-1, "")


@dataclass
class Node:
    """The current state of a node of a DAG.

    Attributes:
        name: name of the node.
        kind: kind of its job.
        status: a value of `NODE_STATUS` or `_EVENTS`, or `removed`.
        tries: number of starts.
        host: host of the current or last try.
        begin: unix seconds of its last start; 0 before the first start.
        end: unix seconds of its end; 0 before the end.
        heard: unix seconds of the last update of the job's state file; 0 without one.
        done: number of frames, episodes or runs done.
        total: total number of frames, episodes or runs; 0 if unknown.
        before: number done by earlier tries, included in `done`.
        unit: the unit of `done` and `total`.
        seconds: expected duration in seconds; 0 if unknown.
        reason: why the job is held, or DAGMan's details of a failure.
        error: the last error line of the job.
    """

    name: str
    kind: str = ""
    status: str = "waiting"
    tries: int = 0
    host: str = ""
    begin: float = 0.0
    end: float = 0.0
    heard: float = 0.0
    done: int = 0
    total: int = 0
    before: int = 0
    unit: str = ""
    seconds: float = 0.0
    reason: str = ""
    error: str = ""

    def seconds_left(self, now: float) -> float:
        """Expected seconds until the node ends, from its progress, else from the estimated duration."""
        if self.status in ("done", "failed", "futile", "removed"):
            return 0.0
        ran = max(0.0, now - self.begin) if self.begin and self.status == "running" else 0.0
        if self.total and self.before < self.done <= self.total and ran:
            return ran * (self.total - self.done) / (self.done - self.before)
        share = 1 - self.before / self.total if self.total and self.before < self.total else 1.0
        return max(0.0, self.seconds * share - ran)

    def silent(self, now: float) -> float:
        """Seconds since the last update of a running job, if more than SILENT; else 0."""
        long = self.status == "running" and self.heard and now - max(self.heard, self.begin) > SILENT
        return now - max(self.heard, self.begin) if long else 0.0


class Dag:
    """A DAG to monitor; each `update` updates its nodes from the files.

    Args:
        folder: folder of the DAG.

    Raises:
        DataError: the folder contains no DAG.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        if not (folder / PLAN_FILE).exists():
            raise DataError(f"{folder}: holds no DAG; see -t and --summary_dir")
        plan = files.read_json(folder / PLAN_FILE, schemas.PLAN)
        self.command, self.tag = str(plan.get("command")), str(plan.get("tag"))
        self.nodes: Dict[str, Node] = {
            row["name"]: Node(
                row["name"],
                row["kind"],
                seconds=float(row.get("seconds") or 0),
                total=int(row.get("total") or 0),
                unit=row.get("unit") or "",
            )
            for row in plan.get("jobs") or []
        }
        self._names: Dict[str, str] = {}
        self._offset, self._rest = 0, ""

    def update(self) -> List[Node]:
        """Update the nodes and return them in the plan's order."""
        self._read_log()
        removed = was_removed(self.folder)
        for name, values in read_nodes(self.folder / STATUS_FILE).items():
            node = self.nodes.get(name)
            if node is None:
                continue
            if values["status"] == "queued":
                node.status = node.status if node.status in _QUEUED else "queued"
            else:
                node.status = values["status"]
            if node.status == "failed":
                node.reason = values["details"]
                if removed and node.reason.startswith("Was STATUS_"):
                    node.status = "removed"
        for node in self.nodes.values():
            self._read_state(node)
            if node.status == "done":
                node.done = node.total or node.done
            if node.status in ("failed", "held"):
                node.error = self._error(node) or node.reason
        return list(self.nodes.values())

    def silent(self, now: float) -> float:
        """Seconds since DAGMan's last update, if more than SILENT and the DAG has not ended; else 0."""
        heard = 0.0
        for name in (SUBMITTED_FILE, STATUS_FILE):
            with contextlib.suppress(OSError):
                heard = max(heard, (self.folder / name).stat().st_mtime)
        return now - heard if heard and now - heard > SILENT and not has_ended(self.folder) else 0.0

    def _read_log(self) -> None:
        """Process new events of the node log."""
        try:
            with files.open_regular(self.folder / NODE_LOG) as log:
                log.seek(self._offset)
                data = log.read()
        except (OSError, DataError):
            return
        self._offset += len(data)
        text = self._rest + data.decode("utf-8", "replace")
        *events, self._rest = text.split("...\n")
        for event in events:
            self._apply_event(event)

    def _apply_event(self, event: str) -> None:
        head = re.match(r"(\d{3}) \((\d+)\.\d+\.\d+\) (\S+ \S+)", event)
        if not head:
            return
        number, cluster, when = head.groups()
        if number == "000":
            named = re.search(r"DAGNodeName = \"([^\"]+)\"|DAG Node: (\S+)", event)
            if named:
                self._names[cluster] = named.group(1) or named.group(2)
        node = self.nodes.get(self._names.get(cluster, ""))
        if node is None:
            return
        if number == "001":
            node.tries += 1
            node.begin, node.end, node.reason = _unix(when), 0.0, ""
            host = re.search(r"alias=([^&>\s]+)", event) or re.search(r"SlotName: \S*@(\S+)", event)
            node.host = host.group(1) if host else node.host
        elif number == "012":
            lines = event.splitlines()
            node.reason = lines[1].strip() if len(lines) > 1 else ""
        elif number in ("005", "009"):
            node.end = _unix(when)
        node.status = _EVENTS.get(number, node.status)

    def _read_state(self, node: Node) -> None:
        """Update a node from its job's state file."""
        file = self.folder / "state" / f"{node.name}.json"
        try:
            state = files.read_json(file, schemas.STATE)
            node.heard = file.stat().st_mtime
        except (OSError, DataError):
            return
        node.host = str(state.get("host") or node.host)
        node.tries = max(node.tries, int(state.get("tries") or 0))
        if node.unit:  # jobs without a unit have no progress to count
            node.done = int(state.get(node.unit) or 0)
            node.total = int(state.get("of") or node.total)
            node.before = int(state.get("done_before") or 0)
        node.error = str(state.get("error_line") or "")

    def _error(self, node: Node) -> str:
        """The last `error: ` line of a job's state or output, else the last line of its output."""
        if node.error:
            return node.error
        last = ""
        for kind in ("out", "err"):
            lines = _tail(self.folder / "out" / f"{node.name}.{kind}")
            errors = [line for line in lines if line.startswith("error: ")]
            if errors:
                return errors[-1]
            last = lines[-1] if lines else last
        return last


_QUEUED = ("running", "held", "suspended", "evicted", "idle", "ending")
_EVENTS = {
    "000": "idle",
    "001": "running",
    "004": "evicted",
    "005": "ending",
    "009": "waiting",
    "010": "suspended",
    "011": "running",
    "012": "held",
    "013": "idle",
}
"""Status of a node after an event of the node log, by event number."""


def _unix(when: str) -> float:
    for form in ("%Y-%m-%d %H:%M:%S", "%m/%d %H:%M:%S"):
        try:
            parsed = time.strptime(when.split(".")[0], form)
        except ValueError:
            continue
        year = parsed.tm_year if parsed.tm_year > 1900 else time.localtime().tm_year
        return time.mktime((year, *parsed[1:6], 0, 0, -1))
    return 0.0


def _tail(file: Path) -> List[str]:
    try:
        with files.open_regular(file) as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - TAIL))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except (OSError, DataError):
        return []
    return [line.strip() for line in lines if line.strip()]


def seconds_left(nodes: List[Node], now: float) -> Optional[float]:
    """Expected seconds until the DAG is done; None if no job runs or nothing is known.

    The estimate assumes that the current number of jobs keeps running. It is at least the longest time left
    of a running job.
    """
    running = [node for node in nodes if node.status == "running"]
    left = [node.seconds_left(now) for node in nodes]
    if not running or not any(left):
        return None
    return max([sum(left) / len(running), *(node.seconds_left(now) for node in running)])


def counts(nodes: List[Node]) -> Dict[str, int]:
    """The number of nodes by status, the most frequent first."""
    by_status: Dict[str, int] = {}
    for node in nodes:
        by_status[node.status] = by_status.get(node.status, 0) + 1
    return dict(sorted(by_status.items(), key=lambda item: -item[1]))


def table(nodes: List[Node], now: float, rows: int = 0) -> List[str]:
    """The nodes as lines of text, with the last error line below each failed or held node.

    Args:
        nodes: the nodes, in order.
        now: unix seconds.
        rows: most nodes to show, failed and held ones first; 0 for all.
    """
    order = ("failed", "held", "suspended", "running", "evicted")
    shown = nodes
    if rows and len(nodes) > rows:
        shown = sorted(nodes, key=lambda n: order.index(n.status) if n.status in order else len(order))
        shown = shown[: max(1, rows)]
    lines = [f"{'node':24} {'status':10} {'tries':>5}  {'host':20} {'progress':>18}  {'left':>8}"]
    for node in shown:
        left = node.seconds_left(now) if node.status == "running" else 0.0
        lines.append(
            f"{node.name:24} {node.status:10} {node.tries:5}  {node.host[:20]:20} {_progress(node):>18}  "
            f"{duration(left) if left else '':>8}"
        )
        if node.error and node.status in ("failed", "held"):
            lines.append(f"    {node.error}")
        if node.silent(now):
            lines.append(
                f"    no report from it for {duration(node.silent(now))}; see docs/cluster.md, "
                "A host that is gone"
            )
    if len(shown) < len(nodes):
        lines.append(f"... {len(nodes) - len(shown)} more (--all shows them)")
    return lines


def _progress(node: Node) -> str:
    if not node.unit or not (node.done or node.total):
        return ""
    return f"{node.done}/{node.total} {node.unit}" if node.total else f"{node.done} {node.unit}"


def duration(seconds: float) -> str:
    """Format seconds with a readable unit: 45 s, 12 min, 3.5 h, 2.1 d."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"
