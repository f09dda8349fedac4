"""The paper's first day, rehearsed: from archives in their official layouts to the report, by the commands of README.

    .venv/bin/python tests/support/rehearsal.py results/rehearsal --cores 2

`make rehearsal` does this.  In a clean clone of this repository's last commit:

1. archives of IXI, SRI24, WMH 2017, BraTS 2021, MSLUB and ATLAS are made, in their official layouts, with simulated
   heads at 1 mm (rehearsal_archives); what can be downloaded is served to PATCH2LOC_MIRROR over the loopback;
2. `snakemake data` downloads and unpacks them;
3. config/config.yaml runs as it is, but for budgets and folds (BUDGET), and for saying that the scans are simulated, to
   the end: tables, figures, report, crate; then the heatmaps are carried back to the scans;
4. what a person would look at is checked (rehearsal_checks).

`--also` goes on, with what is there, to days that go otherwise (rehearsal_variants): 20 of the 30 patients of MSLUB
have come, there is no T2, the disk is full half-way.

What differs from the day itself: subjects are few, scans are simulated, the atlas is a stand-in made from ICBM152; the
clone's config/registry.csv has no sizes and checksums of IXI-T1.tar, IXI-T2.tar and sri24_anatomy_nifti.zip, as no
simulated file can have those of the real ones.  The numbers mean nothing.
"""

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import replica
import yaml
from rehearsal_archives import BROKEN, served_files, write_archives
from rehearsal_checks import CHECKS, LESION_SUBJECTS, LISTED, broken_scan_is_named
from rehearsal_variants import VARIANTS, jobs
from repository_paths import ROOT

SOURCES = ("ixi_t1", "ixi_t2", "sri24", "brats21", "mslub", "atlas", "wmh")
# All of the paper's configuration that is changed.
BUDGET = {
    "folds": [0],
    "training": {
        "patches": 30_000,
        "batch": 512,
        "validation_patches": 4096,
        "validations": 4,
        "threads": 1,
        "memory_mb": 4000,
    },
    "score": {"stride": 8, "threads": 1},
    "device": "cpu",
    "missing_scans": "skip",
}
# The same steps in less time: networks learn next to nothing, heatmaps are coarse.
QUICK = {**BUDGET, "training": {**BUDGET["training"], "patches": 2048, "batch": 256, "validations": 2}}
QUICK = {**QUICK, "score": {"stride": 12, "threads": 1}}


class Rehearsal:
    """A rehearsal in a folder: its clone of the repository, and what is told of it."""

    def __init__(self, folder, cores, budget):
        self.folder, self.cores, self.budget = Path(folder).resolve(), cores, budget
        self.archives, self.clone = self.folder / "archives", self.folder / "clone"
        self.results = self.clone / "results/paper"
        self.began = time.monotonic()
        self.commands = 0

    def say(self, text):
        """Tell a line with the time since the beginning."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        print(f"{minutes:3d}:{seconds:02d}  {text}", flush=True)

    def note(self, text):
        """Tell a detail."""
        print(f"        {text}", flush=True)

    def check(self, check):
        """Do a check and tell what it says, or that this machine cannot do it."""
        about = check.__doc__.splitlines()[0]
        try:
            check(self)
        except pytest.skip.Exception as skipped:
            self.say(f"not done: {about} ({skipped})")
        else:
            self.say(f"ok  {about}")

    def snakemake(self, *arguments, **environment):
        """Run `snakemake --cores N ...` in the clone; its exit status and what it said, which is kept in a file."""
        self.commands += 1
        self.say(f"$ snakemake --cores {self.cores} {' '.join(arguments)}")
        command = [sys.executable, "-m", "snakemake", "--cores", str(self.cores), *arguments]
        unset = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        log = self.folder / f"said_{self.commands}.txt"
        with open(log, "w", encoding="utf-8") as said:
            result = subprocess.run(
                command, cwd=self.clone, stdout=said, stderr=subprocess.STDOUT, env={**unset, **environment}
            )
        text = log.read_text(encoding="utf-8")
        self.say(f"exit {result.returncode}, {log}")
        return result.returncode, text

    def run_paper(self, *arguments):
        """Run the paper's configuration with the budget on top; as `snakemake`."""
        (self.clone / "rehearsal.yaml").write_text(yaml.safe_dump(self.budget), encoding="utf-8")
        return self.snakemake(*arguments, "--configfile", "config/config.yaml", "rehearsal.yaml")


