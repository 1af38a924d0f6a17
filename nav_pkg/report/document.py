"""A report that is built once and written as Markdown, as one HTML file and as a PDF."""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List, Sequence, Union

from nav_pkg.data.files import atomic_write
from nav_pkg.report import style
from nav_pkg.report.page import Page
from nav_pkg.report.tables import Table

PAPER = (8.27, 11.69)
"""A4 in inches."""
MARGIN, LINE = 0.7, 0.165
"""Margin of a PDF page, and height of a 9-point line, in inches."""
CHARACTERS = 98
"""Characters in a 9-point line of a PDF page."""


@dataclass(frozen=True)
class Head:
    """The heading of a section."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph or a list item; backquotes mark `code`."""

    text: str
    item: bool = False


@dataclass(frozen=True)
class Link:
    """A link to another report: the Markdown file from Markdown, the HTML file from HTML."""

    text: str
    markdown: str
    html: str


@dataclass(frozen=True)
class Commands:
    """Command lines to copy."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Data:
    """A table, also written as `<name>.csv`."""

    table: Table
    name: str
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A matplotlib figure, written as `<name>.png`, with its data as `<name>.csv`."""

    figure: Any
    name: str
    csv: str
    caption: str


Block = Union[Head, Text, Link, Commands, Data, Figure]


@dataclass
class Document:
    """A report: its parts in reading order.

    Attributes:
        title: of the report.
        lead: one sentence below the title.
        blocks: its parts.
    """

    title: str
    lead: str = ""
    blocks: List[Block] = field(default_factory=list)

    def add(self, *blocks: Block) -> None:
        """Append parts."""
        self.blocks.extend(blocks)

    def markdown(self, folder: str) -> str:
        """The report as Markdown, with links to figures and data in `folder`."""
        out = [f"# {self.title}", ""] + ([self.lead, ""] if self.lead else [])
        for before, block in zip([None, *self.blocks], self.blocks):
            if isinstance(block, Head):
                out += [f"## {block.text}", ""]
            elif isinstance(block, Text):
                if block.item and isinstance(before, Text) and before.item:
                    out.pop()  # keep the items of a list together
                out += [f"- {block.text}" if block.item else block.text, ""]
            elif isinstance(block, Link):
                out += [f"[{block.text}]({block.markdown})", ""]
            elif isinstance(block, Commands):
                out += ["```bash", *block.lines, "```", ""]
            elif isinstance(block, Data):
                out += [block.table.markdown(), "", *([block.caption, ""] if block.caption else [])]
            else:
                out += [f"![{block.name}]({folder}/{block.name}.png)", "", block.caption, ""]
        return "\n".join(out).rstrip() + "\n"

    def page(self) -> Page:
        """The report as a page."""
        page = Page(self.title, self.lead)
        for block in self.blocks:
            if isinstance(block, Head):
                page.head(block.text)
            elif isinstance(block, Text):
                page.text(f"• {block.text}" if block.item else block.text)
            elif isinstance(block, Link):
                page.link(block.text, block.html)
            elif isinstance(block, Commands):
                page.commands(block.lines)
            elif isinstance(block, Data):
                page.table(block.table, block.name, block.caption)
            else:
                page.figure(style.png(block.figure), block.name, block.csv, block.caption)
        return page

    def pdf(self) -> bytes:
        """The report as a PDF: pages of text and tables, then each figure on a page of its own size."""
        from matplotlib.backends.backend_pdf import PdfPages

        out = io.BytesIO()
        with PdfPages(out, metadata={"Title": self.title, "CreationDate": None}) as pages:
            paper = _Paper(pages)
            paper.write(self.title, 15)
            if self.lead:
                paper.write(self.lead, 9.5)
            for block in self.blocks:
                if isinstance(block, Head):
                    paper.write(block.text, 12, above=1)
                elif isinstance(block, Text):
                    paper.write(("• " if block.item else "") + block.text.replace("`", ""), 9)
                elif isinstance(block, Link):
                    paper.write(f"{block.text}: {block.html}", 9)
                elif isinstance(block, Commands):
                    paper.fixed(block.lines)
                elif isinstance(block, Data):
                    paper.fixed(block.table.text().split("\n"))
                    paper.write(block.caption, 8)
                else:
                    paper.write(f"{block.caption} (figure {block.name}, next pages)", 8)
                    paper.figures.append(block.figure)
            paper.close()
        return out.getvalue()

    def write(self, output: Path, stem: str, chosen_by: str = "--output") -> Path:
        """Write `<stem>.md`, `.html` and `.pdf`, and figures and data into `<stem>/`.

        Args:
            output: the folder; created if missing.
            stem: name of the files.
            chosen_by: the flag that selected the folder, for error messages.

        Returns:
            Path of the HTML file.

        Raises:
            DataError: a file cannot be written.
        """
        html = self.page().write(output / f"{stem}.html", chosen_by)
        for block in self.blocks:
            if isinstance(block, Figure):
                atomic_write(output / stem / f"{block.name}.png", style.png(block.figure), chosen_by)
        atomic_write(output / f"{stem}.pdf", self.pdf(), chosen_by)
        atomic_write(output / f"{stem}.md", self.markdown(stem), chosen_by)
        return html


class _Paper:
    """PDF pages, filled with text from top to bottom."""

    def __init__(self, pages: Any):
        self.pages = pages
        self.figures: List[Any] = []
        self._page: Any = None
        self._top = 0.0

    def _line(self, text: str, size: float, family: str) -> None:
        height = LINE * size / 9
        if self._page is None or self._top < MARGIN + height:
            self._turn()
        self._page.text(
            MARGIN / PAPER[0],
            self._top / PAPER[1],
            text.replace("$", r"\$"),
            size=size,
            family=family,
            va="top",
        )
        self._top -= height

    def _turn(self) -> None:
        from matplotlib.figure import Figure as Sheet

        if self._page is not None:
            self.pages.savefig(self._page)
        self._page, self._top = Sheet(figsize=PAPER), PAPER[1] - MARGIN

    def write(self, text: str, size: float, above: int = 0) -> None:
        """Add a paragraph."""
        for _ in range(above):
            self._line("", 9, "sans-serif")
        for line in textwrap.wrap(text, int(CHARACTERS * 9 / size)):
            self._line(line, size, "sans-serif")
        self._line("", 5, "sans-serif")

    def fixed(self, lines: Sequence[str]) -> None:
        """Add lines in a fixed-width font, small enough for the longest line."""
        longest = max(map(len, lines), default=1)
        size = min(7.5, 7.5 * 108 / max(1, longest))
        for line in lines:
            self._line(line, size, "monospace")
        self._line("", 5, "sans-serif")

    def close(self) -> None:
        """Write the last page, then the figures."""
        if self._page is not None:
            self.pages.savefig(self._page)
        for figure in self.figures:
            self.pages.savefig(figure)
