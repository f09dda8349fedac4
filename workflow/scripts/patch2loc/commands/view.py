"""patch2loc view: look at scored scans in a browser."""

import argparse

from patch2loc.commands.numbers import whole_number
from patch2loc.commands.options import Subcommands


def add(commands: Subcommands) -> None:
    """Add the subcommand."""
    view = commands.add_parser(
        "view",
        help="browse scored scans",
        description="Show the report and the viewer of a run in a browser, on this machine only, until Ctrl-C.",
    )
    view.add_argument("results", metavar="RESULTS", help="folder of a run with its report, e.g. results/demo")
    view.add_argument(
        "--port", type=whole_number(0, 65535), default=8642, help="0 takes a free one; default: 8642"
    )
    view.add_argument("--no-browser", action="store_true", help="only print the address")
    view.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from patch2loc.report.viewer.server import serve

    serve(arguments.results, arguments.port, not arguments.no_browser)
    return 0