def clean_clone(rehearsal):
    """Clone the repository, and take the checksums out of its registry that simulated archives cannot have."""
    rehearsal.folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(rehearsal.clone, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(rehearsal.clone)], check=True)
    rehearsal.say(f"clone of {_git('log', '-1', '--format=%h %s')}")
    if _git("status", "--porcelain", "--untracked-files=no"):
        rehearsal.note("what is not committed is not in it")
    path = rehearsal.clone / "config/registry.csv"
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    changed = [row for row in rows if (rehearsal.archives / "served" / row["file"]).is_file()]
    assert len(changed) == 3
    for row in changed:
        row |= {"bytes": "", "checksum": ""}
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _git(*arguments):
    """What Git says of this repository."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def without_data(rehearsal):
    """Without data: one message, which names every source, where to get it, and no traceback."""
    status, said = rehearsal.snakemake()
    assert status
    for name in SOURCES:
        assert re.search(rf"^\s*{name}[:,] ", said, re.MULTILINE), name
    assert "snakemake data" in said
    assert "Traceback" not in said, said


def archives_by_hand(rehearsal):
    """Put what a person has to get into data/downloads."""
    shutil.copytree(rehearsal.archives / "by_hand", rehearsal.clone / "data/downloads", dirs_exist_ok=True)


def data_without_passphrase(rehearsal):
    """`snakemake data` downloads and unpacks all but ATLAS, and asks for its passphrase."""
    with replica.serve(served_files(rehearsal.archives)) as server:
        status, said = rehearsal.snakemake("data", PATCH2LOC_MIRROR=server.address)
    assert status == 0, said[-4000:]
    assert "PATCH2LOC_ATLAS_PASSPHRASE" in said
    unpacked = {path.name for path in (rehearsal.clone / "data").glob("*.unpacked.json")}
    assert unpacked == {f"{name}.unpacked.json" for name in ("ixi", "sri24", "wmh", "brats21", "mslub")}


def data_with_passphrase(rehearsal):
    """With the passphrase `snakemake data` unpacks ATLAS alone, and says who is missing; no file has the passphrase."""
    secret = {"PATCH2LOC_ATLAS_PASSPHRASE": replica.PASSPHRASE, "PATCH2LOC_MIRROR": "http://127.0.0.1:9"}
    status, said = rehearsal.snakemake("data", **secret)
    assert status == 0, said[-4000:]
    assert jobs(said)["unpack"] == 1
    for name, count in subjects_there().items():
        assert f"{name}: {count} of {LISTED[name]:,} subjects are there" in said, name
    assert replica.PASSPHRASE not in said
    written = [
        path for part in ("data", "results", ".snakemake") for path in (rehearsal.clone / part).rglob("*")
    ]
    small = [path for path in written if path.is_file() and path.stat().st_size < 1_000_000]
    assert not [path for path in small if replica.PASSPHRASE.encode() in path.read_bytes()]


def subjects_there():
    """How many subjects of the lesion datasets have all their files: with the one that is cut off."""
    counts = {name: len(subjects) for name, subjects in LESION_SUBJECTS.items()}
    return counts | {"atlas": counts["atlas"] + 1}


def part_of_the_data_is_told(rehearsal):
    """Planning says how many subjects of each dataset are there, and that a person can run with these."""
    status, said = rehearsal.run_paper("--dry-run", "--quiet", "rules")
    assert status == 0, said[-6000:]
    for name, count in subjects_there().items():
        assert f"{count} of {LISTED[name]:,} of {name}" in said, said[:6000]


def whole_run_names_the_broken_scan(rehearsal):
    """The whole run makes everything, and ends with an error that names the scan that is cut off."""
    status, said = rehearsal.run_paper()
    assert status, "no error for a scan that is cut off"
    assert re.search(rf"1 of \d+ scans were left out.*\n\s*atlas, {BROKEN}: ", said), said[-6000:]
    assert jobs(said)["train"] == 6
    assert (rehearsal.results / "ro-crate-metadata.json").is_file()


def broken_scan_accepted(rehearsal):
    """With that scan under `leave_out` the same command succeeds; nothing is trained again."""
    rehearsal.budget["datasets"]["atlas"]["leave_out"] = [BROKEN]
    status, said = rehearsal.run_paper()
    assert status == 0, said[-6000:]
    done = jobs(said)
    assert not {"preprocess", "train", "landmarks"} & set(done), done
    rehearsal.note(f"{done.total()} jobs")


def heatmaps_carried_back(rehearsal):
    """The target native_space carries the heatmaps back to the scans."""
    status, said = rehearsal.run_paper("native_space")
    assert status == 0, said[-6000:]


def rehearse(folder, cores, budget):
    """Rehearse the whole day.

    Raises:
        AssertionError: Something is not as a person would expect it.
    """
    rehearsal = Rehearsal(folder, cores, {**budget, "datasets": {}})
    write_archives(rehearsal.archives, cores)
    rehearsal.say(f"archives in {rehearsal.archives}")
    clean_clone(rehearsal)
    config = yaml.safe_load((rehearsal.clone / "config/config.yaml").read_text(encoding="utf-8"))
    rehearsal.budget["datasets"] = {name: {"simulated": True} for name in config["datasets"]}
    rehearsal.check(without_data)
    archives_by_hand(rehearsal)
    for step in (
        data_without_passphrase,
        data_with_passphrase,
        part_of_the_data_is_told,
        whole_run_names_the_broken_scan,
        broken_scan_is_named,
        broken_scan_accepted,
        heatmaps_carried_back,
        *CHECKS,
    ):
        rehearsal.check(step)
    return rehearsal


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="folder of the rehearsal")
    parser.add_argument("--cores", default="2", help="number of cores, or all")
    parser.add_argument("--quick", action="store_true", help="fewer patches and a coarser stride")
    parser.add_argument("--also", nargs="*", choices=VARIANTS, default=[], help="what else to rehearse")
    options = parser.parse_args()
    cores = os.cpu_count() if options.cores == "all" else int(options.cores)
    rehearsal = rehearse(options.folder, cores, QUICK if options.quick else BUDGET)
    for name in options.also:
        rehearsal.check(VARIANTS[name])
    rehearsal.say("all of it")


if __name__ == "__main__":
    main()
