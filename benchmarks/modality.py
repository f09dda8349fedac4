"""The contrast of a scan: fits the discriminant of patch2loc.preprocess.modality, and counts its errors.

    python benchmarks/modality.py simulated [--heads 24] [--scans 12]
    python benchmarks/modality.py real TABLE [--atlas icbm152]

`simulated` draws heads (the package's phantom, its tissue carried to the grid with an error of registration) and for
each of them protocols of every contrast: tissue signals by the signal equations of spin echo, spoiled gradient echo and
inversion recovery at 1.5 and 3 T.  The discriminant is fitted to one half of the heads and printed, to be written into
the module; the other half gives the error rates, of the constants that the module has: benchmarks/modality.csv.  No
real scan and no lesion takes part.

`real` preprocesses each scan of TABLE as each modality: benchmarks/modality_real.csv.  TABLE is a CSV of site, contrast
(T1, T2, PD or FLAIR), scan, skull_strip and brain (a mask, or empty), with paths relative to its folder.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy import ndimage

from patch2loc.acquire.phantom import anatomy, template
from patch2loc.acquire.phantom.fields import smooth_field
from patch2loc.data.modalities import MODALITIES
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError
from patch2loc.files import write_csv
from patch2loc.preprocess.atlas import Atlas, common_grid, load_atlas
from patch2loc.preprocess.images import resample
from patch2loc.preprocess.modality import (
    DISCRIMINANT,
    TissueOrder,
    log_odds,
    tissue_order,
    tissue_samples,
    verdict,
)
from patch2loc.preprocess.scan import preprocess_scan

HERE = Path(__file__).resolve().parent
CONTRASTS = tuple(DISCRIMINANT)
SHAPE, SPACING = (96, 96, 50), 2.0
SEED = 20
# T1 and T2 in ms and proton density over that of fluid, lowest and highest published value.
# 1.5 T: Kwan, Evans and Pike 1999 (BrainWeb), Stanisz et al. 2005, Rooney et al. 2007 (T1 of fluid and gray matter).
# 3 T: Wansapura et al. 1999, Stanisz et al. 2005, Rooney et al. 2007; densities as at 1.5 T.
RELAXATION = {
    1.5: {
        "csf": ((2569, 4300), (329, 2000), (1.0, 1.0)),
        "gray": ((833, 1188), (83, 100), (0.80, 0.86)),
        "white": ((500, 884), (70, 80), (0.65, 0.77)),
    },
    3.0: {
        "csf": ((3800, 4300), (329, 2000), (1.0, 1.0)),
        "gray": ((1331, 1820), (80, 110), (0.80, 0.86)),
        "white": ((832, 1084), (69, 80), (0.65, 0.77)),
    },
}
T2_STAR = 0.7  # of T2, in gradient echoes


def spin_echo(t1: float, t2: float, density: float, *, tr: float, te: float) -> float:
    """Signal of a spin echo; of a fast one at its effective echo time."""
    return density * (1 - 2 * np.exp(-(tr - te / 2) / t1) + np.exp(-tr / t1)) * np.exp(-te / t2)


def inversion_recovery(t1: float, t2: float, density: float, *, tr: float, te: float, ti: float) -> float:
    """Magnitude of an inversion recovery."""
    return abs(density * (1 - 2 * np.exp(-ti / t1) + np.exp(-tr / t1))) * np.exp(-te / t2)


def spoiled_echo(t1: float, t2: float, density: float, *, tr: float, te: float, angle: float) -> float:
    """Signal of a spoiled gradient echo; angle in degrees."""
    decay, flip = np.exp(-tr / t1), np.deg2rad(angle)
    steady = np.sin(flip) * (1 - decay) / (1 - np.cos(flip) * decay)
    return density * steady * np.exp(-te / (T2_STAR * t2))


def draw_protocol(rng: np.random.Generator, contrast: str, field: float, fluid_t1: float):
    """Draw a sequence of a contrast: its signal equation and its times, ms."""
    if contrast == "T2":
        return spin_echo, {"tr": rng.uniform(2500, 6500), "te": rng.uniform(75, 120)}
    if contrast == "PD":
        return spin_echo, {"tr": rng.uniform(2200, 4500), "te": rng.uniform(8, 30)}
    if contrast == "FLAIR":
        tr = rng.uniform(6000, 11000)
        null = fluid_t1 * np.log(2 / (1 + np.exp(-tr / fluid_t1)))
        return inversion_recovery, {
            "tr": tr,
            "te": rng.uniform(80, 140),
            "ti": null * rng.uniform(0.93, 1.05),
        }
    sequence = rng.choice(
        ["spin echo", "spin echo", "spoiled", "magnetization prepared", "inversion recovery"]
    )
    if sequence == "spin echo":
        return spin_echo, {"tr": rng.uniform(400, 700), "te": rng.uniform(8, 16)}
    if sequence == "spoiled":
        return spoiled_echo, {
            "tr": rng.uniform(8, 35),
            "te": rng.uniform(2, 6),
            "angle": rng.uniform(20, 40),
        }
    if sequence == "inversion recovery":
        return inversion_recovery, {
            "tr": rng.uniform(1800, 2500),
            "te": rng.uniform(8, 20),
            "ti": rng.uniform(700, 900),
        }
    shortest, longest = (850, 1100) if field == 3.0 else (750, 1000)
    return inversion_recovery, {
        "tr": rng.uniform(1500, 2500),
        "te": rng.uniform(2, 5),
        "ti": rng.uniform(shortest, longest),
    }


def draw_signals(rng: np.random.Generator, contrast: str) -> tuple[np.ndarray, float]:
    """Draw tissues and a protocol: signals of fluid, gray and white matter over the largest, and the echo time.

    They are drawn again until the tissues have the order that gives the contrast its name.
    """
    while True:
        field = float(rng.choice(list(RELAXATION)))
        common = rng.uniform(size=3)  # gray and white matter of one study lie alike within what is published
        tissues = {}
        for name, ranges in RELAXATION[field].items():
            place = rng.uniform(size=3) if name == "csf" else np.clip(common + rng.normal(0, 0.15, 3), 0, 1)
            tissues[name] = [low + (high - low) * p for (low, high), p in zip(ranges, place, strict=True)]
        equation, times = draw_protocol(rng, contrast, field, tissues["csf"][0])
        csf, gray, white = (equation(*tissues[name], **times) for name in ("csf", "gray", "white"))
        ordered = {
            "T1": csf < gray and 1.05 * gray < white,
            "T2": csf > gray > white,
            "PD": gray > white,
            "FLAIR": csf < white < gray,
        }
        if ordered[contrast]:
            return np.array([csf, gray, white]) / max(csf, gray, white), times["te"]


def head_on_grid(rng: np.random.Generator, grid: Grid) -> dict[str, np.ndarray]:
    """Draw a head and carry it to the grid by its best affine transform and an error.

    Returns:
        Fractions csf, gray, white and brain, and the fields iron and regions of the anatomy, (x, y, z) float32.
    """
    icbm152 = template.load_template(2.0)
    points = anatomy.deform(rng, icbm152)
    head = anatomy.build_anatomy(rng, icbm152, points, 2.0)
    inside = template.sample_depth(icbm152, points) > 0
    known = np.vstack([points[:, inside], np.ones(np.count_nonzero(inside))]).T
    fitted = np.linalg.lstsq(known, anatomy.coarse_points()[:, inside].T, rcond=None)[0]
    linear = fitted[:3].T @ (np.eye(3) + rng.normal(0, 0.025, (3, 3)))
    shift = fitted[3] + rng.normal(0, 2.0, 3)
    places = grid.affine[:3, :3] @ np.indices(grid.shape).reshape(3, -1) + grid.affine[:3, 3:]
    origin = np.array([axis[0] for axis in head.axes])
    index = (linear @ places + (shift - origin)[:, None]) / head.spacing
    fields = {name: getattr(head, name) for name in ("csf", "gray", "white", "brain", "iron")}
    fields["regions"] = head.regions["T1"]
    return {
        name: ndimage.map_coordinates(field, index, np.float32, order=1, mode="nearest").reshape(grid.shape)
        for name, field in fields.items()
    }


def scan_of(
    rng: np.random.Generator, head: dict[str, np.ndarray], contrast: str, grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Scan a head on the grid: volume and brain mask.

    With regional differences of tissue, iron in gray nuclei, a rest of the bias field, slices of up to 6 mm, blur, and
    noise of 0.5 to 6 % of white matter; the mask is loose or tight.
    """
    signals, te = draw_signals(rng, contrast)
    brain = np.clip(head["brain"], 0, 1)
    iron = 1 - 0.24 * rng.uniform(0.7, 1.3) * min(te / 100, 1) * head["iron"] * (1 - head["csf"])
    tissue = (
        head["csf"] * signals[0] + (head["gray"] * signals[1] + head["white"] * signals[2]) * iron
    ) / np.maximum(head["brain"], 1e-3)
    tissue *= 1 + rng.uniform(0.02, 0.08) * head["regions"] * (1 - head["csf"])
    volume = brain * tissue + (1 - brain) * signals[0]  # fluid around the brain
    axes = tuple(np.arange(size) * grid.spacing for size in grid.shape)
    volume *= np.exp(rng.uniform(0, 0.12) * smooth_field(rng, axes, 70.0))
    slices = max(1, round(rng.choice([1.0, 2.0, 3.0, 5.0, 6.0]) / grid.spacing))
    volume = ndimage.uniform_filter1d(volume, slices, axis=rng.integers(3))
    volume = ndimage.gaussian_filter(volume, rng.uniform(0, 0.5))
    noise = rng.uniform(0.005, 0.06) * np.median(volume[head["white"] > 0.9])
    real, imaginary = noise * rng.standard_normal((2, *grid.shape), dtype=np.float32)
    volume = np.hypot(volume + real, imaginary)
    return volume.astype(np.float32), brain > rng.choice([0.3, 0.5, 0.8])


