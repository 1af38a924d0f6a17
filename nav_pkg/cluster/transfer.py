"""File transfer for hosts without a shared file system: pack tars before a job, unpack them after it.

HTCondor transfers one tar per dataset and checkpoint to a job, and one tar back from each job. Members are
named `data/<dataset>/...` and `log/<tag>/...`, below the folders of all datasets and all logs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Iterable, List, Optional, Sequence, Tuple

from nav_pkg import schemas
from nav_pkg.cluster.plan import CODE, PLAN_FILE, DagPlan, tar_name
from nav_pkg.core import DataError, NavError, UsageError
from nav_pkg.data import files
from nav_pkg.data.reader import Dataset

LOG_FILES = ("my-model", "config.json", "results.json")
"""Files of a log folder that are transferred with a checkpoint."""
_EMPTY = bytes(2 * tarfile.BLOCKSIZE)
"""A tar without members."""
BUILT = ("build", "demo", ".git", "__pycache__")


def pack(plan: DagPlan) -> None:
    """Pack the tars for the jobs of a plan; do nothing on a shared file system.

    An existing tar is kept unless one of its files is newer, so that files that the user corrected before a
    resume are packed again. The code is always packed again.

    Raises:
        DataError: a file is missing, or the tars cannot be written.
        UsageError: no checkout exists whose code could be packed.
    """
    jobs = [job for job in plan.jobs if plan.transferred(job)]
    if not jobs:
        return
    if not plan.hosts.image and not (plan.root / "nav_pkg").is_dir():
        raise UsageError(
            f"--file_transfer transfers a checkout's code, and {plan.root} is an install space: "
            "submit from the checkout, or run jobs in an image (-pe, --image)"
        )
    folder = plan.folder / "transfer"
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.tmp"), folder.glob("*.tar.*.tmp"):  # left by killed processes
        for file in left:
            file.unlink(missing_ok=True)
    make_empty_tars(folder, [job.name for job in jobs])
    roots = {"data": plan.data_root, "log": plan.summary_dir}
    for folder_name in plan.folders_before():
        kind, _, name = folder_name.partition("/")
        source = roots[kind] / name
        if not source.exists():
            raise DataError(f"{source}: missing; jobs read it")
        members = _of_log(source, folder_name) if kind == "log" else _of_dataset(source, folder_name)
        target = folder / f"{tar_name(folder_name)}.tar"
        try:
            if target.exists() and _newest([(source, folder_name), *members]) > target.stat().st_mtime:
                target.unlink()
        except OSError as error:
            raise DataError(f"{error.filename}: cannot read: {error.strerror}; jobs read it") from error
        _tar(target, members)
    if not plan.hosts.image:
        (folder / CODE).unlink(missing_ok=True)
        _tar(folder / CODE, ((plan.root / name, name) for name in _code(plan.root)), "gz")


def pack_made(folder: Path, job: str, places: Iterable[str]) -> None:
    """Pack the output of a job on the submitting host, for jobs on other hosts that read it.

    Args:
        folder: folder of the DAG.
        job: name of the node.
        places: outputs `data/...` and `log/...`, below the folders of all datasets and logs.

    Raises:
        DataError: a file is missing, or the tar cannot be written.
    """
    plan = files.read_json(folder / PLAN_FILE, schemas.PLACES)
    roots = {"data": Path(plan["data_root"]), "log": Path(plan["summary_dir"])}
    target = folder / "transfer" / f"{job}.tar"
    target.unlink(missing_ok=True)
    members: List[Tuple[Path, str]] = []
    for folder_name in places:
        kind, _, name = folder_name.partition("/")
        source = roots[kind] / name
        members += _of_dataset(source, folder_name) if kind == "data" else [(source, folder_name)]
    _tar(target, members)


def _newest(members: Iterable[Tuple[Path, str]]) -> float:
    """The newest modification time of these files and folders, unix seconds."""
    return max(path.stat().st_mtime for path, _ in members)


def _of_dataset(source: Path, folder_name: str) -> List[Tuple[Path, str]]:
    """The members of a dataset's tar: only the files that the dataset's commits list."""
    dataset = Dataset(source)
    if dataset.has_splits:
        dataset.splits()  # raise here, not an hour later elsewhere
    return [(source / name, f"{folder_name}/{name}") for name in dataset.files()]


def make_empty_tars(folder: Path, jobs: Iterable[str]) -> None:
    """Make an empty tar for each job that has not returned one yet.

    HTCondor fixes the list of files to transfer at submission. Therefore the job's own tar must exist from
    the start, so that a later try receives the output of earlier tries.

    Args:
        folder: folder of the tars.
        jobs: names of the nodes.
    """
    for job in jobs:
        own = folder / f"{job}.tar"
        if not own.exists():
            files.atomic_write(own, _EMPTY, "--summary_dir")


def _of_log(source: Path, folder_name: str) -> List[Tuple[Path, str]]:
    if source.is_file():
        return [(source, folder_name)]
    return [(source / name, f"{folder_name}/{name}") for name in LOG_FILES if (source / name).exists()]


def _tar(target: Path, members: Iterable[Tuple[Path, str]], compression: str = "") -> None:
    """Write a tar atomically unless it exists; follow symbolic links, but reject them in datasets."""
    if target.exists():
        return
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with tarfile.open(beside, f"w:{compression}", dereference=True) as tar:
            for path, name in members:
                if name.startswith("data/"):
                    with files.open_regular(path, "; jobs read it", follow=False) as stream:
                        tar.addfile(tar.gettarinfo(arcname=name, fileobj=stream), stream)
                else:
                    tar.add(path, name)
        os.replace(beside, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise files.disk_error(target, error, "--summary_dir") from error
    except DataError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _code(root: Path) -> List[str]:
    """The checkout's files, relative to it: files tracked by git, else all files outside build folders.

    Untracked files that git does not ignore, such as a new robot or network, are included if their folder
    contains tracked files.
    """
    known, new = (_git_files(root, *more) for more in ((), ("--others", "--exclude-standard")))
    if known:
        folders = {os.path.dirname(name) for name in known} - {""}
        return [*known, *(name for name in new if os.path.dirname(name) in folders)]
    paths = (path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file())
    return [str(path) for path in paths if not {*path.parts} & {*BUILT}]


def _git_files(root: Path, *flags: str) -> List[str]:
    """The existing files that `git ls-files` lists; empty if the folder is no git repository."""
    words = ["git", "-C", str(root), "ls-files", "-z", *flags]
    asked = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    names = asked.stdout.decode().split("\0") if asked.returncode == 0 else []
    return [name for name in names if name and (root / name).exists()]


def unpack(folder: Path, job: str) -> int:
    """Unpack the tar of a job into the folders of datasets and logs.

    Args:
        folder: folder of the DAG.
        job: name of the node.

    Returns:
        The number of files; 0 without a tar.

    Raises:
        DataError: the tar is damaged or has members outside data/ and log/, or a file cannot be written.
    """
    plan = files.read_json(folder / PLAN_FILE, schemas.PLACES)
    roots = {"data": Path(plan["data_root"]), "log": Path(plan["summary_dir"])}
    source, count = folder / "transfer" / f"{job}.tar", 0
    if not source.exists():
        return 0
    try:
        with tarfile.open(source) as tar:
            for member in tar:
                kind, _, name = member.name.partition("/")
                if member.isdir() and not name:
                    continue
                target = roots.get(kind, folder) / name
                if kind not in roots or not name or ".." in Path(name).parts or Path(name).is_absolute():
                    raise DataError(f"{source}: holds {member.name!r}, which is neither below data/ nor log/")
                count += _place(tar, member, target)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{source}: damaged: {error}") from error
    except OSError as error:
        raise files.disk_error(source, error, "--summary_dir") from error
    return count


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> int:
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
    if not member.isfile():  # links may lead outside; our files are not links
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    stream = tar.extractfile(member)
    assert stream is not None
    with stream, open(beside, "wb") as out:
        while True:
            block = stream.read(1 << 20)
            if not block:
                break
            out.write(block)
    os.replace(beside, target)
    return 1


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Unpack after a job, on the submitting host: FOLDER JOB EXIT_CODE.

    Returns:
        The exit code of the node.
    """
    folder, job, code = list(sys.argv[1:] if argv is None else argv)
    try:
        print(f"{job}: {unpack(Path(folder), job)} files")
    except NavError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(code) or error.code
    return int(code) if int(code) >= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
