import pytest

from patch2loc.acquire.scan_inputs import CONVERTED
from patch2loc.errors import InputError
from patch2loc.own_scan.result_folder import kept_or_made, provenance_of


def test_the_scan_that_a_dicom_series_became_lies_beside_the_result(tmp_path):
    """It is there before the result, and neither keeps that from being made nor from being made again."""
    made = []

    def make(partial):
        made.append(partial)
        (partial / "heatmap.nii.gz").write_bytes(b"heatmap")
        return {}

    (tmp_path / CONVERTED).write_bytes(b"scan")
    kept_or_made(tmp_path, {"scan": "a"}, make)
    kept_or_made(tmp_path, {"scan": "a"}, make)
    assert len(made) == 1
    (tmp_path / "heatmap.nii.gz").unlink()
    kept_or_made(tmp_path, {"scan": "a"}, make, notify=lambda message: None)
    assert len(made) == 2
    assert (tmp_path / "heatmap.nii.gz").read_bytes() == b"heatmap"
    assert (tmp_path / CONVERTED).read_bytes() == b"scan"


@pytest.mark.parametrize("name", ["scan", "mask"])
def test_a_file_that_changes_while_it_is_read_gives_no_result(name, tmp_path):
    files = {"scan": tmp_path / "scan.nii", "mask": tmp_path / "mask.nii", "model": None}
    for path in (files["scan"], files["mask"]):
        path.write_bytes(b"first")
    provenance = provenance_of(files, {}, ())

    def make(partial):
        files[name].write_bytes(b"other")
        return {}

    with pytest.raises(
        InputError, match=rf"/{name}\.nii: the {name} was replaced or written to while it was read"
    ):
        kept_or_made(tmp_path / "out", provenance, make, files=files)
    assert not (tmp_path / "out").exists()
