from patch2loc.acquire.scan_inputs import CONVERTED
from patch2loc.own_scan.result_folder import kept_or_made


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
