import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from scipy import ndimage
from small_training import CPU, SETTINGS, SHAPE, write_scan
from written_models import complete_model

from patch2loc.configuration.method_registry import METHODS
from patch2loc.configuration.method_settings import resolve_settings
from patch2loc.data import volumes
from patch2loc.data.scans import Scan
from patch2loc.errors import InputError
from patch2loc.evaluate.patch_analysis import analyze_patches
from patch2loc.files import write_json
from patch2loc.method_interface import declaration, method
from patch2loc.models import load_model, save_model, sealed
from patch2loc.score import job
from patch2loc.score.heatmap_folder import PATCH_PREDICTIONS, read_patch_predictions
from patch2loc.score.job import score_scans
from patch2loc.score.postprocessing import as_published
from patch2loc.score.scoring import heatmap_of
from patch2loc.standardize import fit_landmarks, read_standardized
from patch2loc.train import FitJob, fit_model, write_model

REST = {"spacing": 2.0, "precision": "float32"}
SCORING = {"device": CPU, "stride": 1, "median_filter": 3, "code": "code"}
SHORTER = {
    "steps": 3,
    "batch": 2,
    "validations": 2,
    "validation_slices": 4,
    "pretraining_steps": 0,
    "sizes": [1, 1.5],  # of patches of 8 voxels
}


def settings_of(name):
    """Settings of a method for a few steps."""
    own = resolve_settings(name, "smoke")
    return {**SETTINGS, **REST, **own, **{key: value for key, value in SHORTER.items() if key in own}}


@pytest.fixture
def scans(tmp_path):
    return [write_scan(tmp_path, f"s{n}", n) for n in range(6)]


def fit(folder, scans, name="patch2loc", code="code", **preprocess):
    write_json(folder / "landmarks.json", fit_landmarks(scans[:3]))
    fitted = fit_model(
        FitJob(name, "T1", 0, settings_of(name), {"atlas": "icbm152", "preprocess": preprocess}, code, CPU),
        training=scans[:3],
        validation=scans[3:4],
        landmarks_path=folder / "landmarks.json",
        checkpoint_folder=folder / name,
        needed_models={needed: fit(folder, scans, needed) for needed in declaration(name).needs},
    )
    write_model(fitted, folder / name / "model.safetensors", folder / name / "history.csv")
    return folder / name / "model.safetensors"


@pytest.mark.parametrize("name", METHODS)
def test_a_model_file_is_all_that_scoring_needs(tmp_path, scans, name):
    model = load_model(fit(tmp_path, scans, name))
    volume, mask = scans[5].read()
    truth = (mask & (volume > 150),)
    heatmap = heatmap_of(model, CPU, median_filter=3)(volume, mask, "s5", *truth)
    assert np.array_equal(np.isfinite(heatmap), mask)
    score = method(name).scorer(model["state"], CPU)
    standardized, _ = read_standardized(scans[5], model["landmarks"])
    given = truth if declaration(name).needs_lesion else ()
    everywhere = score(standardized, mask, np.ones_like(mask), *given)["score"]
    expected = ndimage.median_filter(everywhere, size=3, mode="reflect")
    np.testing.assert_allclose(heatmap[mask], expected[mask], rtol=1e-4, atol=1e-4)


def test_the_model_says_what_made_it(tmp_path, scans):
    model = load_model(fit(tmp_path, scans))
    assert model["training_subjects"] == ["s0", "s1", "s2"]
    assert model["validation_subjects"] == ["s3"]
    assert model["landmarks"]["subjects"] == ["s0", "s1", "s2"]
    assert model["grid"]["shape"] == list(SHAPE)
    assert model["provenance"]["configuration"]["seed"] == 1
    assert "torch" in model["provenance"]["environment"]
    hashes = model["provenance"]["inputs"]
    assert len(hashes) == 1 + 2 * 4  # landmarks, and scan and mask of every training and validation subject
    assert not any("s4" in path or "s5" in path for path in hashes)


def test_nothing_of_a_test_scan_reaches_the_model(tmp_path, scans):
    first = fit(tmp_path, scans).read_bytes()
    write_scan(tmp_path, "s4", 99)
    write_scan(tmp_path, "s5", 98)
    assert fit(tmp_path, scans).read_bytes() == first
    write_scan(tmp_path, "s0", 97)
    assert fit(tmp_path, scans).read_bytes() != first


def test_a_checkpoint_of_other_code_is_not_gone_on_from(tmp_path, scans):
    fit(tmp_path, scans)
    (before,) = (tmp_path / "patch2loc").glob("checkpoint-*.pt")
    fit(tmp_path, scans, code="other")
    (after,) = (tmp_path / "patch2loc").glob("checkpoint-*.pt")
    assert before != after


