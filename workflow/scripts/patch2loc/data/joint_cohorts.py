"""Cohorts of people of whom scans of several contrasts can be used."""

from collections.abc import Sequence
from pathlib import Path

from patch2loc.errors import InputError
from patch2loc.files import read_json, write_json


def write_joint_cohort(path: str | Path, cohorts: Sequence[str | Path]) -> None:
    """Write the list of a joint cohort: the scans of the first cohort whose people have a usable scan in all.

    Args:
        path: File to write, in the form of `data.scans.write_cohort`. Everybody else is in `left_out`, with the reason.
        cohorts: Lists of the cohorts, one for each contrast, as `data.scans.write_cohort` writes them.

    Raises:
        InputError: Nobody has a usable scan in all of them.
    """
    contents = {str(cohort): read_json(cohort) for cohort in cohorts}
    first = next(iter(contents.values()))
    left_out: dict[str, str] = {}
    for name, content in contents.items():
        for subject in (
            subject for each in contents.values() for subject in (*each["scans"], *each["left_out"])
        ):
            if subject not in content["scans"]:
                reason = content["left_out"].get(subject, f"no {content['modality']} scan in {name}")
                left_out.setdefault(subject, reason)
    complete = [subject for subject in first["scans"] if subject not in left_out]
    if not complete:
        examples = "; ".join(f"{subject}: {reason}" for subject, reason in list(left_out.items())[:3])
        raise InputError(
            f"{' and '.join(contents)}: nobody with a usable scan in each found, at least one person expected "
            f"({examples}); see tables/quality.csv"
        )
    write_json(
        path,
        {
            "modality": first["modality"],
            "scans": {subject: first["scans"][subject] for subject in complete},
            "contents": {subject: first["contents"][subject] for subject in complete},
            "left_out": left_out,
        },
    )
