"""Time and memory of planning the whole paper: `snakemake -n` over a replica of all file names.

    python benchmarks/plan_paper.py [configuration ...]

Several configurations are one on top of the other, e.g. config/config.yaml config/table1.yaml.  Makes an empty file for
every scan, mask and file of weights that they name, in a temporary folder.  Writes the jobs of each rule to
benchmarks/plan_paper.csv, or plan_NAME.csv after the last of several.
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from patch2loc.acquire import sources

ROOT = Path(__file__).resolve().parents[1]


def main(*configfiles: str) -> None:
    """Plan and report."""
    paths = [Path(path).resolve() for path in configfiles or [ROOT / "config/config.yaml"]]
    configuration: dict = {}
    for path in paths:
        configuration |= yaml.safe_load(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        count = make_replica(configuration, Path(folder))
        start = time.perf_counter()
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--dry-run"]
        command += ["--workflow-profile", str(ROOT / "profiles/default"), "--quiet", "rules"]
        command += ["--configfile", *map(str, paths), "--directory", folder]
        result = subprocess.run(command, capture_output=True, text=True)
        wall = time.perf_counter() - start
    if result.returncode:
        sys.exit(result.stdout + result.stderr)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = re.findall(r"^(\w+) +(\d+)$", result.stdout + result.stderr, re.MULTILINE)
    jobs = pd.DataFrame(found, columns=["rule", "jobs"]).drop_duplicates("rule")  # said twice
    name = paths[-1].stem if len(paths) > 1 else "paper"
    jobs.to_csv(ROOT / f"benchmarks/plan_{name}.csv", index=False)
    print(jobs.to_string(index=False))
    print(f"{count} files; {wall:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of processor time, ", end="")
    print(f"{used.ru_maxrss / 1024:.0f} MB")


def make_replica(configuration: dict, folder: Path) -> int:
    """Make the files that the configuration names, empty, and the lists that it reads; how many files."""
    if folder != ROOT:
        (folder / "splits").symlink_to(ROOT / "splits")
    data = folder / configuration["data"]
    made = [data / configuration["atlas"] / name for name in ("spgr.nii", "late.nii")]
    made += [folder / path for path in configuration.get("pretrained", {}).values() if path]
    for name, dataset in configuration["datasets"].items():
        split = dataset["split"]
        source = dataset["source"] | {"root": data / dataset["source"]["root"]}
        listed = split["published"] if isinstance(split, dict) else split
        described = {"name": name, "modality": dataset["modality"], "subjects": ROOT / listed, **source}
        for paths in sources.sources(described).values():
            made += [path for path in paths.values() if path]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return len(made)


if __name__ == "__main__":
    main(*sys.argv[1:])
