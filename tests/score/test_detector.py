"""Detectors made of two small trainings: what they score, what they carry, and what is refused."""

import copy

import numpy as np
import pytest
from scans import box
from small_training import SETTINGS, SHAPE, write_scan

from patch2loc.data.scans import Scan
from patch2loc.errors import InputError
from patch2loc.files import read_json, write_json
from patch2loc.heatmap import EPSILON
from patch2loc.model_schema import check_content
from patch2loc.models import load_model, save_model
from patch2loc.score import detector
from patch2loc.score.detector import build_detector, maps_with, reference_of
from patch2loc.score.reference import MAPS, PARTS
from patch2loc.score.scoring import heatmap_of
from patch2loc.standardize import fit_landmarks
from patch2loc.train import FitJob, fit_model

COHORT = {"title": "boxes", "simulated": True, "ages": (20.0, 60.0)}
N_TRAINING, N_VALIDATION, N_HEALTHY = 3, 1, 6


def write(folder, number):
    """A scan of which quality control says how large its voxels were."""
    scan = write_scan(folder, f"s{number}", number)
    write_json(scan.qc_path, read_json(scan.qc_path) | {"voxel_mm": [1.0, 1.0, 1.0 + number]})
    return scan


def fit(folder, method, training, validation):
    settings = {**SETTINGS, "spacing": 2.0, "precision": "float32"} if method == "patch2loc" else {}
    write_json(folder / "landmarks.json", fit_landmarks(training))
    return fit_model(
        FitJob(method, "T1", 0, settings, {"atlas": "icbm152", "preprocess": {}}, "code", "cpu"),
        training=training,
        validation=validation,
        landmarks_path=folder / "landmarks.json",
        checkpoint_folder=folder / method,
    ).model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Scans and the two models: {"training", "healthy", "patch2loc", "zscore"}."""
    folder = tmp_path_factory.mktemp("detector")
    scans = [write(folder, number) for number in range(N_TRAINING + N_VALIDATION + N_HEALTHY)]
    training, validation = scans[:N_TRAINING], scans[N_TRAINING : N_TRAINING + N_VALIDATION]
    models = {name: fit(folder, name, training, validation) for name in PARTS}
    return {"training": training, "healthy": scans[N_TRAINING + N_VALIDATION :], **models}


def build(trained, **others):
    given = {"training": trained["training"], "healthy": trained["healthy"], "median_filter": 3, **COHORT}
    models = [others.pop(name, trained[name]) for name in PARTS]
    return build_detector(*models, **{**given, **others})


@pytest.fixture(scope="module")
def built(trained, tmp_path_factory):
    """A detector as it is read from its file."""
    path = tmp_path_factory.mktemp("built") / "detector.safetensors"
    sites = {"s0": "north", "s1": "south", "s2": "north", "s5": "east"}
    save_model(path, build(trained, sites=sites, provenance={"code": "abc"}))
    return load_model(path)


def maps_of(trained, scan, median_filter=3):
    zscore = trained["zscore"]["state"]
    return maps_with(trained["patch2loc"], zscore, "cpu", median_filter=median_filter)(*scan.read(), "scan")


def test_the_maps_are_those_that_the_workflow_makes_of_each_method(trained):
    scan = trained["healthy"][0]
    maps = maps_of(trained, scan)
    for part in PARTS:
        expected = heatmap_of(trained[part], "cpu", median_filter=3)(*scan.read(), "scan")
        np.testing.assert_array_equal(getattr(maps, part), expected)
        assert np.isfinite(expected).sum() == scan.read()[1].sum()


def test_the_location_error_is_the_median_over_the_brain(trained, monkeypatch):
    volume, mask = trained["healthy"][0].read()
    errors = np.arange(mask.sum()) / 10.0

    def from_state(model, name, make):
        def score(volume, its_mask, region):
            log_error = np.full(SHAPE, 99.0)
            log_error[its_mask] = np.log(errors**2 + EPSILON)
            return {"log_error": log_error, "score": log_error}

        return score

    monkeypatch.setattr(detector, "from_state", from_state)
    maps = maps_with(trained["patch2loc"], trained["zscore"]["state"], "cpu", median_filter=1)(
        volume, mask, "s"
    )
    assert maps.location_error == pytest.approx(np.median(errors), rel=1e-5)


def test_a_detector_is_the_location_model_with_its_healthy_scans(trained, built):
    for key in ("method", "grid", "landmarks", "training_subjects", "contents"):
        assert built[key] == trained["patch2loc"][key]
    reference = reference_of(built)
    cohort = reference.cohort
    assert (cohort.title, cohort.simulated, cohort.ages) == ("boxes", True, [20.0, 60.0])
    assert (cohort.n_training, cohort.sites) == (N_TRAINING, ["north", "south"])
    assert cohort.largest_voxel_mm == N_TRAINING  # of s2; the healthy scans have larger ones
    assert [scan.subject for scan in reference.scans] == [scan.subject for scan in trained["healthy"]]
    assert [scan.site for scan in reference.scans][:2] == ["", "east"]
    assert built["reference"]["provenance"] == {"code": "abc"}
    assert built["reference"]["median_filter"] == 3
    for scan, stated in zip(trained["healthy"], reference.scans, strict=True):
        assert stated.location_error == pytest.approx(maps_of(trained, scan).location_error)
    assert reference_of(trained["patch2loc"]) is None


def test_healthy_scans_are_scored_as_a_new_scan_is_by_the_detector_that_was_read(trained, monkeypatch):
    """Also a brain that reaches further than any training brain."""
    first, read = trained["healthy"][0], Scan.read
    volume, mask = (array.copy() for array in first.read())
    volume[1:3, 3:17, 1:5] = np.random.default_rng(0).normal(150, 20, (2, 14, 4))
    mask[1:3, 3:17, 1:5] = True
    at_building, fit_reference = {}, detector.fit_reference

    def seen(maps, **others):
        at_building.update(maps)
        return fit_reference(maps, **others)

    monkeypatch.setattr(Scan, "read", lambda scan: (volume, mask) if scan == first else read(scan))
    monkeypatch.setattr(detector, "fit_reference", seen)
    reference = reference_of(build(trained))
    read_back = {"mean": reference.mean, "spread": reference.spread}
    maps = maps_with(trained["patch2loc"], read_back, "cpu", median_filter=3)(volume, mask, "scan")
    for part in PARTS:
        np.testing.assert_array_equal(getattr(maps, part), getattr(at_building[first.subject], part))
    assert (trained["zscore"]["state"]["mean"][mask] == 0).sum() == 2 * 14 * 4


def test_a_dark_box_in_a_healthy_scan_becomes_rarer_there(trained, built):
    reference = reference_of(built)
    read_back = {"mean": reference.mean, "spread": reference.spread}
    maps_of_scan = maps_with(trained["patch2loc"], read_back, "cpu", median_filter=3)
    volume, mask = trained["healthy"][2].read()
    lesion = box(SHAPE, np.s_[8:13, 8:13, 1:4])
    before, after = (
        reference.rarity_maps(maps_of_scan(image, mask, "scan"))
        for image in (volume, np.where(lesion, 0.2 * volume, volume))
    )
    assert set(after) == set(MAPS)
    inside = box(SHAPE, np.s_[9:12, 9:12, 1:4])  # as the median filter leaves it
    assert (after["zscore"][inside] > before["zscore"][inside]).all()
    assert (after["joined"][inside] > before["joined"][inside]).mean() > 0.9


@pytest.mark.parametrize("name", ["s1", "a name of its own"])
def test_a_training_scan_among_the_healthy_ones_is_refused(name, trained, tmp_path):
    of_training = trained["training"][1]
    copy = Scan(name, of_training.folder, "T1")
    with pytest.raises(
        InputError, match=r"1 scans found whose voxels are those of training scans, other scans"
    ):
        build(trained, healthy=[*trained["healthy"], copy])


@pytest.mark.parametrize("changed", ["patch2loc", "zscore"])
def test_models_of_other_scans_do_not_go_together(changed, trained):
    other = {**trained[changed], "training_subjects": ["s0", "s1", "someone else"]}
    with pytest.raises(InputError, match=r"models of patch2loc and zscore found, .* train both by the same"):
        build(trained, **{changed: other})
    with pytest.raises(InputError, match="both trained on the 2 scans of the list, expected"):
        build(trained, training=trained["training"][:2])


def test_the_second_model_has_to_be_of_zscore_and_the_first_one_has_to_localize(trained):
    with pytest.raises(InputError, match="models of patch2loc and patch2loc found"):
        build(trained, zscore=trained["patch2loc"])
    with pytest.raises(InputError, match="the method zscore found, one that localizes patches expected"):
        build(trained, patch2loc=trained["zscore"])


def put(*keys_and_value):
    """A change of a stored reference: a value at the end of keys, or what a function makes of the present one."""
    *groups, key, value = keys_and_value

    def change(stored):
        for group in groups:
            stored = stored[group]
        stored[key] = value(stored[key]) if callable(value) else value

    return change


def without(*keys):
    *groups, key = keys
    return put(*groups, lambda holder: {name: value for name, value in holder.items() if name != key})


NAN, SCORES = float("nan"), ("tails", "zscore", "scores")
WRONG = {
    "threshold text": (put("threshold", "3"), "threshold: '3' found, a number from 1.5 to 6 expected"),
    "threshold NaN": (put("threshold", NAN), "threshold: nan found, a number from 1.5 to 6"),
    "threshold huge": (put("threshold", 1e9), r"threshold: 1e\+09 found, a number from 1.5 to 6"),
    "median filter of an even width": (
        put("median_filter", 4),
        "median_filter: 4 found, an odd number of 1 to 15",
    ),
    "no cohort": (lambda stored: stored.pop("cohort"), "no reference.cohort found, a dictionary expected"),
    "ages of texts": (
        put("cohort", "ages", ["a", "b"]),
        "cohort.ages: .* found, the least and the greatest age",
    ),
    "ages that fall": (put("cohort", "ages", [60, 20]), "cohort.ages: .60, 20. found, the least and"),
    "ages of one": (put("cohort", "ages", [20]), "cohort.ages: .20. found, the least and"),
    "voxel text": (
        put("cohort", "largest_voxel_mm", "1"),
        "largest_voxel_mm: '1' found, a positive finite number",
    ),
    "no scans": (put("scans", []), r"scans: \[\] found, a list of at least one dictionary expected"),
    "scan of none": (put("scans", 1, None), "scans: .* found, a list of at least one dictionary expected"),
    "one scan twice": (
        put("scans", lambda scans: scans[:-1] + scans[:1]),
        r"scans: \['s4'\] found, each subject once expected",
    ),
    "scan without excess": (
        without("scans", 2, "excess"),
        r"no reference\.scans\[2\]\.excess found, finite numbers",
    ),
    "scan without a map": (
        without("scans", 2, "excess", "joined"),
        r"scans\[2\]\.excess: .* from 0 to 35,000 of joined, ",
    ),
    "excess NaN": (
        put("scans", 0, "excess", "joined", NAN),
        r"scans\[0\]\.excess: .* found, finite numbers from 0",
    ),
    "location error NaN": (
        put("scans", 0, "location_error", NAN),
        r"scans\[0\]\.location_error: nan found, a finite",
    ),
    "volume below 0": (
        put("scans", 0, "abnormal_ml", "joined", -1.0),
        r"scans\[0\]\.abnormal_ml: .* numbers from 0",
    ),
    "volume of more than a brain": (
        put("scans", 0, "abnormal_ml", "joined", 1e9),
        r"scans\[0\]\.abnormal_ml: .* numbers from 0 to 3,500 of",
    ),
    "excess of more than a brain": (
        put("scans", 0, "excess", "joined", 1e9),
        r"scans\[0\]\.excess: .* numbers from 0 to 35,000 of",
    ),
    "false positives of more than a brain": (
        put("false_positive_ml", "joined", lambda volumes: volumes + np.float32(1e9)),
        r"false_positive_ml\.joined: .* finite numbers from 0 to 3,500",
    ),
    "rarities of more than there are voxels": (
        put("tails", "joined", "rarities", lambda rarities: rarities * 1e6),
        r"tails\.joined: .* rarities from 0 to 10 expected",
    ),
    "false positives NaN": (
        put("false_positive_ml", "joined", lambda volumes: volumes * np.float32(NAN)),
        r"false_positive_ml\.joined: .* found, an array \(6, 46\) of finite numbers from 0",
    ),
    "false positives below 0": (
        put("false_positive_ml", "joined", lambda volumes: volumes - 1),
        r"false_positive_ml\.joined: .* finite numbers from 0",
    ),
    "false positives that rise": (
        put(
            "false_positive_ml", "joined", lambda volumes: np.sort(volumes + np.arange(46, dtype=np.float32))
        ),
        r"false_positive_ml\.joined: .* that do not rise with the threshold expected",
    ),
    "volumes of other scans": (
        put("false_positive_ml", "joined", lambda volumes: volumes[:-1]),
        r"false_positive_ml\.joined: an array \(5, 46\) of float32 found, an array \(6, 46\)",
    ),
    "no volumes of a map": (
        without("false_positive_ml", "joined"),
        r"no reference\.false_positive_ml\.joined found",
    ),
    "support of zeros": (
        lambda stored: stored.update(
            support=0 * stored["support"], maps=dict.fromkeys(stored["maps"], np.ones(0))
        ),
        "support: .* found, a bit for each voxel, set for at least 1% of them, expected",
    ),
    "support of another grid": (
        put("support", lambda support: support[:-1]),
        "support: .* found, a bit for each",
    ),
    "no tail": (without("tails", "joined"), r"no reference\.tails\.joined found, scores and rarities"),
    "tail that falls": (
        put(*SCORES, lambda scores: scores[::-1]),
        r"tails\.zscore: .* finite and increasing",
    ),
    "tail without end": (
        put(*SCORES, lambda scores: np.append(scores[:-1], np.float32(np.inf))),
        r"tails\.zscore: .* finite and increasing",
    ),
    "tail of rare scores alone": (
        put("tails", "zscore", "rarities", lambda rarities: rarities + np.float32(5)),
        r"tails\.zscore: .* rarities from 0 to 10 expected",
    ),
    "tail of one point": (
        put("tails", "zscore", {name: np.ones(1, np.float32) for name in ("scores", "rarities")}),
        r"tails\.zscore: .* at least two of each, rarities from 0 to 10 expected",
    ),
    "spread of 0": (
        put("maps", "spread", lambda spread: 0 * spread),
        r"maps\.spread: .* positive finite numbers",
    ),
    "map that is not finite": (
        put("maps", "mean", lambda mean: np.inf * mean),
        r"maps\.mean: .* finite numbers",
    ),
    "map of another size": (
        put("maps", "mean", lambda mean: mean[:-3]),
        r"maps\.mean: .* found, an array of \d+ fin",
    ),
    "no map": (without("maps", "zscore_scale"), r"no reference\.maps\.zscore_scale found, an array of"),
    "fill of 0": (put("fill", "zscore_scale", 0), r"fill\.zscore_scale: 0 found, a positive finite number"),
    "fill of no map": (
        put("fill", "mean", 1e30),
        r"fill\.mean: 1e\+30 found, a finite number of half precision",
    ),
    "maps in a list": (put("maps", []), r"maps: \[\] found, a dictionary expected"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_reference_that_is_none_is_refused_by_the_name_of_the_file(wrong, built):
    change, message = WRONG[wrong]
    model = {**built, "reference": copy.deepcopy(built["reference"])}
    change(model["reference"])
    with pytest.raises(InputError, match=rf"^own\.safetensors: .*{message}"):
        check_content(model, "own.safetensors")
        reference_of(model, "own.safetensors")
