import re

import pytest

from patch2loc.acquire import bids, sources
from patch2loc.errors import InputError

MASKS = {"brain": "desc-brain_mask", "lesion": "label-lesion_roi"}


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def root(tmp_path):
    """Two participants, one of them with two sessions; masks in derivatives."""
    for scan in ("sub-01/ses-a/anat/sub-01_ses-a", "sub-01/ses-b/anat/sub-01_ses-b", "sub-02/anat/sub-02"):
        touch(tmp_path, f"{scan}_T1w.nii.gz", f"{scan}_T1w.json", f"{scan}_T2w.nii.gz")
        touch(tmp_path / "derivatives/masks", f"{scan}_desc-brain_mask.nii.gz")
        touch(tmp_path / "derivatives/masks", f"{scan}_space-MNI_desc-brain_mask.nii.gz")
        touch(tmp_path / "derivatives/manual", f"{scan}_label-lesion_roi.nii.gz")
    touch(tmp_path, "sub-02/func/sub-02_task-rest_bold.nii.gz", "dataset_description.json")
    touch(tmp_path, "sub-02/anat/notes.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz.part")
    return tmp_path


def test_every_participant_and_session_is_a_scan_with_its_own_masks(root):
    found = bids.find_scans(root, "T1w", MASKS)
    assert list(found) == ["sub-01_ses-a", "sub-01_ses-b", "sub-02"]
    for key, paths in found.items():
        folder = "/".join([*key.split("_"), "anat"])
        assert paths == {
            "scan": root / folder / f"{key}_T1w.nii.gz",
            "brain": root / "derivatives/masks" / folder / f"{key}_desc-brain_mask.nii.gz",
            "lesion": root / "derivatives/manual" / folder / f"{key}_label-lesion_roi.nii.gz",
        }


def test_masks_are_found_in_the_dataset_itself_and_not_in_another_space(root):
    touch(root, "sub-02/anat/sub-02_desc-lesion_mask.nii.gz")
    wanted = {"lesion": "desc-lesion_mask"}
    found = bids.find_scans(root, "T1w", wanted, participants=["sub-02"])
    assert found["sub-02"]["lesion"] == root / "sub-02/anat/sub-02_desc-lesion_mask.nii.gz"
    with pytest.raises(
        InputError, match=r"2 of 3 scans have no lesion mask .*\(sub-01_ses-a, sub-01_ses-b\)"
    ):
        bids.find_scans(root, "T1w", wanted)
    named = bids.find_scans(root, "T1w", {"brain": "space-MNI_desc-brain_mask"})
    assert named["sub-02"]["brain"].name == "sub-02_space-MNI_desc-brain_mask.nii.gz"


def test_a_mask_of_the_scans_own_space_is_taken(tmp_path):
    stem = "sub-r1/ses-1/anat/sub-r1_ses-1_space-MNI"
    touch(tmp_path, f"{stem}_T1w.nii.gz", f"{stem}_label-L_desc-T1lesion_mask.nii.gz")
    found = bids.find_scans(tmp_path, "T1w", {"lesion": "label-L_desc-T1lesion_mask"})
    assert found["sub-r1_ses-1"]["lesion"] == tmp_path / f"{stem}_label-L_desc-T1lesion_mask.nii.gz"


def test_several_runs_are_refused_until_one_is_chosen(root):
    touch(root, "sub-02/anat/sub-02_run-1_T1w.nii.gz")
    with pytest.raises(InputError) as error:
        bids.find_scans(root, "T1w", {})
    said = str(error.value)
    assert "sub-02_T1w.nii.gz" in said
    assert "sub-02_run-1_T1w.nii.gz" in said
    hint = re.search(r"choose by `scan: ([^`]+)`", said).group(1)
    # What the message says to write is what works.
    assert len(bids.find_scans(root, hint, {}, participants=["sub-02"])) == 1
    chosen = bids.find_scans(root, "run-1_T1w", {}, participants=["sub-02"])
    assert chosen["sub-02"]["scan"].name == "sub-02_run-1_T1w.nii.gz"
    without = bids.find_scans(root, "run-_T1w", {})
    assert without["sub-02"]["scan"].name == "sub-02_T1w.nii.gz"


