"""The pages as files: everything that links lead to from the first page, with links made relative."""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import Dict, List
from urllib.parse import quote, unquote, urlsplit

import flask

from nav_pkg.core import UsageError
from nav_pkg.data.files import atomic_write, disk_error

MARKER = "serve.json"
"""Marks a folder that an export has made."""
_LINK = re.compile(r'((?:href|src|data-source|data-images)=")(/[^"]*)"')


def export(app: flask.Flask, folder: Path) -> Path:
    """Write all pages below a folder.

    Args:
        app: the application.
        folder: made when missing.

    Returns:
        The first page.

    Raises:
        UsageError: the folder holds files that are not of an earlier export.
        DataError: the disk refuses.
    """
    if folder.exists() and not (folder / MARKER).exists() and any(folder.iterdir()):
        raise UsageError(
            f"--export {folder}: holds files but no {MARKER}: not made by serve.py; give another folder"
        )
    _write(folder / MARKER, b"{}\n")
    client = app.test_client()
    files: Dict[str, str] = {}
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
        _write(folder / files[url], data)
    return folder / "index.html"


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(path, error, "--export") from error
    atomic_write(path, data, "--export")


def _file(url: str, mimetype: str) -> str:
    """The file of an address: a folder's is its index.html, a query is part of the name."""
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
        # quoted, and beginning with a dot: a folder may be called javascript:x
        link = quote(posixpath.relpath(target, folder or "."))
        return f'{match.group(1)}{html.escape(link if link.startswith(".") else f"./{link}")}"'

    return _LINK.sub(change, text)
