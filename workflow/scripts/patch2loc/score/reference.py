"""What healthy scans score: the reference that an answer about one scan is given by.

A map of a scan is read in units of rarity: -log10 of the share of healthy voxels that score at least as high.  3 means
that one healthy voxel in a thousand does.  Patch2Loc's calibrated score and the calibrated voxelwise z-score become
rarities each by itself and are joined by Fisher's statistic, which becomes a rarity in turn.  All of it is fitted to
healthy scans that nothing was trained on; nothing here has seen a lesion.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from patch2loc.data.volumes import isotropic_voxel_ml
from patch2loc.model_schema import Expectation, check_keys, is_dictionary, is_number, is_text, refuse
from patch2loc.score.calibration import Calibration, calibrated_validation, fit_calibration
from patch2loc.score.candidates import find_candidates

PARTS = ("patch2loc", "zscore")  # maps that are joined
JOINED = "joined"
MAPS = (JOINED, *PARTS)
# One healthy voxel in a thousand is above it; set before any scan with a lesion was looked at.
THRESHOLD = 3.0
THRESHOLDS = np.round(np.arange(1.5, 6.01, 0.1), 1)  # of the false-positive volumes that a model states
RARITY_STEP = 0.02
# As stored, by name: of the training scans, and of the calibration of each part.
STORED_MAPS = ("mean", "spread", *(f"{part}_{field}" for part in PARTS for field in Calibration._fields))
LEAST_SUPPORT = 0.01  # of the grid, in some training brain; a brain has a quarter of the grid that holds it
# No brain is larger, and of n voxels one is at log10(n).
MOST_ML, MOST_RARITY, MOST_CANDIDATES = 3500.0, 10.0, 100_000
MOST_STORED = float(np.finfo(np.float16).max)  # of the maps
ROUNDING_ML = 1e-3  # of volumes that are stored in single precision
LEAST_BEYOND = 10  # healthy voxels beyond the last point of a tail; further out it is extended
LEAST_VOXELS = 100  # that a tail is fitted to
EXTENDED_FROM = 1.0  # a tail goes on with the slope of its last part, of this much rarity


class ScanMaps(NamedTuple):
    """What a detector's two methods make of a scan.

    Attributes:
        patch2loc: Score of the localization after the median filter, (x, y, z), NaN outside the mask.
        zscore: Absolute voxelwise z-score after the same filter, likewise.
        location_error: Median over the brain's voxels of the location error, percent of the grid.
        best_eighth_error: The same in the best located of the eight parts that the brain's middle divides it into. A
            lesion spares some of them; a wrong pose, another contrast or a scan of no brain spares none.
    """

    patch2loc: np.ndarray
    zscore: np.ndarray
    location_error: float
    best_eighth_error: float


@dataclass(frozen=True)
class Tail:
    """How rare scores are among healthy voxels.

    Attributes:
        scores: Increasing, (n,).
        rarities: -log10 of the share of healthy voxels that score at least as high, increasing, (n,).
    """

    scores: np.ndarray
    rarities: np.ndarray

    def rarity(self, scores: np.ndarray) -> np.ndarray:
        """Rarity of scores of any shape; NaN stays NaN.  Above the last healthy score it goes on linearly."""
        inside = np.interp(scores, self.scores, self.rarities)
        start = int(np.searchsorted(self.rarities, self.rarities[-1] - EXTENDED_FROM))
        start = min(start, len(self.scores) - 2)
        slope = (self.rarities[-1] - self.rarities[start]) / (self.scores[-1] - self.scores[start])
        with np.errstate(invalid="ignore"):
            beyond = np.maximum(scores - self.scores[-1], 0)
        rarity: np.ndarray = (inside + slope * beyond).astype(np.float32)
        return rarity


@dataclass(frozen=True)
class Cohort:
    """Whom a model was trained on, for the warnings that apply to a scan unlike them.

    Attributes:
        title: In words.
        simulated: True if the scans are simulated.
        n_training: Number of scans that it was trained on.
        sites: Sites of the training scans.
        ages: Least and greatest age, years, where known.
        largest_voxel_mm: Largest edge of a voxel among the training scans' files.
    """

    title: str
    simulated: bool
    n_training: int
    sites: list[str]
    ages: list[float] | None = None
    largest_voxel_mm: float | None = None


@dataclass(frozen=True)
class HealthyScan:
    """A healthy scan that nothing was trained on, as an answer about it would be at the reference's threshold.

    Attributes:
        subject: Name.
        site: Of the scan, "" if unknown.
        location_error: As of `ScanMaps`.
        abnormal_ml: Volume of its candidates, for each map of MAPS.
        excess: Summed over its candidates (`candidates.Candidate`), for each map.
        largest_excess: Of its first candidate, for each map; 0 without one.
        candidates: Number of candidates, for each map.
    """

    subject: str
    site: str
    location_error: float
    abnormal_ml: dict[str, float]
    excess: dict[str, float]
    largest_excess: dict[str, float]
    candidates: dict[str, int]


@dataclass(frozen=True)
class HealthyReference:
    """Healthy scans, as a model carries them.

    Attributes:
        cohort: Whom the model was trained on.
        mean: Mean of the standardized training scans at every voxel, (x, y, z).
        spread: Their standard deviation, (x, y, z).
        calibrations: Of each part of PARTS.
        tails: Of each map of MAPS.
        threshold: Rarity above which voxels belong to candidates.
        scans: The healthy scans, none of which anything was trained on.
        false_positive_ml: Volume of the candidates of each map at each of THRESHOLDS, {map: (scans, thresholds)}.
    """

    cohort: Cohort
    mean: np.ndarray
    spread: np.ndarray
    calibrations: Mapping[str, Calibration]
    tails: Mapping[str, Tail]
    threshold: float
    scans: Sequence[HealthyScan]
    false_positive_ml: Mapping[str, np.ndarray]

    def rarity_maps(self, maps: ScanMaps) -> dict[str, np.ndarray]:
        """Rarity of a scan's voxels: {"joined", "patch2loc", "zscore"}, (x, y, z) float32, NaN outside the mask."""
        calibrated = {name: self.calibrations[name].apply(getattr(maps, name)) for name in PARTS}
        return _rarity_maps(calibrated, self.tails)

    def percentile(self, value: float, of: str, map_name: str = JOINED) -> float:
        """Percent of the healthy scans with a smaller value; half of those with the same one count.

        Args:
            value: Of a scan.
            of: location_error, or an attribute of `HealthyScan` that each map has.
            map_name: Of MAPS.
        """
        values = self.values(of, map_name)
        return float(100 * (np.mean(values < value) + np.mean(values == value) / 2))

    def values(self, of: str, map_name: str = JOINED) -> np.ndarray:
        """Values of the healthy scans, (scans,); arguments as of `percentile`."""
        found = [getattr(scan, of) for scan in self.scans]
        return np.array([value[map_name] if isinstance(value, dict) else value for value in found], float)


