"""Tables of the structure and speed of networks, and a comparison with the published figures."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from nav_pkg.report.tables import Column, Table


class Published(NamedTuple):
    """A row of the published table ("Gather specifications").

    Attributes:
        features: number of feature layers.
        decisions: number of decision layers.
        parameters: as printed; millions are truncated, not rounded.
        gpu_mb: memory on the GPU, MB.
        gpu: frames per second on a Titan X.
        cpu: frames per second on the processor.
        difference: the reason why our numbers differ.
    """

    features: int
    decisions: int
    parameters: str
    gpu_mb: int
    gpu: int
    cpu: int
    difference: str


PUBLISHED: Dict[str, Published] = {
    "alex_net": Published(5, 3, "57*10^6", 1013, 1188, 38, "The layers are the same."),
    "vgg16_net": Published(13, 3, "134*10^6", 1091, 603, 8, "The layers are the same."),
    "inception_net": Published(
        7,
        1,
        "24*10^6",
        1341,
        35,
        3,
        "There, probably its kinds of blocks are counted; here, every convolution of all branches.",
    ),
    "res18_net": Published(
        4,
        1,
        "11*10^6",
        1277,
        297,
        21,
        "There, probably its four stages are counted; here, all convolutions, shortcuts included.",
    ),
    "dense_net": Published(
        24, 1, "6*10^6", 913, 52, 5, "There, probably one block's layers are counted; here, all convolutions."
    ),
    "squeeze_net": Published(
        9,
        1,
        "736963",
        1303,
        293,
        22,
        "There, probably the first convolution and eight fire modules count, each of three convolutions.",
    ),
    "tiny_net": Published(2, 2, "8*10^6", 1335, 2369, 59, "The layers are the same."),
}


def printed_parameters(count: int) -> str:
    """Number of parameters as in the published table: in full below a million, else in whole millions."""
    return str(count) if count < 10**6 else f"{count // 10**6}*10^6"


def structure_table(networks: Sequence[Mapping[str, Any]]) -> Table:
    """Make one row per network: layers, parameters, multiply-adds and memory."""
    columns = (
        Column("network", "network"),
        Column("feature_layers", "feature layers", 0),
        Column("decision_layers", "decision layers", 0),
        Column("parameters", "parameters", 0),
        Column("gmacs", "multiply-adds [10^9]", 3),
        Column("activations_mb", "activations [MB]", 1),
        Column("host_mb", "host memory [MB]", 0),
        Column("gpu_mb", "GPU memory [MB]", 0),
    )
    rows = [
        {
            **entry,
            "gmacs": entry["multiply_adds"] / 1e9,
            "activations_mb": entry["activations"] / 1e6,
            "host_mb": entry["host_memory"] / 1e6,
            "gpu_mb": entry["gpu_memory"] / 1e6 if entry.get("gpu_memory") else None,
        }
        for entry in networks
    ]
    return Table(columns, rows)


def speed_table(networks: Sequence[Mapping[str, Any]]) -> Table:
    """Make one row per network, device and way of computation: latency at batch 1, and the best rate."""
    columns = (
        Column("network", "network"),
        Column("device", "device"),
        Column("way", "computed"),
        Column("p50", "p50 [ms]", 2),
        Column("p99", "p99 [ms]", 2),
        Column("rate", "images/s", 0),
        Column("batch", "batch", 0),
        Column("note", "remark", wraps=True),
    )
    rows: List[Dict[str, Any]] = []
    for entry in networks:
        for device, speeds in entry["speed"].items():
            for way, times in speeds.items():
                row: Dict[str, Any] = {"network": entry["network"], "device": device, "way": way}
                if "missing" in times:
                    row["note"] = times["missing"]
                else:
                    row.update(times, p50=1000 * times["p50"], p99=1000 * times["p99"])
                    row["note"] = (
                        "" if times["agree"] else "noisy machine: the halves differ by more than 10 %"
                    )
                rows.append(row)
    return Table(columns, rows)


def published_table(networks: Sequence[Mapping[str, Any]]) -> Table:
    """Compare our numbers with the published ones, for the networks of the published table."""
    columns = (
        Column("network", "network"),
        Column("features", "feature layers, published / ours"),
        Column("decisions", "decision layers"),
        Column("parameters", "parameters"),
        Column("gpu", "images/s on a GPU (Titan X there)"),
        Column("cpu", "images/s on a CPU"),
        Column("difference", "difference", wraps=True),
    )
    rows = []
    for entry in networks:
        published: Optional[Published] = PUBLISHED.get(entry["network"])
        if published is None:
            continue
        rows.append(
            {
                "network": entry["network"],
                "features": f"{published.features} / {entry['feature_layers']}",
                "decisions": f"{published.decisions} / {entry['decision_layers']}",
                "parameters": f"{published.parameters} / {printed_parameters(entry['parameters'])}",
                "gpu": f"{published.gpu} / {_rate(entry, 'cuda')}",
                "cpu": f"{published.cpu} / {_rate(entry, 'cpu')}",
                "difference": published.difference,
            }
        )
    return Table(columns, rows)


def _rate(entry: Mapping[str, Any], device: str) -> str:
    times = entry["speed"].get(device, {}).get("eager", {})
    return f"{times['rate']:.0f}" if "rate" in times else "–"