def test_zscore_by_hand(tmp_path, scans):
    state = load_model(fit(tmp_path, scans, "zscore"))["state"]
    landmarks = fit_landmarks(scans[:3])
    stack = np.stack([read_standardized(scan, landmarks)[0] for scan in scans[:3]])
    np.testing.assert_allclose(state["mean"], stack.mean(0), atol=1e-6)
    np.testing.assert_allclose(state["spread"], np.maximum(stack.std(0, ddof=1), 0.05), atol=1e-6)
    volume, mask = read_standardized(scans[5], landmarks)
    found = method("zscore").scorer(state, CPU)(volume, mask, mask)["score"]
    expected = np.abs(volume - stack.mean(0)) / np.maximum(stack.std(0, ddof=1), 0.05)
    np.testing.assert_allclose(found[mask], expected[mask], rtol=1e-4, atol=1e-4)


def test_thresh_is_the_share_of_darker_brain():
    volume = np.array([[[1.0, 2, 3, 4]]], np.float32)
    mask = np.array([[[True, True, True, False]]])
    found = method("thresh").scorer({}, CPU)(volume, mask, np.ones_like(mask))["score"]
    np.testing.assert_allclose(found, [[[1 / 3, 2 / 3, 1, 1]]])


def test_thresh_scores_the_same_by_other_landmarks(scans):
    # What SCORED_ONCE says. Nyul's map is increasing: ranks change where the interpolation rounds, if at all.
    score = method("thresh").scorer({}, CPU)
    maps = [
        score(*read_standardized(scans[5], fit_landmarks(training)), scans[5].read()[1])["score"]
        for training in (scans[:2], scans[2:5])
    ]
    np.testing.assert_allclose(*maps, atol=1e-3)  # of the rank of a voxel among 1,000
    assert np.isclose(*maps, rtol=0, atol=0, equal_nan=True).mean() > 0.999


def calls_of(module, name, monkeypatch, *, most=None, counts=lambda *given: True):
    """The calls of a function from now on, to which one is added as each begins; killed at the one after `most`."""
    original, calls = getattr(module, name), []

    def counted(*given):
        if counts(*given):
            if len(calls) == most:
                raise KeyboardInterrupt
            calls.append(given)
        return original(*given)

    monkeypatch.setattr(module, name, counted)
    return calls


def score_killed(
    model, scans, folder, module, name, *, after, monkeypatch, counts=lambda *given: True, **others
):
    """Score scans by a process that is killed after so many calls of a function."""
    with monkeypatch.context() as patch:
        calls_of(module, name, patch, most=after, counts=counts)
        with pytest.raises(KeyboardInterrupt):
            score_scans(model, scans, folder, **SCORING, **others)


def test_scoring_goes_on_where_it_was_stopped(tmp_path, scans, monkeypatch):
    model = fit(tmp_path, scans, "zscore")
    whole, folder = tmp_path / "whole", tmp_path / "fold0"
    score_scans(model, scans, whole, **SCORING, same_dataset=True)
    score_killed(model, scans, folder, volumes, "write", after=4, monkeypatch=monkeypatch, same_dataset=True)
    assert not folder.exists()
    written = calls_of(volumes, "write", monkeypatch)
    score_scans(model, scans, folder, **SCORING, same_dataset=True)
    assert len(written) == 2  # four of six were kept
    assert {path.name for path in folder.iterdir()} == {"seconds.csv", *(f"s{n}.nii.gz" for n in range(6))}
    for path in whole.glob("*.nii.gz"):
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert list(pd.read_csv(folder / "seconds.csv")["subject"]) == [scan.subject for scan in scans]