def fit_tail(scores: np.ndarray) -> Tail:
    """Fit a tail to the scores of healthy voxels, (n,).

    Raises:
        ValueError: They are fewer than LEAST_VOXELS, or all alike but for a few.
    """
    if len(scores) < LEAST_VOXELS:
        raise ValueError(f"{len(scores)} healthy voxels found, {LEAST_VOXELS} at least expected")
    rarities = np.arange(0, np.log10(len(scores) / LEAST_BEYOND), RARITY_STEP)
    # In the precision in which they are stored, so that they increase there, too.
    at = np.quantile(scores, 1 - 10.0**-rarities).astype(np.float32)
    kept = np.concatenate([[True], np.diff(at) > 0])
    if np.count_nonzero(kept) < 2:
        raise ValueError(f"healthy voxels that all score {at[0]:g} found, different scores expected")
    return Tail(at[kept], rarities[kept].astype(np.float32))


def fit_reference(
    maps: Mapping[str, ScanMaps],
    *,
    cohort: Cohort,
    mean: np.ndarray,
    spread: np.ndarray,
    spacing: float,
    sites: Mapping[str, str] | None = None,
    threshold: float = THRESHOLD,
) -> HealthyReference:
    """Fit the reference to healthy scans of other people than the training scans.

    Each of the scans is calibrated by those of other people, as a new scan would be (`held_out_calibrations`).

    Args:
        maps: Of the healthy scans, by subject.
        cohort: Whom the model was trained on.
        mean: Mean of the standardized training scans, (x, y, z).
        spread: Their standard deviation.
        spacing: Voxel size, mm.
        sites: Site of each scan, where known.
        threshold: Rarity above which voxels belong to candidates.

    Raises:
        ValueError: There are no scans, or hardly any voxels in them.
    """
    scores = {part: {name: getattr(each, part) for name, each in maps.items()} for part in PARTS}
    calibrations = {part: fit_calibration([*scores[part].values()], spacing) for part in PARTS}
    calibrated = {part: calibrated_validation(scores[part], spacing) for part in PARTS}
    tails = {part: fit_tail(_voxels(calibrated[part])) for part in PARTS}
    statistic = {
        name: _fisher({part: tails[part].rarity(calibrated[part][name]) for part in PARTS}) for name in maps
    }
    tails[JOINED] = fit_tail(_voxels(statistic))
    voxel_ml = isotropic_voxel_ml(spacing)
    scans, volumes_ml = [], {name: np.zeros((len(maps), len(THRESHOLDS)), np.float32) for name in MAPS}
    for number, (subject, each) in enumerate(maps.items()):
        rarity = _rarity_maps({part: calibrated[part][subject] for part in PARTS}, tails)
        found = {name: find_candidates(rarity[name], threshold, voxel_ml)[1] for name in MAPS}
        for name in MAPS:
            volumes_ml[name][number] = [
                sum(candidate.volume_ml for candidate in find_candidates(rarity[name], at, voxel_ml)[1])
                for at in THRESHOLDS
            ]
        scans.append(
            HealthyScan(
                subject=subject,
                site=(sites or {}).get(subject, ""),
                location_error=float(each.location_error),
                abnormal_ml={name: sum(one.volume_ml for one in found[name]) for name in MAPS},
                excess={name: sum(one.excess for one in found[name]) for name in MAPS},
                largest_excess={name: max((one.excess for one in found[name]), default=0.0) for name in MAPS},
                candidates={name: len(found[name]) for name in MAPS},
            )
        )
    return HealthyReference(cohort, mean, spread, calibrations, tails, threshold, scans, volumes_ml)


