import json
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from contrasts import IN_ATLAS_SPACE
from matplotlib.figure import Figure
from matplotlib.image import imread
from poses import moved_brain, rigid
from written_models import SHAPE, SPACING, write_model

from patch2loc import files
from patch2loc.data import volumes
from patch2loc.data.content import content_hash
from patch2loc.errors import InputError
from patch2loc.models import load_model
from patch2loc.network.location import LocationNetwork
from patch2loc.own_scan import STAGES, load_scorer, score, score_own_scan
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.scan import read_transform, to_native_space
from patch2loc.preprocess.version import PREPROCESSING_VERSION
from patch2loc.score.scoring import heatmap_of

IN_PLACE = {key: IN_ATLAS_SPACE[key] for key in ("registration", "bias_correction")}
FILES = {"heatmap.nii.gz", "heatmap_atlas.nii.gz", "heatmap.png", "summary.json", "preprocessed"}


@pytest.fixture(scope="module")
def atlas():
    return load_atlas("icbm152", "T1")


@pytest.fixture(scope="module")
def model(atlas, tmp_path_factory):
    return write_model(
        tmp_path_factory.mktemp("model") / "model.safetensors",
        atlas,
        healthy_threshold=0.9,
        preprocess_version=PREPROCESSING_VERSION,
    )


@pytest.fixture(scope="module")
def scan(atlas, tmp_path_factory):
    """The atlas brain, turned and shifted, stored from right to left."""
    image, affine = moved_brain(atlas, rigid((4, 0, 8), (5, -7, 3)))
    stored = nib.Nifti1Image(image, affine).as_reoriented([[0, -1], [1, 1], [2, 1]])
    path = tmp_path_factory.mktemp("scan") / "head.nii.gz"
    nib.save(stored, path)
    return path


@pytest.fixture(scope="module")
def scorer(model):
    return load_scorer(model)


@pytest.fixture(scope="module")
def scan_in_place(atlas, tmp_path_factory):
    """The atlas brain where it is, for what does not depend on registration."""
    path = tmp_path_factory.mktemp("in_place") / "head.nii.gz"
    nib.save(nib.Nifti1Image(*moved_brain(atlas, np.eye(4))), path)
    return path


@pytest.fixture(scope="module")
def scorer_in_place(atlas, tmp_path_factory):
    path = tmp_path_factory.mktemp("in_place") / "model.safetensors"
    return load_scorer(write_model(path, atlas, preprocess=IN_PLACE))


def draw_nothing(patch):
    """Drawing the picture takes half of the time of a small scan."""
    patch.setattr(score, "scan_figure", lambda *_, **__: Figure(figsize=(1, 1)))


@pytest.fixture
def empty_pictures(monkeypatch):
    draw_nothing(monkeypatch)


@pytest.fixture(scope="module")
def scored_in_place(scorer_in_place, scan_in_place, tmp_path_factory):
    """Folder, where the picture is empty, and summary."""
    folder = tmp_path_factory.mktemp("out_in_place") / "head"
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        return folder, score_own_scan(scorer_in_place, scan_in_place, folder, skull_strip="none")


@pytest.fixture(scope="module")
def scored(scorer, scan, tmp_path_factory):
    """Folder, summary and the stages that were told."""
    stages, folder = [], tmp_path_factory.mktemp("out") / "head"
    summary = score_own_scan(scorer, scan, folder, skull_strip="none", stage_done=stages.append)
    return folder, summary, stages


def test_everything_is_written_and_said(scored):
    folder, summary, stages = scored
    assert {path.name for path in folder.iterdir()} == FILES
    assert not [path for path in folder.parent.iterdir() if path != folder]
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert tuple(stages) == STAGES
    assert imread(folder / "heatmap.png").shape[1] == 1800


def test_the_heatmap_is_that_of_the_workflow(scored, model, atlas, scan):
    folder, _, _ = scored
    volume, affine = volumes.read(folder / "preprocessed" / "T1.nii.gz")
    mask = volumes.read_mask(folder / "preprocessed" / "mask.nii.gz")
    found, found_affine = volumes.read(folder / "heatmap_atlas.nii.gz")
    np.testing.assert_array_equal(
        found, heatmap_of(load_model(model), "cpu", median_filter=1)(volume, mask, "")
    )
    np.testing.assert_array_equal(found_affine, affine)
    grid = common_grid(atlas, SHAPE, SPACING)
    transform = read_transform(folder / "preprocessed" / "transform.tfm")
    back, back_affine = volumes.read(folder / "heatmap.nii.gz")
    np.testing.assert_array_equal(back, to_native_space(found, grid, transform, scan))
    stored, stored_affine = volumes.read(scan)
    assert back.shape == stored.shape
    np.testing.assert_allclose(back_affine, stored_affine, atol=1e-6)
    # Bright is abnormal for thresh: in the scan's own voxels too, wherever the grid has brain.
    inside = np.isfinite(back)
    assert np.corrcoef(back[inside], stored[inside])[0, 1] > 0.7