@pytest.mark.parametrize("kills", [1, 2, 3, 4])
def test_scoring_that_is_killed_while_heatmaps_get_their_names_goes_on(tmp_path, scans, monkeypatch, kills):
    model, folder = fit(tmp_path, scans, "ae"), tmp_path / "fold0"
    published = {"as_published": declaration("ae").as_published}
    score_scans(model, scans[4:], tmp_path / "whole", **SCORING, **published)
    score_killed(
        model,
        scans[4:],
        folder,
        os,
        "replace",
        after=kills - 1,
        monkeypatch=monkeypatch,
        counts=lambda source, target: Path(target).match("s*.nii.gz"),
        **published,
    )
    score_scans(model, scans[4:], folder, **SCORING, **published)
    whole = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*"))
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == whole
    for name in whole:
        if name.suffix == ".gz":
            assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_post_processing_of_the_authors_makes_a_second_heatmap(tmp_path, scans):
    model, folder = fit(tmp_path, scans, "ae"), tmp_path / "fold0"
    score_scans(model, scans[4:], folder, **SCORING, as_published=declaration("ae").as_published)
    assert {path.name for path in (folder / "as_published").iterdir()} == {
        "seconds.csv",
        "s4.nii.gz",
        "s5.nii.gz",
    }
    state, landmarks = load_model(model)["state"], load_model(model)["landmarks"]
    volume, mask = read_standardized(scans[5], landmarks)
    score = method("ae").scorer(state, CPU)(volume, mask, mask)["score"]
    found, _ = volumes.read(folder / "as_published" / "s5.nii.gz")
    np.testing.assert_allclose(
        found, as_published(score, mask, 2.0, erosion=3, median=5), rtol=1e-4, atol=1e-6
    )
    common, _ = volumes.read(folder / "s5.nii.gz")
    assert np.array_equal(np.isfinite(common), np.isfinite(found))
    assert not np.allclose(common[mask], found[mask])
    (folder / "as_published").rename(tmp_path / "before")
    score_scans(model, scans[4:], folder, **SCORING, as_published=declaration("ae").as_published)
    for path in (tmp_path / "before").glob("*.nii.gz"):
        assert (folder / "as_published" / path.name).read_bytes() == path.read_bytes()


def test_heatmaps_of_another_model_are_not_kept(tmp_path, scans):
    partial = tmp_path / "fold0.partial"
    partial.mkdir()
    (partial / "stale.nii.gz").write_text("from another model")
    score_scans(
        fit(tmp_path, scans, "zscore"),
        scans[4:],
        tmp_path / "fold0",
        device=CPU,
        stride=1,
        median_filter=3,
        code="code",
    )
    assert not (tmp_path / "fold0" / "stale.nii.gz").exists()


def copied(scan, folder, subject):
    """A scan of the same content under another name."""
    shutil.copytree(scan.folder, folder / subject)
    return Scan(subject, folder / subject, scan.modality)


def test_a_copy_of_a_training_or_validation_scan_is_not_scored(tmp_path, scans):
    model_path = fit(tmp_path, scans)
    contents = load_model(model_path)["contents"]
    assert contents == {scan.subject: scan.contents().acquired for scan in scans[:4]}
    trained, validated = copied(scans[0], tmp_path, "p"), copied(scans[3], tmp_path, "q")
    same_name = copied(scans[1], tmp_path / "other", "s1")
    tested = [trained, scans[5], validated, same_name]
    said = rf"/p is s0; \S+/q is s3; \S+/other/s1 is s1: 3 scans .* of training or validation scans of {model_path}"
    with pytest.raises(InputError, match=said):
        score_scans(model_path, tested, tmp_path / "heatmaps" / "fold0", **SCORING)
    assert not (tmp_path / "heatmaps").exists()
    # Of the dataset that the model was trained on, only copies are refused: its lists say who has which role.
    with pytest.raises(InputError, match=r"/p is s0; \S+/q is s3: 2 scans"):
        score_scans(model_path, tested, tmp_path / "heatmaps" / "fold0", **SCORING, same_dataset=True)


def test_a_validation_scan_that_is_a_copy_of_a_training_scan_is_refused(tmp_path, scans):
    with pytest.raises(InputError, match=r"/v is s2: 1 scans found whose voxels are those of training scans"):
        fit(tmp_path, [*scans[:3], copied(scans[2], tmp_path, "v")], "thresh")
    fit(tmp_path, [*scans[:3], scans[2]], "thresh")  # as published lists have it


def test_a_scan_on_another_grid_is_refused(tmp_path, scans):
    heatmap = heatmap_of(load_model(fit(tmp_path, scans, "thresh")), CPU)
    with pytest.raises(InputError, match=r"odd\.nii\.gz: grid \(9, 9, 9\).*trained on \(24, 20, 6\)"):
        heatmap(np.ones((9, 9, 9), np.float32), np.ones((9, 9, 9), bool), "odd.nii.gz")


def test_patch_table_tiles_the_slices(tmp_path, scans):
    lesion = np.zeros(SHAPE, bool)
    lesion[8:16, 8:16, 2] = True  # the whole patch centered on (12, 12), voxels 8 to 15
    volumes.write(scans[5].lesion_path, lesion, np.eye(4))
    score_scans(fit(tmp_path, scans), scans[4:], tmp_path / "fold0", **SCORING)
    predictions = read_patch_predictions(tmp_path / "fold0")
    table = analyze_patches(predictions, scans[5:], 2.0)
    assert set(predictions["subject"]) == {"s4", "s5"}
    assert set(table["subject"]) == {"s5"}
    assert set(table["x"]) <= {4, 12, 20}
    assert set(table["y"]) <= {4, 12}  # 20 voxels hold two whole patches of 8
    assert not table.duplicated(["x", "y", "z"]).any()
    assert (table["brain_fraction"] >= 0.2).all()
    full = table[(table[["x", "y", "z"]] == [12, 12, 2]).all(axis=1)].iloc[0]
    assert full["lesion_fraction"] == 1
    assert table["lesion_fraction"].sum() == pytest.approx(1)
    true = np.array([100 * 12 / 24, 100 * 12 / 20])
    error = np.linalg.norm(true - full[["mean_x", "mean_y"]].to_numpy(float))
    assert full["location_error"] == pytest.approx(error, rel=1e-5)
    assert full["log_error"] == pytest.approx(np.log(error**2 + 0.5), rel=1e-4)