def simulated_orders(heads: int, scans: int) -> pd.DataFrame:
    """Tissue orders of simulated scans, by the samples of the atlas in each contrast: a row for each."""
    samples, rows = {}, []
    for name in MODALITIES:
        atlas = load_atlas("icbm152", name)
        grid = common_grid(atlas, SHAPE, SPACING)
        samples[name] = tissue_samples(atlas_on(atlas, grid), name, grid)
    for number in range(heads):
        rng = np.random.default_rng([SEED, number])
        head = head_on_grid(rng, grid)
        for contrast in CONTRASTS:
            for _ in range(scans):
                volume, mask = scan_of(rng, head, contrast, grid)
                for name, voxels in samples.items():
                    order = tissue_order(volume, mask, voxels)
                    rows.append({"head": number, "contrast": contrast, "atlas_contrast": name, **order})
        print(f"head {number + 1} of {heads}", flush=True)
    return pd.DataFrame(rows)


def atlas_on(atlas: Atlas, grid: Grid) -> np.ndarray:
    """Image of an atlas on the grid."""

    return resample(atlas.image, atlas.affine, grid, sitk.AffineTransform(3))


def fit(table: pd.DataFrame) -> dict[str, tuple[float, ...]]:
    """Linear discriminant with the pooled covariance of the contrasts, all equally likely."""
    names = list(TissueOrder.__annotations__)
    means = table.groupby("contrast")[names].mean().loc[list(CONTRASTS)].to_numpy()
    covariance = np.mean([table[table.contrast == c][names].cov().to_numpy() for c in CONTRASTS], axis=0)
    weights = np.linalg.solve(covariance, means.T).T
    constants = -0.5 * np.sum(weights * means, axis=1)
    return {
        contrast: (*row.round(2).tolist(), round(float(constant), 2))
        for contrast, row, constant in zip(CONTRASTS, weights, constants, strict=True)
    }


