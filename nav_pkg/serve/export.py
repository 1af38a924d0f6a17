"""Export of the pages as files: all pages that the first page links to, with relative links."""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import Dict, List
from urllib.parse import quote, unquote, urlsplit

import flask

from nav_pkg.core import UsageError
from nav_pkg.data.files import atomic_write, disk_error, to_json
from nav_pkg.fields import a_list
from nav_pkg.reading import read_json
from nav_pkg.schemas import LINE

MARKER = "serve.json"
"""Marks a folder that an export has created."""
_LINK = re.compile(r'((?:href|src|data-source|data-images)=")(/[^"]*)"')


def export(app: flask.Flask, folder: Path) -> Path:
    """Write all pages into a folder.

    Args:
        app: the application.
        folder: created if missing.

    Returns:
        Path of the first page.

    Raises:
        UsageError: the folder holds files that no export has written.
        DataError: a file cannot be written.
    """
    before = _files_of(folder)
    _write(folder / MARKER, to_json({"files": before}))
    client = app.test_client()
    files: Dict[str, str] = {}
    written: List[str] = []
    left: List[str] = ["/"]
    while left:
        url = left.pop()
        if url in files:
            continue
        answer = client.get(url, base_url="http://127.0.0.1")
        files[url] = _file(url, answer.mimetype)
        if answer.status_code != 200:
            continue
        data = answer.get_data()
        if answer.mimetype == "text/html" and not url.startswith("/page/"):
            text = data.decode()
            for _, link in _LINK.findall(text):
                link = html.unescape(link)
                if not link.startswith("/compare"):
                    left.append(link)
            data = _relative(text, files[url]).encode()
            data = data.replace(b'data-running="yes"', b'data-running="no"')  # no live data in an export
        _write(folder / files[url], data)
        written.append(files[url])
    for name in set(before) - set(written):  # of entries that were deleted since
        (folder / name).unlink(missing_ok=True)
    _write(folder / MARKER, to_json({"files": sorted(written)}))
    return folder / "index.html"


def _files_of(folder: Path) -> List[str]:
    """List the files of an earlier export; none for a folder that is new or empty.

    Raises:
        UsageError: it holds other files, or links.
        DataError: its list cannot be read.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return []
    if not (folder / MARKER).exists():
        raise UsageError(
            f"--export {folder}: holds files but no {MARKER}: not made by serve.py; give another folder"
        )
    link = next((path for path in folder.rglob("*") if path.is_symlink()), None)
    if link is not None:
        raise UsageError(f"--export {folder}: {link} is a link; remove it, or give another folder")
    files = read_json(folder / MARKER, {"files": a_list(LINE).required})["files"]
    root = folder.resolve()
    return [name for name in files if root in (folder / name).resolve().parents]


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(path, error, "--export") from error
    atomic_write(path, data, "--export")


def _file(url: str, mimetype: str) -> str:
    """File name of an address: index.html for a folder; a query becomes part of the name."""
    parts = urlsplit(url)
    path = unquote(parts.path).lstrip("/")
    if path.endswith("/") or not path:
        path += "index.html"
    if parts.query:
        stem, suffix = posixpath.splitext(path)
        path = f"{stem}~{re.sub(r'[^A-Za-z0-9=.-]', '_', parts.query)}{suffix}"
    return path


def _relative(text: str, here: str) -> str:
    folder = posixpath.dirname(here)

    def change(match: re.Match[str]) -> str:
        target = _file(html.unescape(match.group(2)), "")
        # quoted, and beginning with a dot: a folder may have a name like javascript:x
        link = quote(posixpath.relpath(target, folder or "."))
        return f'{match.group(1)}{html.escape(link if link.startswith(".") else f"./{link}")}"'

    return _LINK.sub(change, text)
