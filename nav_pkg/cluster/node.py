"""A job's files on its host: datasets looked for, tars unpacked and packed, packs shared by a host's jobs."""

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
    """Refuse a job whose datasets are not there, before it takes an hour to say so.

    Raises:
        DataError: one is missing or not readable; names dataset, host and folder.
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
                "that host out (--blacklist), or bring the files along (--file_transfer)"
            ) from None


def unpack(tar: Path, folder: Path) -> None:
    """Unpack a tar that HTCondor brought; nothing of it may lie outside the folder.

    Raises:
        DataError: it is damaged, leads outside, or there is no space.
    """
    try:
        with tarfile.open(tar) as archive:
            members = archive.getmembers()
            inside = folder.resolve()
            for member in members:
                # All that tarfile's data filter does, too, which Python lacks before 3.8.17 and 3.11.4.
                parts = Path(member.name).parts
                plain = member.isfile() or member.isdir()
                place = (inside / member.name).resolve()  # a link that is there may lead elsewhere
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
    """Pack what a job has made so far. Written beside and renamed.

    Unfinished runs and symbolic links (ROS has one to its newest log) are left out; hard links are files.

    Args:
        tar: the file; always made, since HTCondor holds a job whose output is missing.
        folder: what the names are relative to.
        outputs: folders or files; those that do not exist are passed over.
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


def check_names(names: Sequence[str], what: str) -> None:
    """Raise UsageError for a name that leads outside the job's folder."""
    for name in names:
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise UsageError(f"{what} {name!r} leads outside the job's folder")


@contextlib.contextmanager
def shared_packs() -> Iterator[None]:
    """Node-local packs that all jobs of this user on this host share, while at least one of them runs.

    Each is decoded or copied once (they are locked one by one); the last job to leave removes them. What a
    job that was killed leaves is removed by the next.
    """
    os.environ.setdefault("NAV_PKG_NODE", "/tmp")  # not the job's own scratch folder, nor its TMPDIR
    packs = paths.node_dir()
    users = open_private(packs.parent / "users.lock", os.O_RDWR | os.O_CREAT)
    try:
        flock(users, shared=True, wait=True)
        private_folder(packs, "TMPDIR")
        try:
            yield
        finally:
            if flock(users):  # no other job has them
                shutil.rmtree(packs, ignore_errors=True)
    finally:
        os.close(users)
