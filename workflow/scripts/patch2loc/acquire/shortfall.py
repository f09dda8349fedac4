"""How much of a dataset is there: lines for messages."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from patch2loc.acquire import sources
from patch2loc.errors import first_of

SKIP = "missing_scans=skip"  # as on the command line
MOST_NAMED = 5  # missing subjects


def shortfall(dataset: Mapping[str, Any], fetched: Collection[Path] = ()) -> list[str]:
    """Lines on the missing files of a dataset, and whose they are, or of an atlas; [] if none is missing.

    Args:
        dataset: With its `name`, as `acquire.sources` takes it.
        fetched: Missing files that a rule fetches.
    """
    name = dataset["name"]
    if dataset["kind"] == "atlas":
        files = sources.missing(dataset)
        return [f"{name}, the atlas: {' and '.join(map(str, files))} missing"] if files else []
    needed = {
        subject: [path for path in files if path not in fetched]
        for subject, files in sources.missing_files(dataset).items()
    }
    missing = {subject: files for subject, files in needed.items() if files}
    if not missing:
        return []
    files = list(dict.fromkeys(path for files in missing.values() for path in files))
    listed = len(sources.sources(dataset)) - len(dataset.get("leave_out", ()))
    if len(missing) == listed:
        return [f"{name}: none of {listed:,} subjects is there; the first file expected is {files[0]}"]
    first = first_of(missing, MOST_NAMED)
    return [
        f"{name}: {listed - len(missing):,} of {listed:,} subjects are there, {len(missing):,} missing: {first}",
        f"  files: {len(files):,} missing, the first is {files[0]}",
    ]


def closing_note(datasets: Mapping[str, Mapping[str, Any]]) -> str:
    """What is still missing once all that can be obtained is there, a line for each dataset.

    Args:
        datasets: {name: dataset}.
    """
    short = {name: lines[0] for name, dataset in datasets.items() if (lines := shortfall(dataset))}
    if not short:
        return f"All scans of {', '.join(datasets)} are there."
    return "\n".join(
        [
            f"Not all scans are there, of {len(short)} of {len(datasets)}:",
            *(f"  {line}" for line in short.values()),
            "`snakemake --dry-run data` says what to do about each of them; to run with what is there, add",
            f"--config {SKIP} to the command.",
        ]
    )
