"""python -m patch2loc: score one's own scan, trace a number to what made it, simulate a cohort."""

import argparse
import json
import os
import sys
from pathlib import Path

from patch2loc.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status is 1 for bad input."""
    parser = argparse.ArgumentParser(
        prog="patch2loc", description="Find brain lesions by localising patches."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    score = commands.add_parser("score", help="heatmap of a scan, on its own voxels")
    score.add_argument("model", help="model.safetensors of the workflow, of the scan's modality")
    score.add_argument("scan", help="NIfTI scan as the scanner gave it, or skull-stripped")
    score.add_argument("folder", help="where to write heatmap.nii.gz and the rest")
    score.add_argument("--brain", help="brain mask on the scan's voxels")
    score.add_argument(
        "--skull-strip",
        choices=["given", "none", "atlas", "hd-bet", "synthstrip"],
        help="default: given with --brain, else atlas",
    )
    score.add_argument("--atlas", help="icbm152, or the folder of SRI24, if not where training had it")
    score.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    score.set_defaults(run=_score)

    trace = commands.add_parser("trace", help="what made a result, back to the scans")
    trace.add_argument("file", help="a result with a .provenance.json beside it, e.g. tables/table1.csv")
    trace.add_argument("--json", action="store_true", help="everything, as JSON")
    trace.set_defaults(run=_trace)

    simulate = commands.add_parser(
        "simulate", help="a simulated cohort of any size, on all cores; goes on if stopped"
    )
    simulate.add_argument("folder", help="where to write one folder a subject")
    simulate.add_argument("--cohort", choices=["healthy", "tumour", "ms", "stroke", "wmh"], default="healthy")
    simulate.add_argument("--subjects", type=int, default=400)
    simulate.add_argument("--seed", type=int, default=3141)
    simulate.add_argument("--spacing", type=float, default=1.0, help="mm, of the anatomy and of the voxels")
    simulate.add_argument("--noise", type=float, default=0.03, help="standard deviation over white matter")
    simulate.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes; 1 GB of memory each at 1 mm"
    )
    simulate.set_defaults(run=_simulate)

    chosen = parser.parse_args(arguments)
    try:
        return chosen.run(chosen)
    except InputError as error:
        print(f"patch2loc: {error}", file=sys.stderr)
        return 1


def _score(chosen: argparse.Namespace) -> int:
    from patch2loc import device
    from patch2loc.own_scan import score_own_scan

    quality = score_own_scan(
        chosen.model,
        chosen.scan,
        chosen.folder,
        chosen.brain,
        chosen.skull_strip or ("given" if chosen.brain else "atlas"),
        chosen.atlas,
        device.choose(chosen.device),
    )
    for flag in quality["flags"]:
        print(f"look at the picture of quality control: {flag}", file=sys.stderr)
    print(f"{chosen.folder}/heatmap.nii.gz")
    return 0


def _simulate(chosen: argparse.Namespace) -> int:
    from patch2loc.acquire.phantom.cohort import write_cohort

    settings = {
        "anatomy_spacing": chosen.spacing,
        "voxel_size": [chosen.spacing] * 3,
        "noise": chosen.noise,
    }
    write_cohort(
        Path(chosen.folder), chosen.cohort, range(chosen.subjects), chosen.seed, settings, chosen.workers
    )
    print(chosen.folder)
    return 0


def _trace(chosen: argparse.Namespace) -> int:
    from patch2loc.provenance import trace

    chain = trace(chosen.file)
    if not chain:
        raise InputError(
            f"{chosen.file}: no {chosen.file}.provenance.json beside it; give a result of the workflow"
        )
    if chosen.json:
        print(json.dumps(chain, indent=1))
        return 0
    for entry in chain:
        changed = "  CHANGED SINCE" if entry["changed"] else ""
        print(f"{entry['file']}{changed}")
        print(f"  sha256 {entry['sha256'][:16]}  code {entry['code']}  subjects {len(entry['subjects'])}")
        print(
            f"  environment {', '.join(f'{name} {version}' for name, version in entry['environment'].items())}"
        )
        print(f"  configuration {json.dumps(entry['configuration'])}")
        print(f"  inputs {len(entry['inputs'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
