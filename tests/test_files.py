import errno
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from patch2loc.data import volumes
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError, ResourceError
from patch2loc.files import (
    NUMBER,
    read_csv,
    read_json,
    readable,
    remove_partial,
    replacing,
    replacing_folder,
    sha256,
    storage_message,
    without_home,
    write_csv,
    write_json,
)


def test_a_result_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half")
        assert path.read_text() == "old"
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]
    with replacing(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_numbers_survive_csv_exactly(tmp_path):
    table = pd.DataFrame({"a": np.random.default_rng(0).random(50), "b": np.arange(50) / 3})
    write_csv(tmp_path / "t.csv", table)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "t.csv"), table, check_exact=True)


def test_names_survive_csv_whatever_they_look_like(tmp_path):
    names = ["001", "101", "1e5", "NA", "nan", "null"]
    table = pd.DataFrame({"subject": names, "flags": "", "auprc": [np.nan, 0, 1, 2, 3, 4.5]})
    write_csv(tmp_path / "t.csv", table)
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv"), table, check_exact=True, check_dtype=False)


def test_json_refuses_what_json_has_not(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "damaged JSON found"),
        ('{"a": 1', "damaged JSON found"),
        ("[" * 200_000, "damaged JSON found"),
        ("[]", "the content is a list, a dictionary expected"),
        ('{"name": "x"}', "the content has no key 'items', one expected"),
        ('{"name": null, "items": []}', "the value of 'name' is null, a text expected"),
        ('{"name": "x", "items": [{}]}', "an item of the value of 'items' has no key 'ml', one expected"),
        ('{"name": "x", "items": [{"ml": "1"}]}', "the value of 'ml' is a text, a number expected"),
    ],
)
def test_json_that_is_damaged_or_of_something_else_is_named(tmp_path, text, found):
    path = tmp_path / "some.json"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read_json(path, {"name": str, "items": [{"ml": NUMBER}]})
    assert str(refused.value).startswith(f"{path}: {found}")
    assert str(refused.value).endswith("make it again, by the command that made it")


def test_the_same_volume_gives_the_same_bytes(tmp_path):
    array = np.random.default_rng(0).random((5, 6, 7))
    for name in ("a", "b"):
        volumes.write(tmp_path / f"{name}.nii.gz", array, np.diag([2.0, 2, 2, 1]))
    assert sha256(tmp_path / "a.nii.gz") == sha256(tmp_path / "b.nii.gz")
    found, affine = volumes.read(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(found, array.astype(np.float32))
    np.testing.assert_array_equal(affine, np.diag([2.0, 2, 2, 1]))
    image = nib.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.float32
    assert image.header.get_xyzt_units()[0] == "mm"


def test_the_middle_of_the_grid_is_its_center():
    grid = Grid((96, 96, 50), 2.0, (1.0, -20.0, 5.0))
    middle = grid.affine @ [47.5, 47.5, 24.5, 1]
    np.testing.assert_allclose(middle[:3], grid.center)
    assert grid.voxel_ml == pytest.approx(0.008)


def test_the_volume_of_voxels_in_ml():
    turn = np.array([[0.0, -1, 0], [0.8, 0, -0.6], [0.6, 0, 0.8]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([2.0, 2, -5])
    assert volumes.voxel_ml(affine) == pytest.approx(0.02)
    assert volumes.isotropic_voxel_ml(2.0) == pytest.approx(0.008)
    mask = np.zeros((5, 5, 5), bool)
    mask[:2, :2, :3] = True
    assert volumes.mask_ml(mask, affine) == pytest.approx(12 * 0.02)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"hello", "not a readable NIfTI"), (b"", "not a readable NIfTI")],
)
def test_files_that_are_no_scans_are_named(tmp_path, content, message):
    path = tmp_path / "scan.nii.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"scan\.nii\.gz: {message}"):
        volumes.read(path)


