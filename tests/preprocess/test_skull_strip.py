"""Brain masks: found with the atlas, and asked of other programs, whose places fakes take."""

import os
import stat
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from filelock import FileLock
from heads import SETTINGS
from repository_paths import SHARED
from scipy import ndimage
from stand_in_driver import install_driver, several

from patch2loc.acquire.phantom import simulate_subject
from patch2loc.data import volumes
from patch2loc.engine import gpus
from patch2loc.errors import InputError
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.brain_mask import LARGEST_STRIPPED_ML, brain_mask, is_stripped
from patch2loc.preprocess.external_tools import find_command
from patch2loc.preprocess.images import one_thread, voxel_size
from patch2loc.preprocess.masks import largest_part_filled
from patch2loc.preprocess.scan import preprocess_scan

DATA = SHARED / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"real scans are not there: {DATA}")

# Both programs, as far as their command lines go: the mask is what is brighter than 50 in standard orientation.
# A script of Python whose first line names no path, which may contain a space.
FAKE = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import os, sys
import nibabel, numpy
words = sys.argv[1:]
print("given", *words, "on GPU", os.environ.get("CUDA_VISIBLE_DEVICES"))
assert not [name for name in os.environ if name.startswith("PYTHON")]
image = nibabel.load(words[words.index("-i") + 1])
assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
if "hd-bet" in sys.argv[0]:
    assert {{"--save_bet_mask", "--no_bet_image", "-device"}} <= set(words)
    path = words[words.index("-o") + 1].replace(".nii.gz", "_bet.nii.gz")
else:
    path = words[words.index("-m") + 1]