def test_a_mask_of_another_run_is_not_taken_and_one_without_a_run_is(root):
    for run in (1, 2):
        touch(root, f"sub-03/anat/sub-03_run-{run}_T1w.nii.gz")
        touch(root, f"sub-03/anat/sub-03_run-{run}_label-lesion_mask.nii.gz")
    touch(root, "sub-03/anat/sub-03_desc-brain_mask.nii.gz")
    masks = {"lesion": "label-lesion_mask", "brain": "desc-brain_mask"}
    found = bids.find_scans(root, "run-2_T1w", masks, participants=["sub-03"])["sub-03"]
    assert found["lesion"].name == "sub-03_run-2_label-lesion_mask.nii.gz"
    assert found["brain"].name == "sub-03_desc-brain_mask.nii.gz"


def test_of_one_scan_stored_twice_one_is_to_be_removed(root):
    (root / "sub-02/anat/sub-02_T1w.nii").touch()
    with pytest.raises(
        InputError, match=r"2 images fit T1w, .*sub-02_T1w\.nii.* expected; remove one of them"
    ):
        bids.find_scans(root, "T1w", {})


def test_two_folders_of_derivatives_are_refused_until_one_is_named(root):
    scan = "sub-02/anat/sub-02"
    touch(root / "derivatives/other", f"{scan}_desc-brain_mask.nii.gz")
    with pytest.raises(InputError, match="choose by `derivatives`"):
        bids.find_scans(root, "T1w", {"brain": "desc-brain_mask"})
    found = bids.find_scans(root, "T1w", {"brain": "desc-brain_mask"}, "derivatives/masks")
    assert found["sub-02"]["brain"] == root / "derivatives/masks" / f"{scan}_desc-brain_mask.nii.gz"
    with pytest.raises(InputError, match="no such folder"):
        bids.find_scans(root, "T1w", {"brain": "desc-brain_mask"}, "derivatives/none")


def test_what_is_not_there_is_named(root):
    with pytest.raises(InputError, match=r"no image named sub-\*_FLAIR"):
        bids.find_scans(root, "FLAIR", {})
    with pytest.raises(InputError, match=r"1 listed subjects have no image T1w \(sub-09\)"):
        bids.find_scans(root, "T1w", {}, participants=["sub-02", "sub-09"])
    with pytest.raises(InputError, match="no such folder"):
        bids.find_scans(root / "none", "T1w", {})
    for wrong in ("run-1", "desc_mask", "T1w.nii.gz", ""):
        with pytest.raises(InputError, match="the end of a BIDS name expected"):
            bids.find_scans(root, wrong, {})


def test_a_dataset_of_kind_bids_takes_its_modality_and_its_list(root):
    dataset = {"kind": "bids", "modality": "T2", "root": str(root), "lesion": "label-lesion_roi"}
    found = sources.sources(dataset)
    assert [paths["scan"].name for paths in found.values()] == [f"{key}_T2w.nii.gz" for key in found]
    assert sources.missing(dataset) == []
    (root / "list.csv").write_text("subject\nsub-01\n")
    assert list(sources.sources({**dataset, "subjects": str(root / "list.csv")})) == [
        "sub-01_ses-a",
        "sub-01_ses-b",
    ]


def test_sessions_share_the_role_of_their_participant(root):
    dataset = {"kind": "bids"}
    scans = list(bids.find_scans(root, "T1w", {}))
    assert sources.scans_of(dataset, scans, ["sub-01"]) == ["sub-01_ses-a", "sub-01_ses-b"]
    assert sources.scans_of(dataset, scans, ["sub-02", "sub-1"]) == ["sub-02"]
    assert sources.scans_of({"kind": "table"}, ["b", "a_ses-1"], ["a_ses-1", "c", "b"]) == ["a_ses-1", "b"]
