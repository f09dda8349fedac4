"""Numbers of an answer in words, the same on the picture, on the page and in the index."""

from typing import NamedTuple

import pandas as pd

from patch2loc.own_scan.answer import CUT_MM, Answer

SIMULATED = "SIMULATED MODEL"
SIMULATED_NOTE = "Trained on simulated scans: this says nothing about a patient."
MAPS = {"joined": "Patch2Loc and z-score joined", "patch2loc": "Patch2Loc", "zscore": "z-score"}
SPACES = {"icbm152": "MNI", "sri24": "SRI24"}
MIRROR = "⇄"  # before the number of a candidate's mirror image
CUT = "cut"
LARGEST_STATED = 6  # rarity; rarer than one in a million no reference can tell


class CandidateText(NamedTuple):
    """A row of the table of candidates as text."""

    number: str
    volume: str
    place: str
    where: str
    peak: str
    percentile: str


CANDIDATE_HEADINGS = CandidateText(
    "No.", "Volume", "Place ({}, mm)", "Side, tissue", "Highest voxel", "Percentile"
)
CANDIDATE_NOTE = (
    "Highest voxel: one healthy voxel in so many scores as high. Percentile: share of the healthy scans whose largest "
    f"candidate is smaller. {MIRROR}2: the mirror image of candidate 2, as anatomy often is. "
    f"{CUT.capitalize()}: within {CUT_MM:.0f} mm of brain that is not in the scan or its mask."
)


def candidate_texts(answer: Answer) -> list[CandidateText]:
    """Rows of the table of candidates, in its order."""
    return [
        CandidateText(
            str(row["label"]),
            f"{row['volume_ml']:.1f} ml",
            ", ".join(f"{round(row[name]):d}" for name in ("x_mm", "y_mm", "z_mm")).replace("-", "−"),
            ", ".join(str(row[name]) for name in ("side", "tissue") if not pd.isna(row[name]))
            + ("" if pd.isna(row["mirror_of"]) else f" {MIRROR}{row['mirror_of']}")
            + (f", {CUT}" if row["at_cut"] else ""),
            one_in(row["peak"]),
            "–" if pd.isna(row["percentile"]) else f"{row['percentile']:.0f} %",
        )
        for row in answer.candidates.to_dict("records")
    ]


def candidate_headings(answer: Answer) -> CandidateText:
    """Headings of `candidate_texts`, with the space of the places."""
    space = SPACES.get(answer.atlas, answer.atlas)
    return CandidateText(*(heading.format(space) for heading in CANDIDATE_HEADINGS))


def brain_line(answer: Answer) -> str:
    """How the brain was found, as a sentence."""
    return f"Brain: {answer.brain_found}."


def one_in(rarity: float) -> str:
    """A rarity as one in so many, to two digits."""
    if rarity > LARGEST_STATED:
        return f"1 in > {10**LARGEST_STATED:,}"
    return f"1 in {float(f'{10 ** max(0.0, rarity):.2g}'):,.0f}"


def warnings_heading(count: int) -> str:
    """Heading of the box of warnings."""
    return "Warning: read this first" if count == 1 else f"{count} warnings: read these first"