def test_a_model_of_other_preprocessing_that_was_trained_on_the_scan_is_told_of(
    scored, atlas, scan, tmp_path
):
    assert not [
        flag for flag in scored[1]["flags"] if "another version" in flag or "trained or validated" in flag
    ]
    contents = {"sub-07": content_hash(*volumes.read(scan)), "sub-08": 64 * "0"}
    path = write_model(
        tmp_path / "model.safetensors",
        atlas,
        preprocess=IN_PLACE,
        preprocess_version=PREPROCESSING_VERSION + 1,
        simulated=True,
        contents=contents,
    )
    nib.save(nib.as_closest_canonical(nib.load(scan)), tmp_path / "copy.nii")
    summary = score_own_scan(load_scorer(path), tmp_path / "copy.nii", tmp_path / "out", skull_strip="none")
    assert any("another version" in flag for flag in summary["flags"])
    assert any("trained on simulated scans" in flag for flag in summary["flags"])
    (flag,) = [flag for flag in summary["flags"] if "trained or validated" in flag]
    assert flag.startswith("the model was trained or validated on this scan, as sub-07: ")


def test_numbers_of_the_summary_are_those_of_the_files(scored):
    folder, summary, _ = scored
    for name, voxel_ml in (("heatmap", 0.008), ("heatmap_atlas", 0.064)):
        scores = volumes.read(folder / f"{name}.nii.gz")[0]
        scores = scores[np.isfinite(scores)]
        assert summary[name]["voxels"] == len(scores)
        assert summary[name]["brain_ml"] == pytest.approx(len(scores) * voxel_ml, abs=1e-3)
        assert summary[name]["quantiles"]["0.5"] == pytest.approx(np.median(scores), abs=1e-4)
        assert summary[name]["quantiles"]["1.0"] == pytest.approx(scores.max(), abs=1e-4)
        assert summary[name]["ml_above_threshold"] == pytest.approx((scores > 0.9).sum() * voxel_ml, abs=1e-3)
    # A tenth of the brain is brighter than nine tenths of it.
    on_grid = summary["heatmap_atlas"]
    assert on_grid["ml_above_threshold"] / on_grid["brain_ml"] == pytest.approx(0.1, abs=0.002)


def test_the_same_is_kept_and_not_computed_again(scored, scorer, scan, tmp_path, monkeypatch):
    folder, summary, _ = scored
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    copy = tmp_path / "other_name.nii.gz"
    copy.write_bytes(scan.read_bytes())
    monkeypatch.setattr(score, "preprocessed_for", None)
    assert score_own_scan(scorer, scan, folder, skull_strip="none") == summary
    assert score_own_scan(scorer, copy, folder, skull_strip="none") == summary
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_folder_of_anything_else_is_left_alone(scored, scorer, scan, atlas, tmp_path):
    folder, _, _ = scored
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    image, affine = volumes.read(scan)
    volumes.write(tmp_path / "other.nii.gz", image * 1.1, affine)
    volumes.write(tmp_path / "mask.nii.gz", image > 0, affine)
    another = load_scorer(write_model(tmp_path / "model.safetensors", atlas))
    for arguments, said in (
        ((scorer, tmp_path / "other.nii.gz", None, "none"), "differs in scan is"),
        ((scorer, scan, tmp_path / "mask.nii.gz", "given"), "differs in mask, settings is"),
        ((another, scan, None, "none"), "differs in model is"),
        ((scorer, scan, None, "atlas"), "differs in settings is"),
    ):
        *files, mask_path, skull_strip = arguments
        with pytest.raises(InputError, match=said):
            score_own_scan(*files, folder, mask_path=mask_path, skull_strip=skull_strip)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("text")
    with pytest.raises(InputError, match=r"mine: it is not empty and no result"):
        score_own_scan(scorer, scan, tmp_path / "mine", skull_strip="none")
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.fixture
def copy_of_the_result(scored_in_place, tmp_path):
    shutil.copytree(scored_in_place[0], tmp_path / "head")
    return tmp_path / "head"


def damage_heatmap(folder):
    (folder / "heatmap.nii.gz").write_bytes(b"\0" * 100)


def damage_several(folder):
    (folder / "heatmap_atlas.nii.gz").unlink()
    shutil.rmtree(folder / "preprocessed")


def damage_summary(folder):
    summary = json.loads((folder / "summary.json").read_text())
    summary["heatmap"]["brain_ml"] = 1.0
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.mark.usefixtures("empty_pictures")
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_heatmap, "head: heatmap.nii.gz damaged or missing; the result is made again"),
        (damage_several, "head: heatmap_atlas.nii.gz, preprocessed/T1.nii.gz, preprocessed/lesion.nii.gz"),
        (damage_summary, "head: summary.json damaged or missing"),
    ],
)
def test_a_damaged_result_is_made_again_and_said_so(
    damage, said, copy_of_the_result, scored_in_place, scorer_in_place, scan_in_place
):
    folder, good = scored_in_place
    expected = {name: digest for name, digest in good["files"].items() if name != "summary.json"}
    assert expected == {name: files.sha256(folder / name) for name in expected}
    damage(copy_of_the_result)
    notices = []
    summary = score_own_scan(
        scorer_in_place, scan_in_place, copy_of_the_result, skull_strip="none", notify=notices.append
    )
    assert len(notices) == 1
    assert said in notices[0]
    assert summary == good
    assert files.file_hashes(copy_of_the_result) == files.file_hashes(folder)