def test_a_truncated_scan_and_a_series_are_refused(tmp_path):
    volumes.write(tmp_path / "whole.nii.gz", np.random.default_rng(0).random((20, 20, 20)), np.eye(4))
    data = (tmp_path / "whole.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="not a readable NIfTI"):
        volumes.read(tmp_path / "cut.nii.gz")
    nib.Nifti1Image(np.zeros((4, 4, 4, 3), np.float32), np.eye(4)).to_filename(tmp_path / "series.nii.gz")
    with pytest.raises(InputError, match="one 3-D volume expected"):
        volumes.read(tmp_path / "series.nii.gz")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its rights")
def test_a_scan_that_may_not_be_read_is_no_bad_scan(tmp_path):
    path = tmp_path / "scan.nii.gz"
    volumes.write(path, np.ones((4, 4, 4), np.float32), np.eye(4))
    path.chmod(0)
    if not (child := os.fork()):
        os.chdir(tmp_path)  # the folders above are root's
        os.setuid(65534)
        try:
            volumes.read(path.name)
        except ResourceError as error:
            os._exit(7 if str(error).startswith(f"{path.name}: Permission denied") else 8)
        except BaseException:
            os._exit(9)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_an_error_names_the_result_and_what_to_do(tmp_path):
    with pytest.raises(OSError, match="No space") as caught, replacing(tmp_path / "a/table.csv"):
        raise OSError(errno.ENOSPC, "No space left on device")  # as a write gives it, without a name
    message = storage_message(caught.value, tmp_path)
    assert message == (
        f"{tmp_path}/a/table.csv: No space left on device; make room there, and run the same command again"
    )
    with pytest.raises(OSError, match="Read-only") as caught, replacing_folder(tmp_path / "scan") as partial:
        raise OSError(errno.EROFS, "Read-only file system", str(partial / "T1.nii.gz"))
    assert storage_message(caught.value, tmp_path).startswith(f"{tmp_path}/scan/T1.nii.gz: Read-only")
    assert storage_message(OSError(errno.EIO, "Input/output error"), tmp_path) is None


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("/home/jane", "~"),
        ("  directory: /home/jane/study", "  directory: ~/study"),
        ("PosixPath('/home/jane/a.yaml')", "PosixPath('~/a.yaml')"),
        ("/home/janet/a", "/home/janet/a"),
        ("/mnt/home/jane/a", "/mnt/home/jane/a"),
        ("results/a", "results/a"),
    ],
)
def test_the_home_folder_is_not_named(text, without, monkeypatch):
    monkeypatch.setenv("HOME", "/home/jane")
    assert without_home(text) == without


def test_processes_of_one_number_have_temporary_files_of_their_own(tmp_path):
    """As in containers, whose processes often have the number 1."""
    path = tmp_path / "table.csv"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("a")
        second.write_text("a")
    assert path.read_text() == "a"
    assert [each.name for each in tmp_path.iterdir()] == ["table.csv"]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    theirs = (
        "metrics/.partial-12-0123abcd-fold0.csv",
        "preprocessed/.partial-13-0123abcd-subject/inner/.partial-13-0123abcd-T1.nii.gz",
    )
    kept = (
        "heatmaps/fold0.partial/x.nii.gz",  # scored heatmaps to go on from
        "metrics/fold0.csv",
        ".partial-precious/photo.jpg",
        ".partial-notes.txt",
        ".partial-14",
        ".partial-19-notes.txt",
        "metrics/.partial-19-my notes/a.txt",
        "metrics/.partial-77-0123abcd-fold1.csv",  # its process is at work
        "inner/.run.lock",
        "inner/models/.partial-15-0123abcd-model.safetensors",  # of another run
        "mine/.patch2loc.lock",
        "mine/.partial-16-0123abcd-result/heatmap.nii.gz",  # of a scan that is scored
        "outside/.partial-17-0123abcd-x",
    )
    results = tmp_path / "results"
    for name in (*theirs, *kept):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text("content")
    (results / ".run.lock").touch()
    (results / "outside").rename(tmp_path / "outside")
    (results / ".partial-18-0123abcd-link").symlink_to(tmp_path / "outside")
    remove_partial(results, lambda number, path: number == 77)
    left = {path.relative_to(results).as_posix() for path in results.rglob("*") if not path.is_dir()}
    assert left == {*kept[:-1], ".run.lock"}
    assert not (results / "preprocessed/.partial-13-0123abcd-subject").exists()
    assert (tmp_path / "outside/.partial-17-0123abcd-x").exists()


def test_a_file_that_cannot_be_read_to_its_end_is_named():
    if not Path("/proc/self/mem").exists():
        pytest.skip("this system has no file whose reading fails")
    with pytest.raises(OSError, match="Input/output error") as caught:
        sha256("/proc/self/mem")
    assert caught.value.filename == "/proc/self/mem"


@pytest.mark.parametrize(
    ("name", "text"), [(b"a b.nii", "a b.nii"), ("é.nii".encode(), "é.nii"), (b"\xe9.nii", r"\xe9.nii")]
)
def test_names_of_any_bytes_become_text(name, text):
    assert readable(os.fsdecode(name)) == text
    assert readable(name.decode("ascii", "surrogateescape")) == text  # as in the locale C
