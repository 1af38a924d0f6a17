"""The report of a study that measures networks (network_details.py)."""

from __future__ import annotations

from typing import Any, List, Mapping

from nav_pkg.reading import read_json
from nav_pkg.report.details import printed_parameters, published_table, speed_table, structure_table
from nav_pkg.report.document import Data, Document, Head, Text
from nav_pkg.studies.cell_logs import DONE
from nav_pkg.studies.commands import DETAILS_FILE
from nav_pkg.studies.runner import StudyFolder


def fill_details(folder: StudyFolder, document: Document) -> None:
    """Add the measurements to the report."""
    networks: List[Mapping[str, Any]] = []
    for cell in folder.cells:
        if folder.state(cell).state == DONE:
            networks += read_json(folder.log(cell) / DETAILS_FILE)["networks"]
    document.add(Head("Answer"))
    for entry in networks:
        p50 = entry["speed"]["cpu"].get("eager", {}).get("p50")
        latency = (
            "not timed" if p50 is None else f"{1000 * p50:.1f} ms an image on {entry['threads']} core(s)"
        )
        line = f"{entry['network']}: {printed_parameters(entry['parameters'])} parameters, {latency}"
        document.add(Text(line, item=True))
    document.add(Head("Beside the published table"), Data(published_table(networks), "published"))
    document.add(Head("Structure"), Data(structure_table(networks), "structure"))
    caption = "Of the network alone, on images in memory. p50, p99: batch 1; images a second: best batch."
    document.add(Head("Speed"), Data(speed_table(networks), "speed", caption))
