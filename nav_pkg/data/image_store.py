"""The images of a run, read and written in the same way whether they are files or in one tar a camera."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Iterable, Mapping, Sequence, Union

from nav_pkg.config.paths import PathLike
from nav_pkg.config.session import FILES, STORAGES, TAR
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import commit, files
from nav_pkg.data import format as fmt
from nav_pkg.data.image_tar import ImageTar, TarWriter


class ImageFolder:
    """Reads a camera's images from a folder with a file for each; the same methods as `ImageTar`.

    Args:
        run: the run's folder.
        folder: the camera's folder, e.g. `RGB`.
    """

    storage = FILES

    def __init__(self, run: Path, folder: str):
        self._run, self._folder = run, folder
        self.path = run / folder
        self._checked = False

    def where(self, name: str) -> str:
        """Path of an image's file, for messages."""
        return f"{self._run}/{name}"

    def exists(self) -> bool:
        """As of `ImageTar`."""
        return os.path.isdir(self.path)

    def _refuse_link(self) -> None:
        if not self._checked:
            commit.refuse_link(self.path)
            self._checked = True

    def file_names(self) -> list[str]:
        """Paths of all files in the folder, within the run; none if it is a link."""
        if os.path.islink(self.path) or not os.path.isdir(self.path):
            return []
        return [f"{self._folder}/{name}" for name in sorted(os.listdir(self.path))]

    def names(self) -> list[str]:
        """As of `ImageTar`, and paths of other files in the folder."""
        return self.file_names()

    def read(self, name: str) -> bytes:
        """As of `ImageTar`."""
        self._refuse_link()
        return files.read_small(self.where(name), remedy="; see dataset.py verify", follow=False)

    def state(self) -> str:
        """Text that changes with the files: names, sizes and modification times.

        Raises:
            DataError: the folder cannot be read, or an entry is no file.
        """
        self._refuse_link()
        lines = []
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    state = entry.stat(follow_symlinks=False)
                    if not entry.is_file(follow_symlinks=False):
                        raise DataError(f"{entry.path}: is not a file of its own; see dataset.py verify")
                    lines.append(f"{entry.name} {state.st_size} {state.st_mtime_ns}\n")
        except FileNotFoundError:
            pass  # the caller looks for missing images
        except OSError as error:
            raise files.read_error(self.path, error, "; see dataset.py verify") from error
        return "".join(sorted(lines))

    def problems(self) -> list[str]:
        """What is wrong with the folder as a whole: nothing that its images do not tell."""
        return []


class FolderWriter:
    """Writes each image of a camera to its own file; the same methods as `TarWriter`."""

    def __init__(self, run: Path, folder: str):
        self._run, self._folder = run, folder
        (run / folder).mkdir()

    def add(self, number: int, data: bytes) -> None:
        """As of `TarWriter`, in any order."""
        files.write_file(self._run / fmt.image_file(self._folder, number), data)

    def finish(self) -> None:
        """As of `TarWriter`."""

    def close(self) -> None:
        """As of `TarWriter`."""


ImageWriter = Union[TarWriter, FolderWriter]
_WRITERS: Mapping[str, Callable[[Path, str], ImageWriter]] = {TAR: TarWriter, FILES: FolderWriter}


def check_storage(storage: str) -> None:
    """Raise a UsageError if a storage is neither `tar` nor `files`."""
    if storage not in STORAGES:
        raise UsageError(f"storage {storage!r} is none; known: {', '.join(STORAGES)}")


def image_writer(run: Path, folder: str, storage: str) -> ImageWriter:
    """Make the writer of a camera's images.

    Args:
        run: the run's unfinished folder.
        folder: the camera's folder, e.g. `RGB`.
        storage: `tar` or `files`.

    Raises:
        OSError: the file system refuses.
    """
    return _WRITERS[storage](run, folder)


class ImageStore:
    """Reads the images of a run, in either form. Images are named by their paths in the run.

    Args:
        run: the run's folder. Nothing is read before it is needed.
    """

    def __init__(self, run: PathLike):
        self.path = Path(run)
        self._cameras: dict[str, Union[ImageTar, ImageFolder]] = {}

    def camera(self, folder: str) -> Union[ImageTar, ImageFolder]:
        """The images of a camera, by its folder (`RGB`); a camera that the run does not have has none."""
        if folder not in self._cameras:
            tar = ImageTar(self.path, folder)
            images = ImageFolder(self.path, folder)
            only_index = os.path.lexists(tar.index_path) and not images.exists()  # the tar is lost
            self._cameras[folder] = tar if os.path.lexists(tar.path) or only_index else images
        return self._cameras[folder]

    def _camera_of(self, name: str) -> Union[ImageTar, ImageFolder]:
        return self.camera(name.partition("/")[0])

    def where(self, name: str) -> str:
        """Where an image is, for messages: its file, or its tar and member."""
        return self._camera_of(name).where(name)

    def read(self, name: str) -> bytes:
        """The bytes of an image.

        Raises:
            DataError: it is missing or cannot be read; the message says where it should be.
        """
        return self._camera_of(name).read(name)

    def files(self, names: Iterable[str]) -> list[str]:
        """The files that hold some files of a run, as paths in the run: tars and indexes instead of images.

        Raises:
            DataError: a folder of images is a link.
        """
        held: dict[str, None] = {}
        for name in names:
            camera = self._camera_of(name) if "/" in name else None
            if isinstance(camera, ImageTar):
                held.update(dict.fromkeys(camera.file_names()))
            else:
                held[name] = None
        for folder in {name.partition("/")[0] for name in held if "/" in name}:
            commit.refuse_link(self.path / folder)
        return list(held)

    def copy(
        self,
        names: Mapping[str, str],
        target: Path,
        transfer_file: Callable[[Path, Path], object],
        storage: str = "",
        check: Callable[[str, bytes], None] = lambda name, data: None,
    ) -> None:
        """Put images into the folder of another run. A tar whose images are all wanted stays one file.

        Args:
            names: new path -> path of the image here; the same camera, numbered from 0 without gaps.
            target: the other run's unfinished folder.
            transfer_file: links or copies a file to its place.
            storage: `tar` or `files`; by default, as here.
            check: called with path and bytes of each image that is read; may raise.

        Raises:
            DataError: an image cannot be read.
            OSError: the file system refuses.
        """
        cameras: dict[str, list[str]] = {}
        for new in names:
            cameras.setdefault(new.partition("/")[0], []).append(new)
        for folder, group in sorted(cameras.items()):
            camera = self.camera(folder)
            form = storage or camera.storage
            if form == camera.storage == FILES:
                (target / folder).mkdir()
                for new in group:
                    transfer_file(self.path / names[new], target / new)
            elif isinstance(camera, ImageTar) and form == TAR and _all_of(camera, group, names):
                transfer_file(camera.path, target / camera.path.name)
                files.write_file(target / camera.index_path.name, camera.index_from_headers())
            else:
                writer = image_writer(target, folder, form)
                try:
                    for number, new in enumerate(sorted(group)):
                        data = camera.read(names[new])
                        check(names[new], data)
                        writer.add(number, data)
                    writer.finish()
                finally:
                    writer.close()


def _all_of(tar: ImageTar, group: Sequence[str], names: Mapping[str, str]) -> bool:
    """Whether a group of images, under their own names, is all that an intact tar has."""
    return all(names[new] == new for new in group) and tar.is_whole() and sorted(group) == tar.names()
