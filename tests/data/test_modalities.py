"""Every modality of the table is known wherever scans are handled: no other place names the modalities."""

import re
from typing import get_args

import pytest
from heads import COARSE

from patch2loc.acquire import dicom_series
from patch2loc.acquire.phantom import simulate_subject
from patch2loc.acquire.phantom.contrast import CONTRASTS
from patch2loc.acquire.sources import sources
from patch2loc.data.modalities import MODALITIES, SIMULATED_TOGETHER, Modality
from patch2loc.preprocess.modality import DISCRIMINANT, SCANS

every_modality = pytest.mark.parametrize("modality", MODALITIES)


def series(description):
    return dicom_series.Series("1", description, "MR", 100, None, False, "1.2", [])


def by_brightness(brightness):
    return tuple(sorted(("csf", "gray", "white"), key=brightness.__getitem__))


def test_table_type_phantom_and_check_name_the_same_modalities():
    assert tuple(MODALITIES) == get_args(Modality)
    assert MODALITIES.keys() == CONTRASTS.keys()
    assert MODALITIES.keys() <= DISCRIMINANT.keys() == SCANS.keys()
    assert tuple(MODALITIES)[: len(SIMULATED_TOGETHER)] == SIMULATED_TOGETHER  # the order of random streams


@every_modality
def test_atlas_and_phantom_show_the_tissues_in_the_modalitys_order(modality):
    row = MODALITIES[modality]
    tissues = CONTRASTS[modality].tissues
    assert by_brightness({tissue: tissues[tissue][0] for tissue in ("csf", "gray", "white")}) == row.order
    assert by_brightness({tissue: low for tissue, (low, _) in row.pure.items()}) == row.order
    assert row.simulated_atlas is None or by_brightness(row.simulated_atlas) == row.order


@every_modality
def test_a_bids_dataset_gives_the_images_of_the_modality(modality, tmp_path):
    for participant in ("sub-01", "sub-02"):
        folder = tmp_path / participant / "anat"
        folder.mkdir(parents=True)
        for row in MODALITIES.values():
            (folder / f"{participant}_{row.bids_suffix}.nii.gz").touch()
    scans = sources({"name": "own", "kind": "bids", "root": str(tmp_path), "modality": modality})
    names = [paths["scan"].name for paths in scans.values()]
    suffix = MODALITIES[modality].bids_suffix
    assert names == [f"sub-01_{suffix}.nii.gz", f"sub-02_{suffix}.nii.gz"]


@every_modality
def test_a_series_and_a_file_are_told_by_what_people_call_them(modality):
    row = MODALITIES[modality]
    named = [name for name in MODALITIES if dicom_series._may_be(series(f"Ax {modality} 3D"), name)]
    assert named == [modality]
    assert re.fullmatch(row.spellings, modality.lower(), re.IGNORECASE)


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("t2_tirm_tra_dark-fluid", ["FLAIR"]),
        ("Sag CUBE FLAIR", ["FLAIR"]),
        ("t2_space_dark fluid_sag", ["FLAIR"]),
        ("T1 FLAIR ax", []),
        ("t2_tse_tra", ["T2"]),
        ("t2_star_swi", []),
        ("MPRAGE", ["T1"]),
    ],
)
def test_a_series_has_the_contrast_that_its_description_says(description, expected):
    assert [name for name in MODALITIES if dicom_series._may_be(series(description), name)] == expected


def test_scans_of_a_modality_are_the_same_whatever_else_is_simulated():
    every = simulate_subject("ms", 0, 5, COARSE)
    assert every.keys() == MODALITIES.keys()
    for others in ((), *((name,) for name in MODALITIES)):
        for modality, scan in simulate_subject("ms", 0, 5, COARSE, others).items():
            assert (scan.array == every[modality].array).all()
            assert (scan.affine == every[modality].affine).all()
