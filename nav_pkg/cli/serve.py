"""Serve a local page of datasets, trainings, flights, evaluations, studies and DAGs.

The server listens only on 127.0.0.1 and changes no files. To see the page from another machine, run there:
ssh -L 8080:127.0.0.1:8080 HOST

Examples:
    serve.py
    serve.py --port 0 --summary_dir /data/logs
    serve.py --export site/
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.config.reports import ServeConfig
from nav_pkg.config.setting import parse
from nav_pkg.core import DataError, UsageError


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Serve until Ctrl-C, or export.

    Raises:
        UsageError: the port is in use, or Flask is not installed.
        DataError: neither the data root nor the log folder exists.
    """
    args = parse(ServeConfig, argv, "serve.py", str(__doc__))
    root, logs = args.data_root.expanduser().resolve(), args.summary_dir.expanduser().resolve()
    if not root.is_dir() and not logs.is_dir():
        raise DataError(f"neither {root} (--data_root) nor {logs} (--summary_dir) is there: nothing to show")
    try:
        from werkzeug.serving import make_server

        from nav_pkg.serve.app import make_app
    except ModuleNotFoundError as error:
        raise UsageError(f"serve.py needs {error.name}: pip install 'nav_pkg[serve]'") from error
    from nav_pkg.serve.catalogue import Catalogue

    app = make_app(Catalogue(root, logs))
    if args.export:
        from nav_pkg.serve.export import export

        print(export(app, args.export))
        return 0
    try:
        server = make_server("127.0.0.1", args.port, app, threaded=True)
    except (OSError, SystemExit) as error:
        raise UsageError(
            f"--port {args.port}: cannot listen on 127.0.0.1 ({error}): give another one"
        ) from error
    print(f"http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    return 0
