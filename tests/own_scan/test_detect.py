import json
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from contrasts import brain_of
from scipy import ndimage
from small_detector import IN_PLACE, N_HEALTHY, SPACING, simulated_brain, write_brain, write_detector
from written_models import write_model

from patch2loc import files, trained
from patch2loc.data import volumes
from patch2loc.data.content import content_hash
from patch2loc.errors import InputError
from patch2loc.models import load_model, save_model, sealed
from patch2loc.own_scan import STAGES, detect, detect_scan, load_detector, warnings
from patch2loc.own_scan.answer import CANDIDATE_COLUMNS
from patch2loc.own_scan.scorer import _included_for
from patch2loc.preprocess.atlas import load_atlas
from patch2loc.tables.patients import answer_row

FILES = {
    "heatmap.nii.gz",
    "heatmap_atlas.nii.gz",
    "candidates.nii.gz",
    "candidates_atlas.nii.gz",
    "candidates.csv",
    "picture.png",
    "report.html",
    "summary.json",
    "preprocessed",
}
CENTER, RADIUS = (-30.0, -20.0, 30.0), 12.0  # of a dark blob in left white matter, MNI mm


def draw_nothing(patch):
    """The picture and the page take most of the time of a small scan."""
    for name in ("write_picture", "write_page"):
        patch.setattr(detect, name, lambda path, answer: path.write_text("nothing"))


@pytest.fixture
def empty_pictures(monkeypatch):
    draw_nothing(monkeypatch)


@pytest.fixture(scope="module")
def detector(detector_path):
    return load_detector(detector_path)


@pytest.mark.parametrize(
    ("contrast", "looks_like"),
    [("FLAIR", "a FLAIR scan"), ("T2", "a T2 scan, or a T1 scan with inverted brightness")],
)
def test_a_scan_of_another_contrast_is_refused_and_no_model_proposed_that_is_not_there(
    contrast, looks_like, detector, tmp_path
):
    scan = tmp_path / "scan.nii.gz"
    volumes.write(scan, *brain_of(contrast))
    with pytest.raises(InputError) as refused:
        detect_scan(detector, scan, tmp_path / "out")
    model = detector.scorer.model_path.stem
    assert str(refused.value) == (
        f"{scan} looks like {looks_like}; model {model} reads T1 only. No {contrast} model is included."
    )


@pytest.fixture(scope="module")
def flair_detector(tmp_path_factory):
    path = tmp_path_factory.mktemp("flair") / "flair.safetensors"
    return load_detector(write_detector(path, modality="FLAIR"))


def test_a_flair_detector_reads_flair_scans_alone(flair_detector, empty_pictures, tmp_path):
    scan = write_brain(tmp_path / "scan.nii.gz", 100, [(CENTER, RADIUS, 1.6)], "FLAIR")
    summary = detect_scan(flair_detector, scan, tmp_path / "out")
    assert summary["judged"]
    assert summary["candidates"]
    first = pd.read_csv(tmp_path / "out/candidates.csv").iloc[0]
    assert np.linalg.norm(first[["x_mm", "y_mm", "z_mm"]].to_numpy(float) - CENTER) < RADIUS
    for modality, proposal in (("T1", "Give --model t1-2mm"), ("T2", "No T2 model is included")):
        volumes.write(scan, *brain_of(modality))
        with pytest.raises(InputError, match=rf"a {modality} scan.* flair reads FLAIR only. {proposal}"):
            detect_scan(flair_detector, scan, tmp_path / modality)


def test_the_included_model_of_a_scans_contrast_is_proposed():
    assert _included_for("T1") == f"Give --model {trained.DEFAULT}."


@pytest.fixture(scope="module")
def blob_scan(tmp_path_factory):
    """A brain with a blob, stored from right to left."""
    path = tmp_path_factory.mktemp("scan") / "blob.nii.gz"
    image, affine = simulated_brain(100, [(CENTER, RADIUS, 0.4)])
    nib.save(nib.Nifti1Image(image, affine).as_reoriented([[0, -1], [1, 1], [2, 1]]), path)
    return path


@pytest.fixture(scope="module")
def healthy_scan(tmp_path_factory):
    return write_brain(tmp_path_factory.mktemp("scan") / "healthy.nii.gz", 101)


@pytest.fixture(scope="module")
def answered(detector, blob_scan, tmp_path_factory):
    """Folder, summary and the stages that were told; pictures and all."""
    stages, folder = [], tmp_path_factory.mktemp("out") / "blob"
    summary = detect_scan(detector, blob_scan, folder, stage_done=stages.append)
    return folder, summary, stages