def test_a_damaged_result_beside_anything_else_is_refused(copy_of_the_result, scorer_in_place, scan_in_place):
    scorer, scan = scorer_in_place, scan_in_place
    (copy_of_the_result / "preprocessed/notes.txt").write_text("mine")
    score_own_scan(scorer, scan, copy_of_the_result, skull_strip="none")  # nothing is to be made
    damage_heatmap(copy_of_the_result)
    before = files.file_hashes(copy_of_the_result)
    with pytest.raises(InputError, match=r"heatmap\.nii\.gz is damaged .* beside it preprocessed/notes\.txt"):
        score_own_scan(scorer, scan, copy_of_the_result, skull_strip="none")
    assert files.file_hashes(copy_of_the_result) == before
    (copy_of_the_result / "summary.json").write_text("{")
    with pytest.raises(InputError, match=r"head: summary\.json is damaged and no result of this command"):
        score_own_scan(scorer, scan, copy_of_the_result, skull_strip="none")


@pytest.mark.usefixtures("empty_pictures")
def test_a_file_that_is_put_into_the_folder_meanwhile_is_kept(scorer_in_place, scan_in_place, tmp_path):
    (tmp_path / "head").mkdir()

    def put(stage):
        (tmp_path / "head" / f"notes_{stage}.txt").write_text("mine")

    score_own_scan(scorer_in_place, scan_in_place, tmp_path / "head", skull_strip="none", stage_done=put)
    notes = {f"notes_{stage}.txt" for stage in STAGES}
    assert {path.name for path in (tmp_path / "head").iterdir()} == FILES | notes


def test_a_scan_whose_reading_fails_is_an_input_error_that_names_it(scorer, tmp_path):
    if not Path("/proc/self/mem").exists():
        pytest.skip("this system has no file whose reading fails")
    with pytest.raises(
        InputError, match=r"^/proc/self/mem: Input/output error while it was read, the scan was expected"
    ):
        score_own_scan(scorer, "/proc/self/mem", tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("empty_pictures")
def test_names_that_are_not_utf8_are_scored(scorer_in_place, scan_in_place, tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xe9e"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    shutil.copyfile(scan_in_place, folder / "h\udcf6.nii.gz")
    summary = score_own_scan(scorer_in_place, folder / "h\udcf6.nii.gz", folder / "out", skull_strip="none")
    assert summary["scan"].endswith(r"/f\xe9e/h\xf6.nii.gz")
    assert json.loads((folder / "out/summary.json").read_text()) == summary
    read_transform(folder / "out/preprocessed/transform.tfm")


def test_nothing_is_left_of_a_failure(scorer_in_place, scan_in_place, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no space left")

    (tmp_path / "head").mkdir()  # an empty folder is taken
    monkeypatch.setattr(score, "save_figure", fail)
    with pytest.raises(OSError, match="no space left"):
        score_own_scan(scorer_in_place, scan_in_place, tmp_path / "head", skull_strip="none")
    assert [path.name for path in tmp_path.rglob("*")] == ["head"]


def test_missing_files_are_named(scorer, scan, tmp_path):
    with pytest.raises(InputError, match=r"absent\.nii\.gz: no such file; the scan was expected"):
        score_own_scan(scorer, tmp_path / "absent.nii.gz", tmp_path / "out")
    with pytest.raises(InputError, match=r"absent\.nii\.gz: no such file; the mask was expected"):
        score_own_scan(
            scorer, scan, tmp_path / "out", mask_path=tmp_path / "absent.nii.gz", skull_strip="given"
        )


@pytest.mark.usefixtures("empty_pictures")
def test_a_network_scores_a_scan(atlas, scan_in_place, tmp_path):
    torch.manual_seed(0)
    weights = {name: value.numpy() for name, value in LocationNetwork((4, 4, 8, 8)).state_dict().items()}
    state = {"weights": weights, "widths": [4, 4, 8, 8], "patch": 6}
    path = write_model(
        tmp_path / "model.safetensors", atlas, method="patch2loc", state=state, preprocess=IN_PLACE
    )
    summary = score_own_scan(load_scorer(path), scan_in_place, tmp_path / "out", skull_strip="none")
    mask = volumes.read_mask(tmp_path / "out" / "preprocessed" / "mask.nii.gz")
    assert summary["heatmap_atlas"]["voxels"] == mask.sum()
    assert "healthy_threshold" not in summary["heatmap"]
