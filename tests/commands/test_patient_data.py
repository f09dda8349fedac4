"""What a scan or a dataset says of a patient, beside the scan itself: nothing of it is in any file of a result."""

import numpy as np
from detected_results import write_dataset
from dicom_series import needs_converter
from marked_data import mark_dataset, marked_files, write_marked_series
from small_detector import simulated_brain, write_brain

from patch2loc.commands import main
from patch2loc.files import read_json

EVERY = (2, 2, 4)  # voxels: a coarser scan is read faster


def detect(detector_path, *words):
    return main(["detect", *map(str, words), "--model", str(detector_path), "--skull-strip", "none"])


@needs_converter
def test_no_tag_of_a_dicom_series_is_in_a_result(tmp_path, detector_path, capfd):
    values, affine = simulated_brain(5)
    values = np.rint(values)[:: EVERY[0], :: EVERY[1], :: EVERY[2]]
    affine = affine @ np.diag([*EVERY, 1.0])
    series = write_marked_series(tmp_path / "series", values, affine)
    assert marked_files(series)
    assert detect(detector_path, series, "-o", tmp_path / "out") == 0
    assert (tmp_path / "out/converted.nii.gz").is_file()
    assert marked_files(tmp_path / "out") == []
    warnings = [warning["name"] for warning in read_json(tmp_path / "out/summary.json")["warnings"]]
    assert "contrast_agent" in warnings  # its tag has a mark, too
    said = capfd.readouterr()
    assert "PHIX" not in said.out + said.err


def test_no_field_of_a_bids_dataset_is_in_its_derivatives(tmp_path, detector_path):
    root = write_dataset(tmp_path / "raw", ["sub-01_ses-a"])
    write_brain(root / "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz", 5)
    mark_dataset(root)
    assert len(marked_files(root)) == 6
    assert detect(detector_path, root, tmp_path / "out", "participant") == 0
    assert (tmp_path / "out/patients.tsv").is_file()
    assert marked_files(tmp_path / "out") == []