def test_everything_is_written_and_said(answered, blob_scan, detector_path):
    folder, summary, stages = answered
    assert {path.name for path in folder.iterdir()} == FILES
    assert not [path for path in folder.parent.iterdir() if path != folder]
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert (summary["scan"], summary["model"]) == (str(blob_scan), str(detector_path))
    assert tuple(stages) == tuple(summary["seconds"]) == STAGES
    assert summary["files"].keys() == files.file_hashes(folder).keys()
    assert (summary["map"], summary["threshold"]) == ("joined", 3.0)


def test_a_painted_blob_is_the_first_candidate(answered, detector):
    _, summary, _ = answered
    table = pd.read_csv(answered[0] / "candidates.csv")
    assert list(table) == [*CANDIDATE_COLUMNS, "warnings"]
    first = table.iloc[0]
    assert np.linalg.norm(np.array([first.x_mm, first.y_mm, first.z_mm]) - CENTER) <= RADIUS
    assert (first.side, first.tissue, first.percentile) == ("left", "fluid", 100.0)  # as dark
    truth_ml = 4 / 3 * np.pi * RADIUS**3 / 1000
    assert truth_ml / 2 < first.volume_ml < 2 * truth_ml
    assert summary["candidates"] == len(table)
    assert summary["abnormal_ml"] == pytest.approx(table.volume_ml.sum(), abs=0.01)
    assert summary["percentile"] == 100.0
    assert summary["n_healthy"] == N_HEALTHY == len(detector.reference.scans)
    assert summary["answer"].startswith(f"More abnormal than all {N_HEALTHY} healthy scans; ")


def test_the_candidates_are_the_parts_of_the_map_above_the_threshold(answered):
    folder, summary, _ = answered
    rarity, affine = volumes.read(folder / "heatmap_atlas.nii.gz")
    labels, labels_affine = volumes.read(folder / "candidates_atlas.nii.gz")
    mask = volumes.read_mask(folder / "preprocessed" / "mask.nii.gz")
    np.testing.assert_array_equal(affine, labels_affine)
    np.testing.assert_array_equal(np.isfinite(rarity), mask)
    above = np.nan_to_num(rarity, nan=-1) > summary["threshold"]
    assert not labels[~above].any()
    parts, _ = ndimage.label(above, np.ones((3, 3, 3)))
    table = pd.read_csv(folder / "candidates.csv")
    for row in table.itertuples():
        part = parts[labels == row.label]
        assert len(set(part)) == 1
        assert np.count_nonzero(parts == part[0]) * SPACING**3 / 1000 == pytest.approx(row.volume_ml)
        assert rarity[labels == row.label].max() == pytest.approx(row.peak, abs=0.01)
    assert (np.diff(table.excess) <= 0).all()


def test_map_and_labels_lie_on_the_scans_own_voxels(answered, blob_scan):
    folder, _, _ = answered
    stored, affine = volumes.read(blob_scan)
    rarity, rarity_affine = volumes.read(folder / "heatmap.nii.gz")
    labels, labels_affine = volumes.read(folder / "candidates.nii.gz")
    assert nib.load(folder / "candidates.nii.gz").get_data_dtype() == np.int16
    assert rarity.shape == labels.shape == stored.shape
    for found in (rarity_affine, labels_affine):
        np.testing.assert_allclose(found, affine, atol=1e-6)
    table = pd.read_csv(folder / "candidates.csv")
    counts = np.bincount(labels.astype(int).ravel())
    assert list(counts[1:]) == list(table.native_voxels)
    places = np.argwhere(labels == 1) @ affine[:3, :3].T + affine[:3, 3]
    np.testing.assert_allclose(places.mean(axis=0), CENTER, atol=SPACING)  # fluid in it stays as it was
    assert np.nanmedian(rarity[labels == 1]) > 3


def test_a_scan_that_cannot_be_judged_has_maps_but_no_candidate_and_no_number(
    detector, blob_scan, tmp_path, monkeypatch
):
    monkeypatch.setattr(warnings, "FAR_OFF", 0.0)
    folder = tmp_path / "out"
    summary = detect_scan(detector, blob_scan, folder)
    assert summary["answer"].startswith(
        "This scan cannot be judged: no part of the brain looks as in the training"
    )
    assert summary["warnings"][1]["name"] == "cannot_be_judged"
    assert [summary[name] for name in ("judged", "percentile", "candidates", "abnormal_ml")] == [
        False,
        None,
        None,
        None,
    ]
    assert {path.name for path in folder.iterdir()} == FILES
    assert not volumes.read(folder / "candidates.nii.gz")[0].any()
    assert np.isfinite(volumes.read(folder / "heatmap.nii.gz")[0]).any()
    assert "No candidates are listed" in (folder / "report.html").read_text()
    (row,) = [answer_row(folder)]
    assert (row["percentile"], row["candidates"]) == (None, None)
    with pytest.raises(InputError, match="cannot be judged"):
        detect_scan(detector, blob_scan, tmp_path / "strict", strict=True)


