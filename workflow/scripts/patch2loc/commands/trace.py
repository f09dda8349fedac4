"""patch2loc trace: what made a result, back to the scans."""

import argparse
import json

from patch2loc.commands.options import Subcommands
from patch2loc.commands.terminal import tell
from patch2loc.errors import InputError


def add(commands: Subcommands) -> None:
    """Add the subcommand."""
    trace = commands.add_parser(
        "trace",
        help="show how a result was made, back to the scans",
        description="Print how a result and each of its inputs were made, back to the scans: code, "
        "versions, configuration, subjects, and whether a file has changed since.",
    )
    trace.add_argument("file", help="a result with a .provenance.json beside it, e.g. tables/table1.csv")
    trace.add_argument("--json", action="store_true", help="everything, as JSON")
    trace.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from patch2loc.provenance.trace import trace

    chain = trace(arguments.file)
    if not chain:
        raise InputError(
            f"{arguments.file}: no {arguments.file}.provenance.json, summary of `detect` or crate that says how it was "
            "made; give a result of the workflow or of `detect`"
        )
    if arguments.json:
        tell(json.dumps(chain, indent=1))
        return 0
    for entry in chain:
        state = "  NOT FOUND" if entry["missing"] else "  CHANGED SINCE" if entry["changed"] else ""
        tell(f"{entry['file']}{state}")
        tell(f"  sha256 {entry['sha256'][:16]}  code {entry['code']}  subjects {len(entry['subjects'])}")
        tell(
            f"  environment {', '.join(f'{name} {version}' for name, version in entry['environment'].items())}"
        )
        tell(f"  configuration {json.dumps(entry['configuration'])}")
        tell(f"  inputs {len(entry['inputs'])}")
    return 0
