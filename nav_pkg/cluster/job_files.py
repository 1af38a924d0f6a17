"""A job's files on its host: check datasets, unpack and pack tars, share packs between jobs of a host."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tarfile
from pathlib import Path
from typing import Iterator, Sequence

from nav_pkg.config import paths
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files
from nav_pkg.data.format import DATASET_FILE, PARTIAL
from nav_pkg.locks import flock
from nav_pkg.private import open_private, private_folder


def check_datasets(names: Sequence[str], root: Path) -> None:
    """Check that a job's datasets are readable, before it spends time on other work.

    Raises:
        DataError: a dataset is missing or not readable; the message names dataset, host and folder.
    """
    host = socket.gethostname()
    for name in names:
        file = root / name / DATASET_FILE
        try:
            files.open_regular(file).close()
        except DataError as error:
            reason = str(error).rpartition(": ")[2]
            raise DataError(
                f"dataset {name} cannot be read on {host}: {file.parent}: {reason}; mount it there, leave "
                "that host out (--blacklist), or transfer the files (--file_transfer)"
            ) from None


def unpack(tar: Path, folder: Path) -> None:
    """Unpack a tar that HTCondor transferred; reject members outside the folder.

    Raises:
        DataError: the tar is damaged, a member lies outside the folder, or the disk is full.
    """
    try:
        with tarfile.open(tar) as archive:
            members = archive.getmembers()
            inside = folder.resolve()
            for member in members:
                # The checks of tarfile's data filter, which Python before 3.8.17 and 3.11.4 lacks.
                parts = Path(member.name).parts
                plain = member.isfile() or member.isdir()
                place = (inside / member.name).resolve()  # existing links may lead outside
                if ".." in parts or not plain or inside not in (place, *place.parents):
                    raise DataError(f"{tar}: {member.name} is no plain file or leads outside; pack it again")
                member.uid, member.gid = os.getuid(), os.getgid()
                member.uname = member.gname = ""
                member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            filtered = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(folder, members, **filtered)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{tar}: cut or damaged ({error}); submit again") from None
    except OSError as error:
        raise files.disk_error(folder, error, "--diskmem") from None


def pack(tar: Path, folder: Path, outputs: Sequence[str]) -> None:
    """Pack the current output of a job; write a temporary file and rename it.

    Leaves out unfinished runs and symbolic links (ROS makes one to its newest log); hard links become files.

    Args:
        tar: the file to write, even without members: HTCondor holds a job whose output file is missing.
        folder: folder to which the names are relative.
        outputs: folders or files; missing ones are skipped.

    Raises:
        DataError: the disk is full or not writable.
    """
    beside = tar.with_name(f".{tar.name}.tmp")

    def wanted(member: tarfile.TarInfo):
        parts = Path(member.name).parts
        if member.issym() or any(part.endswith(PARTIAL) or part.startswith(".") for part in parts):
            return None
        if member.islnk():
            member.type, member.linkname = tarfile.REGTYPE, ""
            member.size = (folder / member.name).stat().st_size
        return member

    try:
        with tarfile.open(beside, "w") as archive:
            for name in outputs:
                if (folder / name).exists():
                    archive.add(str(folder / name), name, filter=wanted)
        os.replace(beside, tar)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise files.disk_error(tar, error, "--diskmem") from None


def check_names(names: Sequence[str], subject: str) -> None:
    """Raise UsageError for a name that leads outside the job's folder."""
    for name in names:
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise UsageError(f"{subject} {name!r} leads outside the job's folder")


@contextlib.contextmanager
def shared_packs() -> Iterator[None]:
    """Share node-local packs between all jobs of this user on this host, while at least one job runs.

    Each pack is decoded or copied once, under its own lock. The last job to exit removes the packs. Packs of
    killed jobs are removed by a later job.
    """
    os.environ.setdefault("NAV_PKG_NODE", "/tmp")  # not below the job's own scratch folder or TMPDIR
    packs = paths.node_dir()
    users = open_private(packs.parent / "users.lock", os.O_RDWR | os.O_CREAT)
    try:
        flock(users, shared=True, wait=True)
        private_folder(packs, "TMPDIR")
        try:
            yield
        finally:
            if flock(users):  # no other job uses the packs
                shutil.rmtree(packs, ignore_errors=True)
    finally:
        os.close(users)