@pytest.mark.usefixtures("empty_pictures")
def test_a_healthy_scan_has_little_but_what_healthy_ones_have(answered, detector, healthy_scan, tmp_path):
    summary = detect_scan(detector, healthy_scan, tmp_path / "out")
    healthy_ml = detector.reference.values("abnormal_ml")
    # A detector trained in seconds differs from processor to processor: 0.5 to 5 ml in healthy scans, a blob of 7 ml.
    assert summary["abnormal_ml"] < answered[1]["abnormal_ml"] / 2
    assert summary["expected_healthy_ml"] == {
        "median": pytest.approx(np.median(healthy_ml), abs=1e-3),
        "most": pytest.approx(healthy_ml.max(), abs=1e-3),
    }
    errors = detector.reference.values("location_error")
    assert summary["location_error"]["healthy_median"] == pytest.approx(np.median(errors), abs=1e-3)
    assert summary["location_error"]["scan"] == pytest.approx(np.median(errors), rel=0.1)


def test_warnings_are_in_every_file(answered):
    folder, summary, _ = answered
    assert [warning["name"] for warning in summary["warnings"]] == ["simulated", "few_healthy"]
    assert summary["answer"].endswith("Warnings: simulated, few healthy.")
    assert set(pd.read_csv(folder / "candidates.csv").warnings) == {"simulated few_healthy"}
    for path in folder.glob("*.nii.gz"):
        assert nib.load(path).header["descrip"] == b"warnings: simulated few_healthy"
    assert "trained on simulated scans" in (folder / "report.html").read_text()


@pytest.fixture
def real_model(detector_path, tmp_path):
    """The detector as if it had been trained on real scans of few ages, and enough healthy ones; others change it."""

    def written(**others):
        model = load_model(detector_path)
        reference = model["reference"]
        cohort = {**reference["cohort"], "simulated": False, **others.pop("cohort", {})}
        scans = [
            {**scan, "subject": f"{scan['subject']}-{number}"}
            for number in range(3)
            for scan in reference["scans"]
        ]
        volumes_ml = {name: np.tile(each, (3, 1)) for name, each in reference["false_positive_ml"].items()}
        reference = {**reference, "cohort": cohort, "scans": scans, "false_positive_ml": volumes_ml}
        path = tmp_path / "real.safetensors"
        save_model(path, sealed({**model, "reference": reference, **others}))
        return load_detector(path)

    return written


@pytest.mark.usefixtures("empty_pictures")
def test_no_warning_without_reason_and_each_with_its_own(real_model, healthy_scan, tmp_path):
    summary = detect_scan(real_model(), healthy_scan, tmp_path / "fit", age=40, strict=True)
    assert summary["warnings"] == []
    assert not nib.load(tmp_path / "fit" / "heatmap.nii.gz").header["descrip"].item()
    contents = {"sub-07": content_hash(*volumes.read(healthy_scan))}
    unlike = real_model(contents=contents, preprocess_version=99, cohort={"largest_voxel_mm": 1.0})
    scan = shutil.copy(healthy_scan, tmp_path / "sub-01_ce-gadolinium_T1w.nii.gz")
    summary = detect_scan(unlike, scan, tmp_path / "unlike", age=80)
    assert [warning["name"] for warning in summary["warnings"]] == [
        "known_scan",
        "preprocessing",
        "resolution",
        "age",
        "contrast_agent",
    ]


@pytest.mark.usefixtures("empty_pictures")
def test_strict_refuses_and_writes_nothing(detector, healthy_scan, tmp_path):
    with pytest.raises(
        InputError, match=r"healthy\.nii\.gz: 3 warnings found, .*simulated.*18 to.*8 healthy"
    ):
        detect_scan(_with_ages(detector, 18, 30), healthy_scan, tmp_path / "out", age=31, strict=True)
    assert not (tmp_path / "out").exists()


def _with_ages(detector, least, greatest):
    reference = detector.reference
    cohort = replace(reference.cohort, ages=[least, greatest])
    return replace(detector, reference=replace(reference, cohort=cohort))