def decision(order: TissueOrder, modality: str) -> str:
    """What preprocessing does with a scan: accepted, flagged or refused."""
    return verdict(*log_odds(order, modality), modality)


def counted(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Scans of each decision, by contrast and the modality they are given as."""
    counts = table.groupby([*by, "contrast", "given_as"])["decision"].value_counts().unstack(fill_value=0)
    for name in ("accepted", "flagged", "refused"):
        counts[name] = counts.get(name, 0)
    return counts[["accepted", "flagged", "refused"]].reset_index()


def measure_simulated(heads: int, scans: int) -> None:
    """Fit on the even heads, print the constants, and count the errors of the module's on the odd ones."""
    table = simulated_orders(heads, scans)
    for contrast, weights in fit(table[table["head"] % 2 == 0]).items():
        print(f'    "{contrast}": {weights},')
    held_out = table[table["head"] % 2 == 1]
    rows = []
    for given_as in MODALITIES:
        part = held_out[held_out.atlas_contrast == given_as].copy()
        part["given_as"] = given_as
        part["decision"] = [
            decision(row, given_as) for row in part[list(TissueOrder.__annotations__)].to_dict("records")
        ]
        rows.append(part)
    counts = counted(pd.concat(rows), [])
    write_csv(HERE / "modality.csv", counts)
    print(counts.to_string(index=False))


def measure_real(table_path: Path, atlas_name: str) -> None:
    """Preprocess every scan of the table as each modality, and count what was refused and flagged."""
    rows = []
    table = pd.read_csv(table_path, dtype=str, keep_default_na=False)
    for given_as in MODALITIES:
        atlas = load_atlas(atlas_name, given_as)
        grid = common_grid(atlas, SHAPE, SPACING)
        for row in table.itertuples():
            brain = table_path.parent / row.brain if row.brain else None
            result = {
                "site": row.site,
                "contrast": row.contrast,
                "given_as": given_as,
                "scan": Path(row.scan).name,
            }
            try:
                qc = preprocess_scan(
                    table_path.parent / row.scan,
                    given_as,
                    atlas,
                    grid,
                    brain_path=brain,
                    settings={"skull_strip": row.skull_strip},
                ).qc
                flags = "; ".join(qc["flags"])
                result |= {"decision": "flagged" if flags else "accepted", "reason": flags}
                result |= {"log_odds": qc["modality_log_odds"], "atlas_correlation": qc["atlas_correlation"]}
            except InputError as error:
                result |= {"decision": "refused", "reason": str(error).split(": ", 1)[1]}
            rows.append(result)
            print(*result.values(), flush=True)
    results = pd.DataFrame(rows)
    write_csv(HERE / "modality_real.csv", results)
    print(counted(results, ["site"]).to_string(index=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    simulated = commands.add_parser("simulated")
    simulated.add_argument("--heads", type=int, default=24)
    simulated.add_argument("--scans", type=int, default=12)
    real = commands.add_parser("real")
    real.add_argument("table", type=Path)
    real.add_argument("--atlas", default="icbm152")
    arguments = parser.parse_args()
    if arguments.command == "simulated":
        measure_simulated(arguments.heads, arguments.scans)
    else:
        measure_real(arguments.table, arguments.atlas)