mask = (image.get_fdata() > 50).astype(numpy.uint8)
nibabel.save(nibabel.Nifti1Image(mask, image.affine), path)
"""
BROKEN = "#!/bin/sh\necho no weights here >&2\nexit 3\n"


def install(folder, name, text, monkeypatch):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text.format(python=sys.executable) if "{python}" in text else text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))


@pytest.fixture
def head():
    """A bright ball, shaded, in a dark head, off center, stored in another orientation: (array, affine, its brain)."""
    affine = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt("PSL"), (40, 50, 60)) @ np.diag(
        [2.0, 2.0, 2.0, 1.0]
    )
    place = np.indices((40, 50, 60)) - np.array([18, 20, 33])[:, None, None, None]
    brain = (place**2).sum(axis=0) < 15**2
    return np.where(brain, 100 + place[0], 10).astype(np.float32), affine, brain


@pytest.mark.parametrize(
    ("method", "command"),
    [("hd-bet", "hd-bet"), ("synthstrip", "mri_synthstrip"), ("synthstrip", "synthstrip-docker")],
)
def test_the_mask_of_another_program_is_taken(method, command, head, tmp_path, monkeypatch, capfd):
    install(tmp_path / "bin", command, FAKE, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    array, affine, brain = head
    found, start, words = brain_mask(
        tmp_path / "scan.nii.gz", array, affine, method=method, given_mask=None, atlas=None
    )
    assert start is None
    assert words == f"found by {method}"
    np.testing.assert_array_equal(found, brain)
    assert "given -i" in capfd.readouterr().out


@pytest.mark.parametrize("command", ["hd-bet", "mri_synthstrip"])
@pytest.mark.parametrize(
    ("count", "device", "gpu"),
    [(2, "auto", "1"), (2, "cuda", "1"), (1, "auto", None), (2, "cpu", None), (0, "auto", None)],
)
def test_another_program_gets_a_gpu_that_no_job_has_claimed(
    count, device, gpu, command, head, tmp_path, monkeypatch, capfd
):
    path = install_driver(tmp_path / "bin", several(count))
    install(path, command, FAKE, monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(gpus, "_claims", [])
    monkeypatch.setenv(gpus.VISIBLE, "")  # so that it is removed again in the end
    monkeypatch.delenv(gpus.VISIBLE)
    gpus._gpu_count.cache_clear()
    array, affine, brain = head
    with FileLock(tmp_path / f"patch2loc-{os.getuid()}-gpu-0.lock"):  # as the job of a network has it
        found, *_ = brain_mask(
            tmp_path / "scan.nii.gz",
            array,
            affine,
            method="hd-bet" if command == "hd-bet" else "synthstrip",
            given_mask=None,
            atlas=None,
            device=device,
        )
    gpus._gpu_count.cache_clear()
    np.testing.assert_array_equal(found, brain)
    words = capfd.readouterr().out.split()
    assert words[-1] == str(gpu)
    on_gpu = "cuda" in words or "-g" in words
    assert on_gpu == (device != "cpu" and count > 0)


@pytest.mark.parametrize(
    ("method", "message"),
    [("hd-bet", r"pipx install hd-bet"), ("synthstrip", r"mri_synthstrip or synthstrip-docker")],
)
def test_a_program_that_is_not_there_is_named_with_its_installation(method, message, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=message):
        find_command(method)


def test_a_program_that_fails_leaves_the_scan_out(head, tmp_path, monkeypatch):
    install(tmp_path / "bin", "hd-bet", BROKEN, monkeypatch)
    with pytest.raises(
        InputError, match=r"scan\.nii\.gz: hd-bet ended with status 3 and no mask.*no weights here"
    ):
        brain_mask(tmp_path / "scan.nii.gz", *head[:2], method="hd-bet", given_mask=None, atlas=None)


def test_brain_of_a_simulated_t2_head_is_found(tmp_path):
    settings = {"anatomy_spacing": 2.0, "voxel_size": [1.6, 1.6, 2.5], "noise": 0.03}
    head = simulate_subject("healthy", 3, 7, settings)["T2"]
    volumes.write(tmp_path / "T2.nii.gz", head.array, head.affine)
    volumes.write(tmp_path / "brain.nii.gz", head.brain, head.affine)
    t2 = load_atlas("icbm152", "T2")
    found = preprocess_scan(
        tmp_path / "T2.nii.gz",
        "T2",
        t2,
        common_grid(t2, (96, 96, 50), 2.0),
        brain_path=tmp_path / "brain.nii.gz",
        settings={"skull_strip": "atlas"},
    )
    assert found.qc["brain_dice_with_truth"] > 0.92
    assert found.qc["flags"] == []


# With what each may be flagged for: the smallest brain (1060 ml) is at the limit of scale, 0.3 off 1.
@pytest.mark.parametrize(
    ("subject", "allowed"),
    [
        ("IXI034-HH-1260", ()),
        pytest.param("IXI329-HH-1908", (), marks=pytest.mark.slow),
        pytest.param("IXI526-HH-2392", ("scale",), marks=pytest.mark.slow),
        pytest.param("IXI148-HH-1453", (), marks=pytest.mark.slow),
    ],
)
@needs_data
def test_brain_of_a_real_head_is_found(subject, allowed):
    atlas = load_atlas("icbm152", "T1")
    folder = DATA / "ixi_t1_2mm"
    scan, brain = (folder / f"{subject}_{name}.nii.gz" for name in ("t1", "brain"))
    grid = common_grid(atlas, (96, 96, 50), 2.0)
    found = preprocess_scan(scan, "T1", atlas, grid, brain_path=brain, settings={"skull_strip": "atlas"})
    assert found.qc["brain_dice_with_truth"] > 0.94
    assert [flag for flag in found.qc["flags"] if not flag.startswith(allowed)] == []


def ball(radius_mm, spacing=4.0, size=64):
    """A bright ball in air, and the affine of its voxels."""
    places = (np.indices((size,) * 3) - size / 2) * spacing
    return 100.0 * (np.linalg.norm(places, axis=0) < radius_mm), np.diag([spacing, spacing, spacing, 1])


@pytest.mark.parametrize(
    ("radius_mm", "stripped"),
    [(70, True), (79, True), (84, False)],  # 1,437, 2,065 and 2,483 ml: a brain, the largest brain, a head
)
def test_a_scan_is_stripped_if_what_is_above_0_is_no_larger_than_a_brain(radius_mm, stripped):
    assert is_stripped(*ball(radius_mm)) is stripped


def test_a_small_field_of_view_with_noise_around_is_not_stripped():
    volume, affine = ball(70)
    noise = np.random.default_rng(1).random(volume.shape)
    assert not is_stripped(volume + noise, affine)
    speckled = np.where(noise > 0.98, 1.0, volume)  # 2 % of the air, in many parts
    assert not is_stripped(speckled, affine)


def test_auto_takes_the_mask_of_a_stripped_scan_and_finds_the_brain_of_a_head():
    settings = {"anatomy_spacing": 2.0, "voxel_size": [2.5, 2.5, 2.5], "noise": 0.03}
    head = simulate_subject("healthy", 3, 7, settings)["T1"]
    atlas = load_atlas("icbm152", "T1")

    def mask_by(method, volume):
        with one_thread():
            mask, _, words = brain_mask(
                Path("T1"), volume, head.affine, method=method, given_mask=None, atlas=atlas
            )
        return mask, words

    brain, words = mask_by("atlas", head.array)
    assert words == "found by the atlas"
    np.testing.assert_array_equal(mask_by("auto", head.array)[0], brain)
    stripped = np.where(brain, np.maximum(head.array, 1), 0)
    mask, words = mask_by("auto", stripped)
    np.testing.assert_array_equal(mask, mask_by("none", stripped)[0])
    assert words == "taken as skull-stripped"


@pytest.mark.parametrize("lowest_mm", [0, 60])
def test_a_small_head_whose_air_was_set_to_zero_is_not_stripped(lowest_mm):
    """Of a child, or of a field of view that ends below the brain: no larger than a brain, but bone is in it."""
    scan = simulate_subject("healthy", 1, 7, SETTINGS)["T1"]
    brain = scan.brain > 0
    bright = np.pad(scan.array > 0.2 * np.median(scan.array[brain]), 5)
    inside = largest_part_filled(ndimage.binary_closing(bright, iterations=4))[5:-5, 5:-5, 5:-5]
    first = round(lowest_mm / voxel_size(scan.affine)[2])
    cleared = np.where(inside, np.maximum(scan.array, 1), 0)[:, :, first:]
    small = scan.affine @ np.diag([0.8, 0.8, 0.8, 1])
    assert volumes.mask_ml(cleared > 0, small) < LARGEST_STRIPPED_ML
    assert not is_stripped(cleared, small)
    assert is_stripped(np.where(brain, np.maximum(scan.array, 1), 0), scan.affine)
