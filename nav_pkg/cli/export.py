"""Export a checkpoint as one ONNX file that contains the preprocessing, and check it on real images.

Examples:
    export.py --checkpoint_path my_training --output my_net.onnx
    export.py --checkpoint_path my_training --output bebop.onnx --width 856 --height 480
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.config.checkpoints import ExportConfig
from nav_pkg.config.setting import parse
from nav_pkg.learn.training import prechecks


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    config = parse(ExportConfig, argv, "export.py", str(__doc__))
    prechecks.network(config.network)
    prechecks.checkpoint(config.checkpoint_path, config.summary_dir)
    if config.dataset:
        prechecks.dataset(config.dataset, config.data_root)
    from nav_pkg.learn.deployment.export_files import export_files  # torch takes seconds

    for line in export_files(config):
        print(line)
    return 0
