"""Tables of README.md and of the model card, written from the measurements of benchmarks/model_card.py.

    python benchmarks/card_tables.py

Replaces each table that has the same first line on the page.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd

from patch2loc.own_scan.sentence import expected_ml
from patch2loc.own_scan.warnings import FEWEST_HEALTHY
from patch2loc.score.reference import MAPS

ROOT = Path(__file__).resolve().parents[1]
README, CARD = ROOT / "README.md", ROOT / "workflow/scripts/patch2loc/trained/t1-2mm.md"
MEASURED = pd.read_csv(ROOT / "benchmarks/model_card_t1_2mm.csv")
FOLDS = pd.read_csv(ROOT / "benchmarks/model_card_cross.csv")
PANEL = pd.read_csv(ROOT / "benchmarks/out_of_purpose.csv")
GROUPS = {
    "IXI Hammersmith": "IXI",
    "ds000011": "ds000011",
    "ds002748": "ds002748",
    "Kirby21": "Kirby21, another scanner",
    "Colin27": "Colin27, mean of 27 scans",
    "MNI152": "MNI152, mean of 152 brains",
}
PATIENTS = {
    "BraTS2021_00006": "BraTS2021_00006, glioma",
    "TCGA-FG-6692": "TCGA-FG-6692, glioma, automatic lesion mask",
    "patient07": "MSLUB patient07, multiple sclerosis",
    "patient26": "MSLUB patient26, multiple sclerosis",
}
OUTSIDE = 100  # percentile of a scan outside the healthy range: more abnormal than all healthy scans


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table as the pages have it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|" for line in lines
    ).replace(" --- ", "---")


def several(volumes_ml: pd.Series) -> str:
    """Volumes in one or two scans; else their median, what 95 % do not exceed (of 20 or more), and the greatest."""
    if len(volumes_ml) <= 2:
        return " and ".join(f"{value:.1f}" for value in sorted(volumes_ml))
    expected = expected_ml(np.asarray(volumes_ml))
    most = f"{expected['most']:.1f}" if len(volumes_ml) >= FEWEST_HEALTHY else "-"
    return f"{expected['median']:.1f}, {most}, {max(volumes_ml):.1f}"


def of_maps(scans: pd.DataFrame) -> list[str]:
    """Volumes by each map, the joined one first."""
    return [several(scans.loc[scans["map"] == name, "abnormal_ml"]) for name in MAPS]


def healthy_table() -> str:
    """Candidates in healthy scans that the model has not seen."""
    rows = []
    for group, scans in MEASURED[MEASURED["kind"] == "healthy"].groupby("group", sort=False):
        error = scans["location_error"].median()
        rows.append([GROUPS[group], str(scans["subject"].nunique()), *of_maps(scans), f"{error:.1f}"])
    volumes = ["joined: median, 95 %, most", "patch2loc", "zscore"]
    return markdown(["scans", "n", *volumes, "location error, % of the grid"], rows)


def folds_table() -> str:
    """The same in five folds of the two smaller sites."""
    rows = []
    for group, scans in FOLDS[FOLDS["kind"] == "healthy"].groupby("group", sort=False):
        outside = int((scans.loc[scans["map"] == "joined", "percentile"] == OUTSIDE).sum())
        rows.append([group, str(scans["subject"].nunique()), *of_maps(scans), str(outside)])
    volumes = ["joined: median, 95 %, most", "patch2loc", "zscore"]
    return markdown(["scans", "n", *volumes, "outside the healthy range, joined"], rows)


def inserted() -> pd.DataFrame:
    """Strokes inserted into healthy scans, with what the card calls first and outside."""
    strokes = MEASURED[MEASURED["kind"] == "painted"]
    return strokes.assign(
        first=strokes["first_hit"] == 1,
        outside=strokes["percentile"] == OUTSIDE,
        contrast=strokes["group"].str.removeprefix("contrast "),
    )


def inserted_table() -> str:
    """What is found of them."""
    strokes, rows = inserted(), []
    for contrast, group in strokes.groupby("contrast", sort=False):
        for place, name in enumerate(MAPS):
            scans = group[group["map"] == name]
            rows.append(
                [
                    contrast if place == 0 else "",
                    name,
                    *(f"{scans[column].mean():.2f}" for column in ("auprc", "dice")),
                    *(f"{100 * scans[column].mean():.0f} %" for column in ("first", "outside")),
                ]
            )
    chance = strokes["prevalence"].mean()
    measures = [f"AUPRC (chance {chance:.3f})", "Dice at the threshold", "first", "outside"]
    return markdown(["contrast", "map", *measures], rows)


def millilitres(value: float) -> str:
    """A volume with two digits that count."""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def chance(value: float) -> str:
    """A prevalence."""
    return f"{value:.2f}" if value >= 0.01 else f"{value:.3f}"


def patient(subject: str) -> pd.DataFrame:
    """What each map gives for a patient."""
    scans = MEASURED[(MEASURED["kind"] != "healthy") & (MEASURED["kind"] != "painted")]
    return scans[scans["subject"].str.endswith(subject)].set_index("map")


def patients_table() -> str:
    """What is found of the lesions of four patients."""
    rows = []
    for subject, name in PATIENTS.items():
        for place, (map_name, one) in enumerate(patient(subject).loc[list(MAPS)].iterrows()):
            rows.append(
                [
                    name if place == 0 else "",
                    millilitres(one["lesion_ml"]) if place == 0 else "",
                    map_name,
                    f"{one['auprc']:.2f}" + (f" ({one['prevalence']:.3f})" if place == 0 else ""),
                    f"{one['dice']:.2f}, {one['best_dice']:.2f}",
                    "yes" if one["first_hit"] == 1 else "no",
                    f"{one['percentile']:.0f}",
                ]
            )
    measures = ["AUPRC (chance)", "Dice at the threshold, best", "first candidate in the lesion"]
    return markdown(["", "lesion, ml", "map", *measures, "percentile of the scan"], rows)


def panel_table() -> str:
    """What is said of scans that the detector is not for."""
    outcomes = ["refused", "cannot be judged", "warned", "reported"]
    rows = []
    for kind, scans in PANEL.groupby("kind", sort=False):
        simulated = scans["origin"].str.startswith("simulated").all()
        counts = scans["outcome"].value_counts().reindex(outcomes, fill_value=0)
        errors = scans["location_error_best_eighth"].dropna()
        rows.append(
            [
                f"{str(kind).removesuffix(' (simulated)')} (simulated)" if simulated else str(kind),
                *(str(count) if count else "" for count in counts),
                " to ".join(
                    dict.fromkeys(f"{error:.1f}" for error in (errors.min(), errors.max()) if error > 0)
                ),
            ]
        )
    return markdown(["scans", *outcomes, "location error of the best eighth"], rows)


def readme_table() -> str:
    """AUPRC of the four patients."""
    rows = []
    for subject, name in PATIENTS.items():
        maps = patient(subject)
        scores = [f"{maps.loc[each, 'auprc']:.2f}" for each in ("patch2loc", "zscore", "joined")]
        lesion, prevalence = maps.loc["joined", ["lesion_ml", "prevalence"]]
        rows.append([name, f"{millilitres(lesion)} ml", *scores, chance(prevalence)])
    return markdown(["Patient", "Lesion", "Location", "Z-score (control)", "Both", "Random"], rows)


def with_table(page: str, table: str) -> str:
    """The page with this table in the place of the one that has the same first line.

    Raises:
        ValueError: No table on the page begins so.
    """
    header = table.partition("\n")[0]
    before, found, rest = page.partition(f"\n{header}\n")
    if not found:
        raise ValueError(f"no table begins with {header}")
    lines = rest.split("\n")
    end = next(number for number, line in enumerate(lines) if not line.startswith("|"))
    return f"{before}\n{table}\n" + "\n".join(lines[end:])


def tables(path: Path) -> list[str]:
    """The tables of a page that are measured."""
    made = {
        README: [readme_table],
        CARD: [healthy_table, folds_table, inserted_table, patients_table, panel_table],
    }
    return [table() for table in made[path]]


def with_tables(page: str, path: Path) -> str:
    """The page with all tables that are measured."""
    for table in tables(path):
        page = with_table(page, table)
    return page


if __name__ == "__main__":
    for path in (README, CARD):
        path.write_text(with_tables(path.read_text(encoding="utf-8"), path), encoding="utf-8")
