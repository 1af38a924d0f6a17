"""A report is the same in all three forms."""

import re

import pytest

from nav_pkg.core import DataError
from nav_pkg.report import style
from nav_pkg.report.document import Commands, Data, Document, Figure, Head, Text
from nav_pkg.report.tables import Column, Table


@pytest.fixture
def document():
    figure, axes = style.new_figure(4, 3)
    axes.plot([0, 1], [1, 0])
    table = Table([Column("a", "first"), Column("b", "second", 2)], [{"a": "<x>", "b": 1.5}])
    example = Document("A title", "What it is of.")
    example.add(
        Commands(["study.py run a"]), Head("Answer"), Text("one `code`", item=True), Text("two", item=True)
    )
    example.add(Data(table, "scores", "A caption."), Figure(figure, "curve", "x,y\n0,1\n", "A falling line."))
    example.add(Text("word " * 900))
    return example


def test_markdown(document):
    text = document.markdown("folder")
    assert text.startswith("# A title\n\nWhat it is of.\n\n```bash\nstudy.py run a\n```\n\n## Answer\n\n")
    assert "- one `code`\n- two\n\n" in text
    assert "![curve](folder/curve.png)" in text and "A caption." in text


def test_files(document, tmp_path):
    assert document.write(tmp_path / "new", "report") == tmp_path / "new/report.html"
    page = (tmp_path / "new/report.html").read_text()
    assert "&lt;x&gt;" in page and "<x>" not in page and "<code>code</code>" in page
    assert (tmp_path / "new/report/curve.csv").read_text() == "x,y\n0,1\n"
    assert (tmp_path / "new/report/curve.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "new/report/scores.csv").exists()
    pdf = (tmp_path / "new/report.pdf").read_bytes()
    assert pdf[:5] == b"%PDF-"
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 3  # two of text, one of the figure
    assert pdf == document.pdf()  # no time in it


def test_a_folder_that_can_not_be_made(document, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="--output"):
        document.write(tmp_path / "file", "report")