def test_predictions_of_patches_are_kept_with_the_heatmaps_of_a_killed_run(tmp_path, scans, monkeypatch):
    model, folder = fit(tmp_path, scans), tmp_path / "fold0"
    published = {"as_published": declaration("ae").as_published}
    score_scans(model, scans[4:], tmp_path / "whole", **SCORING, **published)
    score_killed(model, scans[4:], folder, job, "write_part", after=1, monkeypatch=monkeypatch)
    predicted = calls_of(job, "write_part", monkeypatch)
    score_scans(model, scans[4:], folder, **SCORING)
    assert len(predicted) == 1  # one of two was kept
    assert sorted(path.name for path in folder.iterdir()) == [
        PATCH_PREDICTIONS,
        "s4.nii.gz",
        "s5.nii.gz",
        "seconds.csv",
    ]
    pd.testing.assert_frame_equal(*map(read_patch_predictions, (folder, tmp_path / "whole")))


def test_files_that_are_no_models_are_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(InputError, match=r"text\.safetensors: not a readable model"):
        load_model(tmp_path / "text.safetensors")
    save_file({"weights": np.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="not a model of this workflow"):
        load_model(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "absent.safetensors")


def test_the_same_model_gives_the_same_bytes(tmp_path):
    state = {"a": np.arange(5.0), "deep": {"b": np.zeros((2, 1), np.int64), "c": None, "d": np.array(7)}}
    model = complete_model(state=state)
    save_model(tmp_path / "one.safetensors", model)
    save_model(tmp_path / "two.safetensors", model)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    loaded = load_model(tmp_path / "one.safetensors")
    np.testing.assert_equal(loaded, sealed(model))
    assert loaded["state"]["deep"]["b"].dtype == np.int64
    assert loaded["state"]["deep"]["d"].shape == ()  # as a network's counts of batches
    save_model(tmp_path / "three.safetensors", loaded)
    assert (tmp_path / "three.safetensors").read_bytes() == (tmp_path / "one.safetensors").read_bytes()


def test_epsilon_is_of_heatmaps_and_not_of_the_patch_analysis(tmp_path, scans):
    model = fit(tmp_path, scans)
    named = {"stride": 1, "median_filter": 1}
    for name, epsilon in (("ours", None), ("half", 0.5), ("theirs", 1e-10)):
        score_scans(model, scans[4:], tmp_path / name, **SCORING | named, epsilon=epsilon)
    maps = {
        name: volumes.read(tmp_path / name / f"{scans[4].subject}.nii.gz")[0]
        for name in ("ours", "half", "theirs")
    }
    mask = volumes.read_mask(scans[4].mask_path)
    np.testing.assert_array_equal(maps["ours"], maps["half"])
    lowered = maps["half"][mask] - maps["theirs"][mask]
    assert (lowered > 0).all()
    assert lowered.max() > 10 * lowered.min()  # most where the error is least
    tables = [read_patch_predictions(tmp_path / name) for name in ("half", "theirs")]
    pd.testing.assert_frame_equal(*tables)


def test_tiles_from_the_edge_are_those_of_the_whole_job(tmp_path, scans):
    score_scans(fit(tmp_path, scans), scans[4:], tmp_path / "fold0", **SCORING, tiles="from-edge")
    table = read_patch_predictions(tmp_path / "fold0")
    width = table["patch"].iloc[0]
    assert (table[["x", "y"]] % width == 0).all(axis=None)


def test_a_model_of_scans_cropped_around_their_brains_scores_scans_of_a_run_and_has_no_place(tmp_path, scans):
    path = fit(tmp_path, scans, crop="brain")
    assert set(load_model(path)["grid"]) == {"axes", "shape", "spacing"}
    score_scans(path, scans[4:], tmp_path / "brain", **SCORING)
    score_scans(fit(tmp_path / "other", scans), scans[4:], tmp_path / "atlas", **SCORING)
    maps = [volumes.read(tmp_path / name / f"{scans[4].subject}.nii.gz")[0] for name in ("brain", "atlas")]
    np.testing.assert_array_equal(*maps)
