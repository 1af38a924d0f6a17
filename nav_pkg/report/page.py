"""A report page: one self-contained HTML file, and its data as CSV files in a folder beside it.

The page loads nothing: the style is inline, and pictures are embedded as base64. It can be sent by mail, and
read without a network and on a phone.
"""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path
from typing import Any, List, Sequence, Tuple
from urllib.parse import quote

from nav_pkg.config.paths import PathLike
from nav_pkg.data.files import atomic_write, disk_error
from nav_pkg.report import style
from nav_pkg.report.tables import Table

CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 62rem; background: #fff; color: #222;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .4rem 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .5rem; padding-top: .6rem; border-top: 1px solid #ddd; }
p, li { max-width: 46rem; }
.lead { color: #555; margin-top: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.6rem, 1fr)); gap: .6rem;
  margin: 1.2rem 0; padding: 0; }
.tile { border: 1px solid #ddd; border-radius: 6px; padding: .55rem .8rem .6rem; }
.tile b { display: block; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: #555; font-size: .85rem; line-height: 1.3; display: block; }
nav { font-size: .9rem; margin: .6rem 0 0; }
nav a { margin-right: 1rem; display: inline-block; }
a { color: #0060a0; }
figure { margin: 1rem 0 1.6rem; }
figure img, figure video { width: 100%; height: auto; display: block; }
figcaption { color: #555; font-size: .88rem; max-width: 50rem; margin-top: .4rem; }
.wide { overflow-x: auto; margin: .8rem 0; position: relative; left: 50%; transform: translateX(-50%);
  width: max-content; min-width: 100%; max-width: calc(100vw - 3rem); }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid #e6e6e6;
  white-space: nowrap; }
th { color: #555; font-weight: 600; border-bottom: 2px solid #bbb; vertical-align: bottom;
  white-space: normal; }
td.n, th.n { text-align: right; }
td.p { white-space: normal; min-width: 14rem; max-width: 40rem; overflow-wrap: anywhere; font-weight: 400; }
tfoot td { border-top: 2px solid #bbb; border-bottom: 0; font-weight: 600; }
.dot { display: inline-block; width: .65em; height: .65em; border-radius: 50%; margin-right: .4em; }
pre { background: #f6f6f4; border: 1px solid #e2e2de; border-radius: 6px; padding: .6rem .8rem;
  font: .82rem/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
code { font: .92em ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.note { border-left: 3px solid #e69f00; padding: .1rem .9rem; background: #fdf8ec; max-width: 46rem; }
@media (max-width: 40rem) { body { padding: .6rem .7rem 3rem; } h1 { font-size: 1.35rem; }
  th, td { padding: .3rem .45rem; } .wide { position: static; transform: none; width: auto; max-width: none;
    margin-left: -.7rem; margin-right: -.7rem; padding: 0 .7rem; } }
@media print { body { max-width: none; } .wide { max-width: 100%; }
  figure, table { break-inside: avoid; } nav { display: none; } }
"""


class Page:
    """Builder of a page: parts are added in reading order, then the page is written.

    Args:
        title: of the page.
        lead: one sentence below the title.
    """

    def __init__(self, title: str, lead: str = ""):
        self._title = title
        self._lead = lead
        self._parts: List[str] = []
        self._heads: List[Tuple[str, str]] = []
        self._data: List[Tuple[str, str]] = []

    def tiles(self, tiles: Sequence[Tuple[str, str]]) -> None:
        """Add the most important numbers, each with its meaning."""
        inner = "".join(
            f'<div class="tile"><b>{html.escape(value)}</b><span>{html.escape(meaning)}</span></div>'
            for value, meaning in tiles
        )
        self._parts.append(f'<div class="tiles">{inner}</div>')

    def head(self, text: str) -> None:
        """Begin a section."""
        anchor = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
        self._heads.append((anchor, text))
        self._parts.append(f'<h2 id="{anchor}">{html.escape(text)}</h2>')

    def text(self, text: str, note: bool = False) -> None:
        """Add a paragraph; backquotes mark `code`. A note is highlighted."""
        body = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
        self._parts.append(f"<p{' class=note' if note else ''}>{body}</p>")

    def link(self, text: str, target: str) -> None:
        """Add a paragraph with a link to a file beside this page."""
        self._parts.append(f'<p><a href="{html.escape(quote(target))}">{html.escape(text)}</a></p>')

    def commands(self, lines: Sequence[str]) -> None:
        """Add command lines to copy."""
        self._parts.append(f"<pre>{html.escape(chr(10).join(lines))}</pre>")

    def table(self, table: Table, name: str, caption: str = "") -> None:
        """Add a table, and its data as `<name>.csv`."""
        self._data.append((f"{name}.csv", table.csv()))
        self._parts.append(
            f"<figure>{table.html()}<figcaption>{self._caption(caption, name)}</figcaption></figure>"
        )

    def figure(self, picture: Any, name: str, data: str, caption: str) -> None:
        """Add a picture with its caption, and its data as `<name>.csv`.

        Args:
            picture: a matplotlib figure, or the bytes of a PNG, a JPEG or a film (mp4).
            name: of the CSV file, without suffix.
            data: the CSV.
            caption: description of the picture.
        """
        self._data.append((f"{name}.csv", data))
        content = picture if isinstance(picture, bytes) else style.png(picture)
        code = base64.b64encode(content).decode()
        alt = html.escape(caption.split(". ")[0], quote=True)
        if content[4:8] == b"ftyp":
            how = "controls loop muted autoplay playsinline"
            shown = f'<video {how} aria-label="{alt}" src="data:video/mp4;base64,{code}"></video>'
        else:
            kind = "png" if content[:4] == b"\x89PNG" else "jpeg"
            shown = f'<img alt="{alt}" src="data:image/{kind};base64,{code}">'
        self._parts.append(f"<figure>{shown}<figcaption>{self._caption(caption, name)}</figcaption></figure>")

    def _caption(self, caption: str, name: str) -> str:
        text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(caption))
        return f"{text} Data: <code>{name}.csv</code>."

    def html(self) -> str:
        """The page as HTML."""
        links = "".join(f'<a href="#{anchor}">{html.escape(text)}</a>' for anchor, text in self._heads)
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self._title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
            f"<h1>{html.escape(self._title)}</h1>\n"
            f'<p class="lead">{html.escape(self._lead)}</p>\n<nav>{links}</nav>\n'
            + "\n".join(self._parts)
            + "\n</body>\n</html>\n"
        )

    def write(self, path: PathLike, chosen_by: str = "--summary_dir") -> Path:
        """Write the page, and its data into a folder of the same name beside it.

        Args:
            path: `report.html` gives `report.html` and `report/*.csv`.
            chosen_by: the flag that selects the place, for error messages.

        Raises:
            DataError: a file cannot be written.
        """
        path = Path(path)
        folder = path.with_suffix("")
        try:
            (folder if self._data else folder.parent).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(folder, error, chosen_by) from error
        for name, content in self._data:
            atomic_write(folder / name, content, chosen_by)
        atomic_write(path, self.html(), chosen_by)
        return path
