"""Download a file of a package from the package index that pip is configured with."""

from __future__ import annotations

import html.parser
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from nav_pkg.core import DataError

LIMIT = 60.0
"""Timeout of a request to the index, seconds."""


def download(package: str, name: str, folder: Path) -> Path:
    """Download a file of a package from the configured index; the caller checks its checksum.

    Raises:
        DataError: no index answers, or none has the file.
    """
    cure = f"download {name} elsewhere and give --archive FILE"
    for index in indexes():
        page = f"{index.rstrip('/')}/{package}/"
        try:
            with urllib.request.urlopen(page, timeout=LIMIT) as answer:
                links = _links(answer.read().decode("utf-8", "replace"))
            link = next(
                (link for link in links if urllib.parse.urlparse(link).path.endswith(f"/{name}")), None
            )
            if link is None:
                continue
            print(f"downloading {name} from {urllib.parse.urlparse(page).hostname or page}", flush=True)
            path = folder / name
            file = urllib.parse.urljoin(page, link)
            with urllib.request.urlopen(file, timeout=LIMIT) as answer, open(path, "wb") as out:
                shutil.copyfileobj(answer, out, 1 << 20)
            return path
        except (OSError, ValueError, HTTPException) as error:  # URLError is an OSError
            reason = getattr(error, "reason", None) or error
            print(f"{urllib.parse.urlparse(page).hostname or page}: {reason}", file=sys.stderr)
    raise DataError(f"no package index has {name}: {cure}")


def indexes() -> List[str]:
    """The addresses of pip's package indexes, from its configuration; pip's default if it has none."""
    addresses: List[str] = []
    for key in ("global.index-url", "global.extra-index-url"):
        variable = "PIP_" + key.split(".")[1].upper().replace("-", "_")
        value = os.environ.get(variable) or _pip("config", "get", key)
        if not value and key == "global.index-url":
            code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
            value = _run([sys.executable, "-c", code])
        addresses += value.split()
    return addresses


def _pip(*words: str) -> str:
    return _run([sys.executable, "-m", "pip", *words])


def _run(line: Sequence[str]) -> str:
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=LIMIT)
    return done.stdout.strip() if done.returncode == 0 else ""


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: List[str] = []

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        self.links += [value for key, value in attrs if tag == "a" and key == "href" and value]


def _links(page: str) -> List[str]:
    parser = _Links()
    parser.feed(page)
    return parser.links