def test_strict_refuses_an_answer_that_is_there(answered, detector, blob_scan):
    before = files.file_hashes(answered[0])
    with pytest.raises(InputError, match=r"2 warnings found, none expected \(strict\)"):
        detect_scan(detector, blob_scan, answered[0], strict=True)
    assert files.file_hashes(answered[0]) == before


def test_the_same_is_kept_and_anything_else_refused(answered, detector, blob_scan, monkeypatch):
    folder, summary, _ = answered
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.setattr(detect, "preprocessed_for", None)
    assert detect_scan(detector, blob_scan, folder) == summary
    for options in ({"map_name": "zscore"}, {"threshold": 4.0}, {"age": 30}, {"skull_strip": "atlas"}):
        with pytest.raises(InputError, match="differs in settings is there"):
            detect_scan(detector, blob_scan, folder, **options)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.usefixtures("empty_pictures")
def test_a_damaged_result_is_made_again(detector, healthy_scan, tmp_path):
    folder = tmp_path / "out"
    first = detect_scan(detector, healthy_scan, folder)
    (folder / "candidates.csv").unlink()
    shutil.rmtree(folder / "preprocessed")
    notices = []
    again = detect_scan(detector, healthy_scan, folder, notify=notices.append)
    assert len(notices) == 1
    assert "candidates.csv, preprocessed/T1.nii.gz" in notices[0]
    of_time = {"seconds", "files"}
    assert {key: again[key] for key in again.keys() - of_time} == {
        key: first[key] for key in first.keys() - of_time
    }
    assert files.file_hashes(folder).keys() == first["files"].keys()


def test_nothing_is_left_of_a_failure(detector, healthy_scan, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(detect, "write_picture", fail)
    with pytest.raises(OSError, match="no space left"):
        detect_scan(detector, healthy_scan, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("empty_pictures")
def test_each_map_and_threshold_is_answered_by_its_own_healthy_scans(detector, blob_scan, answered, tmp_path):
    reference = detector.reference
    for name in ("patch2loc", "zscore"):
        summary = detect_scan(detector, blob_scan, tmp_path / name, map_name=name)
        healthy_ml = reference.values("abnormal_ml", name)
        assert summary["map"] == name
        assert summary["expected_healthy_ml"]["median"] == pytest.approx(np.median(healthy_ml), abs=1e-3)
    summary = detect_scan(detector, blob_scan, tmp_path / "higher", threshold=4.55)
    table = pd.read_csv(tmp_path / "higher" / "candidates.csv")
    assert summary["threshold"] == 4.55
    assert table.percentile.isna().all()  # the healthy scans' candidates are those at another threshold
    assert table.peak.min() > 4.55
    assert summary["abnormal_ml"] < answered[1]["abnormal_ml"]
    assert summary["percentile"] == answered[1]["percentile"]
    stored = reference.false_positive_ml["joined"][:, [30, 31]]  # at 4.5 and 4.6
    assert summary["expected_healthy_ml"]["most"] == pytest.approx(stored.mean(axis=1).max(), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"map_name": "both"}, "map: 'both' found, one of joined, patch2loc, zscore expected"),
        ({"threshold": 1.0}, "threshold: 1 found, 1.5 to 6 expected"),
        ({"threshold": float("nan")}, "threshold: nan found, 1.5 to 6 expected"),
        ({"skull_strip": "guess"}, "preprocess skull_strip: 'guess' found"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(detector, healthy_scan, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        detect_scan(detector, healthy_scan, tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_a_mask_that_is_given_is_used(detector, healthy_scan, tmp_path, monkeypatch):
    draw_nothing(monkeypatch)
    image, affine = volumes.read(healthy_scan)
    left = np.where(np.indices(image.shape)[0] < image.shape[0] // 2, image, 0) > 0
    mask_path = tmp_path / "mask.nii.gz"
    volumes.write(mask_path, ndimage.binary_dilation(left, iterations=8) & (image > 0), affine)
    summary = detect_scan(detector, healthy_scan, tmp_path / "out", mask_path=mask_path)
    assert summary["provenance"]["settings"]["preprocess"]["skull_strip"] == "given"
    heatmap = volumes.read(tmp_path / "out" / "heatmap.nii.gz")[0]
    assert np.isnan(heatmap[-20:]).all()
    assert any(warning["name"] == "quality" for warning in summary["warnings"])


def test_a_model_without_healthy_scans_is_no_detector(tmp_path):
    path = write_model(tmp_path / "model.safetensors", load_atlas("icbm152", "T1"), preprocess=IN_PLACE)
    with pytest.raises(
        InputError, match=r"model\.safetensors: a model of thresh without healthy .* \(patch2loc score\)"
    ):
        load_detector(path)
