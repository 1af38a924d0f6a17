"""A helper process that decodes and packs images, and the parent's interface to it.

Two threads on two cores reach 1.46 times the image rate of plain `decode_resized` on one core: between
reading, hashing, decoding, resizing and writing, each thread waits for Python's global interpreter lock.
A thread and a helper process reach 1.61 times (two processes that only decode: 1.93). All cores but one
therefore get a helper process.

A helper is a new interpreter. It inherits no memory, locks or signals from its parent, which may have torch
loaded and may control a simulator. The helper reads tasks from stdin, one line of JSON each, and answers
each task with a line. It ends when stdin is closed, thus also when the parent is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Optional

from nav_pkg.core import DataError

_READY = b"ready\n"


class HelperLost(Exception):
    """The helper has ended or gave an invalid answer; the caller must do its task again."""


class Helper:
    """Starts a helper process; `ready` tells when it accepts tasks."""

    def __init__(self):
        package = Path(__file__).resolve().parents[2]
        paths = [str(package), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,  # Ctrl-C must reach only the parent
        )
        self._ready = False

    def ready(self) -> bool:
        """Whether the helper has started and accepts tasks.

        Raises:
            HelperLost: the helper could not start.
        """
        if not self._ready and select.select([self._process.stdout], [], [], 0)[0]:
            if self._process.stdout.readline() != _READY:
                raise HelperLost
            self._ready = True
        return self._ready

    def ask(self, task: dict) -> dict:
        """Send a task and wait for its answer; see `_HelperTasks.do` for both.

        Raises:
            HelperLost: the helper gave no answer.
        """
        try:
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise HelperLost from error

    def close(self) -> None:
        """Let the helper finish its task and end; kill it after 5 s."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class _HelperTasks:
    """Processes the tasks, one by one, in the helper process."""

    def __init__(self):
        # imported here because the parent imports this module and needs none of them
        import simplejpeg  # noqa: F401
        from PIL import Image  # noqa: F401

        from nav_pkg.data import packfile, verified_images
        from nav_pkg.data.reader import Run

        self._run, self._images_of, self._write = Run, verified_images.CommittedImages, packfile.write_frame
        self._at: tuple = ()
        self._images: Optional[verified_images.CommittedImages] = None
        self._descriptor = -1

    def do(self, task: dict) -> dict:
        """Decode frames of a run and write them to a file.

        Args:
            task: run (path), camera, manifest_sha256 (of its `CommittedImages`), size (height, width), file,
                start (byte of frame 0), first, last (frame after the last).

        Returns:
            crc32: a list, one per frame; or error: the line of a DataError; or errno: of the failed write.
        """
        at = (task["run"], task["camera"], task["manifest_sha256"], task["file"])
        try:
            if at != self._at:
                self.leave()
                self._images = self._images_of(self._run(task["run"]), task["camera"])
                if self._images.manifest_sha256 != task["manifest_sha256"]:
                    raise DataError(f"{task['run']}: changed meanwhile; see dataset.py verify")
                self._descriptor = os.open(task["file"], os.O_WRONLY | os.O_CLOEXEC)
                self._at = at
            size, crcs = tuple(task["size"]), []
            length = size[0] * size[1] * 3
            for i in range(task["first"], task["last"]):
                pixels = self._images.decode(i, size)
                crcs.append(self._write(self._descriptor, task["start"] + i * length, pixels))
            return {"crc32": crcs}
        except DataError as error:
            return {"error": str(error)}
        except OSError as error:
            return {"errno": error.errno}

    def leave(self) -> None:
        """Close the file of the last task."""
        self._at = ()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keeps the output of libraries out of the answers
    tasks = _HelperTasks()
    answers.write(_READY)
    answers.flush()
    for line in sys.stdin.buffer:
        answers.write(json.dumps(tasks.do(json.loads(line))).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        _serve()