def _voxels(maps: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([values[~np.isnan(values)] for values in maps.values()])


def _fisher(rarities: Mapping[str, np.ndarray]) -> np.ndarray:
    """Fisher's statistic over 2 ln 10: the sum of the rarities."""
    total: np.ndarray = np.sum([rarities[part] for part in PARTS], axis=0)
    return total


def _rarity_maps(calibrated: Mapping[str, np.ndarray], tails: Mapping[str, Tail]) -> dict[str, np.ndarray]:
    parts = {part: tails[part].rarity(calibrated[part]) for part in PARTS}
    return {JOINED: tails[JOINED].rarity(_fisher(parts)), **parts}


def as_read_back(mean: np.ndarray, spread: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and spread of the training scans as `from_model` gives them back: {"mean", "spread"}, (x, y, z) each.

    Healthy scans have to be scored by these: where no training brain reaches, the training has 0 and its least spread,
    by which a voxel of brain would be as far off as no lesion is.
    """
    support = _support(mean)
    return {
        name: _whole(array[support].astype(np.float16), _fill(array[support]), support)
        for name, array in (("mean", mean), ("spread", spread))
    }


def _support(mean: np.ndarray) -> np.ndarray:
    """Voxels that some training brain reaches; dark ones of it have negative means."""
    support: np.ndarray = mean != 0
    return support


def _fill(values: np.ndarray) -> float:
    """What a map has where no training brain reaches, by its values elsewhere."""
    return float(np.float16(np.median(values)))


def _whole(values: np.ndarray, fill: float, support: np.ndarray) -> np.ndarray:
    array = np.full(support.shape, fill, np.float32)
    array[support] = values
    return array


def to_model(reference: HealthyReference) -> dict[str, Any]:
    """The reference as a model file holds it: maps in half precision, of the voxels that any healthy brain reaches."""
    maps = {"mean": reference.mean, "spread": reference.spread}
    for part, calibration in reference.calibrations.items():
        maps |= {f"{part}_{name}": array for name, array in calibration._asdict().items()}
    support = _support(reference.mean)
    return {
        "cohort": asdict(reference.cohort),
        "threshold": reference.threshold,
        "scans": [asdict(scan) for scan in reference.scans],
        "support": np.packbits(support.ravel()),
        "fill": {name: _fill(array[support]) for name, array in maps.items()},
        "maps": {name: array[support].astype(np.float16) for name, array in maps.items()},
        "tails": {
            name: {"scores": tail.scores, "rarities": tail.rarities} for name, tail in reference.tails.items()
        },
        "false_positive_ml": dict(reference.false_positive_ml),
    }


def from_model(
    stored: Mapping[str, Any], shape: Sequence[int], name: str | Path = "model"
) -> HealthyReference:
    """The reference that a model of a grid's shape holds, as `to_model` made it.

    Args:
        stored: The key `reference` of a model that `model_schema.check_content` has accepted.
        shape: Shape of the grid, (3,).
        name: File of the model, for messages.

    Raises:
        InputError: Naming the model and the key: a value is not what `to_model` writes.
    """
    _check(stored, shape, name)
    support = np.unpackbits(stored["support"], count=math.prod(shape)).astype(bool).reshape(shape)
    maps = {key: _whole(stored["maps"][key], stored["fill"][key], support) for key in STORED_MAPS}
    return HealthyReference(
        cohort=Cohort(**{key: stored["cohort"].get(key) for key in Cohort.__annotations__}),
        mean=maps["mean"],
        spread=maps["spread"],
        calibrations={part: Calibration(maps[f"{part}_location"], maps[f"{part}_scale"]) for part in PARTS},
        tails={key: Tail(stored["tails"][key]["scores"], stored["tails"][key]["rarities"]) for key in MAPS},
        threshold=stored["threshold"],
        scans=[HealthyScan(**{key: scan[key] for key in _OF_SCAN}) for scan in stored["scans"]],
        false_positive_ml=stored["false_positive_ml"],
    )


def _is_amount(value: object, most: float) -> bool:
    return is_number(value) and 0 <= cast(float, value) <= most


def _are_numbers(value: object, *shape: int) -> bool:
    """True for an array of a shape, of finite floating-point numbers."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.shape != shape:
        return False
    return bool(np.isfinite(value).all())


def _is_tail(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("scores"), np.ndarray):
        return False
    points = value["scores"].size
    arrays = [value["scores"], value.get("rarities")]
    known = points >= 2 and all(_are_numbers(each, points) and _increases(each) for each in arrays)
    return bool(known and value["rarities"][0] == 0 and value["rarities"][-1] <= MOST_RARITY)


def _increases(array: Any) -> bool:
    return bool((np.diff(array) > 0).all())


def _amounts(most: float) -> Expectation:
    return Expectation(
        f"finite numbers from 0 to {most:,.0f} of {', '.join(MAPS)}",
        lambda value: isinstance(value, dict) and all(_is_amount(value.get(name), most) for name in MAPS),
    )


_EXPECTATIONS = {
    "threshold": Expectation(
        f"a number from {THRESHOLDS[0]:g} to {THRESHOLDS[-1]:g}",
        lambda value: is_number(value) and THRESHOLDS[0] <= value <= THRESHOLDS[-1],
    ),
    **{
        group: Expectation("a dictionary", is_dictionary)
        for group in ("maps", "fill", "tails", "false_positive_ml")
    },
}
_OF_SCAN = {
    "subject": Expectation("a name", is_text),
    "site": Expectation("a name, empty if unknown", lambda value: isinstance(value, str)),
    "location_error": Expectation("a finite number from 0 to 100", lambda value: _is_amount(value, 100)),
    "abnormal_ml": _amounts(MOST_ML),
    "excess": _amounts(MOST_RARITY * MOST_ML),
    "largest_excess": _amounts(MOST_RARITY * MOST_ML),
    "candidates": _amounts(MOST_CANDIDATES),
}


def _check(stored: Mapping[str, Any], shape: Sequence[int], name: str | Path) -> None:
    """Raise InputError, naming the model and the key, unless a reference is as `to_model` writes it."""
    check_keys(stored, {"support": _support_expected(math.prod(shape)), **_EXPECTATIONS}, name, "reference.")
    voxels = int(np.unpackbits(stored["support"], count=math.prod(shape)).sum())
    for key in STORED_MAPS:
        check_keys(stored, _map_expected(key, voxels), name, "reference.")
    scans = stored["scans"]
    for key in MAPS:
        check_keys(stored, _of_map_expected(key, len(scans)), name, "reference.")
    for number, scan in enumerate(scans):
        check_keys(scan, _OF_SCAN, name, f"reference.scans[{number}].")
    subjects = [scan["subject"] for scan in scans]
    repeated = sorted({subject for subject in subjects if subjects.count(subject) > 1})
    if repeated:
        refuse(name, "reference.scans", repeated, "each subject once")


def _support_expected(grid: int) -> Expectation:
    def holds(value: object) -> bool:
        if not isinstance(value, np.ndarray) or value.dtype != np.uint8 or value.shape != (-(-grid // 8),):
            return False
        return bool(np.unpackbits(value, count=grid).mean() >= LEAST_SUPPORT)

    return Expectation(f"a bit for each voxel, set for at least {LEAST_SUPPORT:.0%} of them,", holds)


def _map_expected(key: str, voxels: int) -> dict[str, Expectation]:
    """Expectations of a stored map of the voxels of the support, and of what it has elsewhere."""
    if key.endswith(("spread", "scale")):
        words, least = "positive finite", float(np.finfo(np.float16).smallest_subnormal)
    else:
        words, least = "finite", -math.inf
    return {
        f"maps.{key}": Expectation(
            f"an array of {voxels} {words} numbers",
            lambda value: _are_numbers(value, voxels) and bool((value >= least).all()),
        ),
        f"fill.{key}": Expectation(
            f"a {words} number of half precision",
            lambda value: is_number(value) and max(least, -MOST_STORED) <= value <= MOST_STORED,
        ),
    }


def _of_map_expected(key: str, scans: int) -> dict[str, Expectation]:
    """Expectations of what the reference states of a map of MAPS."""
    return {
        f"tails.{key}": Expectation(
            f"scores and rarities, finite and increasing, at least two of each, rarities from 0 to {MOST_RARITY:.0f}",
            _is_tail,
        ),
        f"false_positive_ml.{key}": Expectation(
            f"an array {(scans, len(THRESHOLDS))} of finite numbers from 0 to {MOST_ML:,.0f} that do not rise with the "
            "threshold",
            lambda value: (
                _are_numbers(value, scans, len(THRESHOLDS))
                and bool(
                    (value >= 0).all() and (value <= MOST_ML).all() and (np.diff(value) <= ROUNDING_ML).all()
                )
            ),
        ),
    }
