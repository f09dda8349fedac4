"""Days that go otherwise than the paper's first day, on top of what a rehearsal has made."""

import os
import re
import shutil
from collections import Counter

import pandas as pd
import replica
from rehearsal_archives import MORE_OF_MSLUB, MSLUB, write_more_patients
from small_disks import mounted, resize

from patch2loc.files import sha256

NOT_REACHED = {"PATCH2LOC_MIRROR": "http://127.0.0.1:9"}  # nothing is downloaded
HEAVY = {"preprocess", "landmarks", "train", "score", "score_validation"}
T2_DATA = ("ixi/IXI-T2", "brats21", "mslub")
T2_RESULTS = ("ixi_t2", "brats21", "mslub", "T2")
MADE_ANEW = (
    "tables",
    "figures",
    "report",
    "report.html",
    "ro-crate-metadata.json",
    "workflow",
    "logs",
    "metrics",
)
ROOM = 60_000_000  # bytes that a disk has left: for a part of the heatmaps that are still to come
TIMED = re.compile(
    r"seconds\.csv|\.tsv|\.log|provenance\.json|\.snakemake_timestamp"
)  # differ from run to run

TIMED_FOLDERS = ("tables", "logs", "benchmarks", "metrics")  # metrics have the seconds of scoring


def jobs(said):
    """How many jobs of each rule a run has begun."""
    return Counter(re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE))


def part_of_mslub(rehearsal):
    """20 of 30 patients of MSLUB: they alone are unpacked and scored, nothing is trained, Table 1 says 20 of 30."""
    more = rehearsal.folder / "archives_more"
    write_more_patients(more, rehearsal.cores)
    for patient in MORE_OF_MSLUB:
        shutil.copy(more / f"{patient}.zip", rehearsal.clone / "data/downloads/mslub")
    secret = {"PATCH2LOC_ATLAS_PASSPHRASE": replica.PASSPHRASE}
    status, said = rehearsal.snakemake("data", **NOT_REACHED, **secret)
    assert status == 0, said[-4000:]
    assert jobs(said)["unpack"] == 1
    missing = f"{rehearsal.results}/tables/missing_scans.csv"
    status, said = rehearsal.run_paper("table1", os.path.relpath(missing, rehearsal.clone))
    assert status == 0, said[-6000:]
    done = jobs(said)
    rehearsal.note(", ".join(f"{count} {name}" for name, count in done.items()))
    assert done["preprocess"] == len(MORE_OF_MSLUB)
    assert not {"landmarks", "train", "score_validation"} & set(done), done
    assert done["score"] == 3  # by every method
    text = (rehearsal.results / "tables/table1.md").read_text(encoding="utf-8")
    assert "20 of 30" in text
    assert "20 of MSLUB" in text
    rows = pd.read_csv(missing)
    rows = rows[rows["dataset"] == "mslub"]
    patients = {f"patient{number:02d}" for number in range(1, 31)}
    assert set(rows["subject"]) == patients - {*MSLUB, *MORE_OF_MSLUB}
    assert "20 of 30 of mslub" in said


def without_t2(rehearsal):
    """Without T2 (no IXI-T2, no BraTS, no MSLUB): the run says so and ends with tables, figures and report of T1."""
    results = rehearsal.clone / "results/without_t2"
    link_results(rehearsal.results, results, *MADE_ANEW, *T2_RESULTS)
    data, aside = rehearsal.clone / "data", rehearsal.folder / "aside"
    moved = [(data / name, aside / name) for name in T2_DATA]
    try:
        for here, there in moved:
            there.parent.mkdir(parents=True, exist_ok=True)
            here.rename(there)
        status, said = rehearsal.run_paper("--config", "results=results/without_t2")
    finally:
        for here, there in moved:
            if there.exists():
                there.rename(here)
    assert status == 0, said[-6000:]
    done = jobs(said)
    assert not HEAVY & set(done), done
    for name in ("ixi_t2", "brats21", "mslub"):
        assert re.search(rf"\b0 of [\d,]+ of {name}\b", said), name
    table = pd.read_csv(results / "tables/table1.csv")
    assert set(table["dataset"]) == {"atlas", "wmh"}
    assert not [path for path in results.rglob("*") if path.name in T2_RESULTS]
    assert (results / "report.html").is_file()
    assert (results / "ro-crate-metadata.json").is_file()


def full_disk(rehearsal):
    """A disk that is full half-way: the run says where, no file is damaged, and with room the same command goes on."""
    results = rehearsal.clone / "results/full_disk"
    link_results(rehearsal.results, results, *MADE_ANEW, "thresh", "zscore", "benchmarks")
    for method in ("thresh", "zscore"):  # their models stay, their heatmaps are to come
        link_results(rehearsal.results / "models" / method, results / "models" / method)
    size = sum(path.stat().st_size for path in results.rglob("*") if path.is_file()) + ROOM
    with mounted(results, str(size)):
        status, said = rehearsal.run_paper("table1", "--config", "results=results/full_disk")
        assert status, "no error on a full disk"
        assert re.search(r"results/full_disk\S*: No space left on device; make room there", said), said[
            -6000:
        ]
        kept = same_as(rehearsal.results, results)
        scored = len(list(results.glob("heatmaps/*/*/fold0/*.nii.gz")))
        rehearsal.note(f"{kept} files as they were; {scored} heatmaps")
        resize(results, "4g")
        status, said = rehearsal.run_paper("table1", "--config", "results=results/full_disk")
        assert status == 0, said[-6000:]
        assert not {"preprocess", "landmarks", "train"} & set(jobs(said)), jobs(said)
        rehearsal.note(f"{same_as(rehearsal.results, results)} files as in the run on one disk")
        assert not list(results.rglob("*.partial"))
        expected = pd.read_csv(rehearsal.results / "tables/table1.csv")
        pd.testing.assert_frame_equal(pd.read_csv(results / "tables/table1.csv"), expected)
    results.rmdir()


VARIANTS = {"part-of-mslub": part_of_mslub, "without-t2": without_t2, "full-disk": full_disk}


def link_results(source, target, *without):
    """The same results under another folder, but for files and folders of some names; takes no room."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(
        source, target, copy_function=os.link, ignore=shutil.ignore_patterns(*without), dirs_exist_ok=True
    )


def same_as(expected, folder):
    """Number of files of a folder, all of which are byte for byte as in another one, but for times and tables.

    What a job that was cut off keeps for the next one, below *.partial, is not compared.
    """
    count = 0
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        unfinished = any(part.endswith(".partial") for part in relative.parts)
        if not path.is_file() or unfinished or relative.parts[0] in TIMED_FOLDERS or TIMED.search(path.name):
            continue
        assert (expected / relative).is_file(), f"{path}: left behind"
        assert sha256(path) == sha256(expected / relative), path
        count += 1
    return count
