import errno
import sys

import nibabel as nib
import numpy as np
import pytest
import torch
from poses import moved_brain, rigid
from written_models import write_model

from patch2loc import own_scan
from patch2loc.commands import main
from patch2loc.errors import InputError
from patch2loc.own_scan import STAGES
from patch2loc.preprocess.atlas import load_atlas

ERRORS = {
    "large.nii": MemoryError("Unable to allocate 237. GiB"),
    "large_for_torch.nii": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    "large_for_disk.nii": OSError(errno.ENOSPC, "No space left on device"),
    "large_error.nii": RuntimeError("shapes cannot be multiplied"),
}


@pytest.fixture
def calls(monkeypatch):
    """What score_own_scan is called with; scans named bad, large or full fail, scans named odd are flagged."""
    seen = []

    def scored(scorer, scan, folder, *, mask_path, skull_strip, stage_done, notify):
        seen.append((scan, str(folder), mask_path, skull_strip))
        stage_done(STAGES[0])
        if "bad" in scan:
            raise InputError(f"{scan}: not a scan")
        if "large" in scan:
            raise ERRORS[scan]
        return {"flags": ["brain of 9 ml"] if "odd" in scan else []}

    def loaded(model, device, *, atlas, modality, landmarks_path, precision, method):
        seen.append((model, device, atlas, modality, landmarks_path, precision, method))

    monkeypatch.setattr(own_scan, "load_scorer", loaded)
    monkeypatch.setattr(own_scan, "score_own_scan", scored)
    return seen


def test_one_scan_goes_to_the_folder_itself(calls, capsys):
    assert main(["score", "a.nii.gz", "--model", "m", "--output", "out", "--device", "cpu"]) == 0
    assert calls == [("m", "cpu", None, None, None, "float32", None), ("a.nii.gz", "out", None, "atlas")]
    assert capsys.readouterr().out == "out/heatmap.nii.gz\n"


def test_options_reach_the_model_and_the_scan(calls):
    options = (
        "--atlas sri --modality T2 --landmarks l.npy --device cpu --precision bfloat16 --mask brain.nii.gz "
        "--method own.method"
    )
    assert main(["score", "a.nii", "--model", "m.ckpt", "--output", "out", *options.split()]) == 0
    loaded = ("m.ckpt", "cpu", "sri", "T2", "l.npy", "bfloat16", "own.method")
    assert calls == [loaded, ("a.nii", "out", "brain.nii.gz", "given")]
    options = "--mask brain.nii.gz --skull-strip atlas"
    assert main(["score", "a.nii", "--model", "m", "--output", "out", *options.split()]) == 0
    assert calls[-1] == ("a.nii", "out", "brain.nii.gz", "atlas")


def test_several_scans_share_the_model_and_one_failure_stops_no_other(calls, capsys):
    scans = ["x/a.nii.gz", "bad.nii.gz", "odd.nii"]
    assert main(["score", *scans, "--model", "m", "--output", "out", "--device", "cpu"]) == 1
    assert [call[1] for call in calls[1:]] == ["out/a", "out/bad", "out/odd"]
    said = capsys.readouterr()
    assert said.out.split() == ["out/a/heatmap.nii.gz", "out/odd/heatmap.nii.gz"]
    assert "patch2loc: bad.nii.gz: not a scan" in said.err
    assert "odd.nii: brain of 9 ml: look at out/odd/preprocessed/qc.png" in said.err


def test_a_scan_that_memory_does_not_hold_stops_no_other(calls, capsys):
    scans = ["large.nii", "large_for_torch.nii", "a.nii"]
    assert main(["score", *scans, "--model", "m", "--output", "out", "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert said.out.split() == ["out/a/heatmap.nii.gz"]
    assert "patch2loc: large.nii: no memory found beyond " in said.err
    assert "more expected (Unable to allocate 237. GiB); raise the limit, close other" in said.err
    assert "patch2loc: large_for_torch.nii: no memory found beyond " in said.err


def test_a_place_that_cannot_be_written_stops_all(calls, capsys):
    scans = ["large_for_disk.nii", "a.nii"]
    assert main(["score", *scans, "--model", "m", "--output", "out", "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert len(calls) == 2  # the model, and the first scan
    assert said.out == ""
    assert "patch2loc: out/large_for_disk: No space left on device; make room there, and run" in said.err


def test_an_error_of_the_program_keeps_its_traceback(calls):
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        main(["score", "large_error.nii", "--model", "m", "--output", "out", "--device", "cpu"])


@pytest.mark.parametrize("output", ["", "."])
def test_an_output_without_a_name_is_refused_and_the_current_folder_is_taken(output, calls, capsys):
    assert main(["score", "a.nii", "--model", "m", "--output", output, "--device", "cpu"]) == (not output)
    said = capsys.readouterr()
    if output:
        assert calls[1][1] == "."
    else:
        assert not calls
        assert "--output: an empty value found" in said.err


def test_a_library_that_finds_no_memory_is_told_in_a_line(monkeypatch, capsys, calls):
    def loaded(*arguments, **named):
        raise ImportError("libtorch_cpu.so: failed to map segment from shared object")

    monkeypatch.setattr(own_scan, "load_scorer", loaded)
    assert main(["score", "a.nii", "--model", "m", "--output", "out", "--device", "cpu"]) == 1
    assert "patch2loc: no memory found beyond " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["p1/.nii.gz", "b.nii"], "p1/.nii.gz: no name found that a folder in out can have"),
        (["a.nii", "...nii"], "...nii: no name found that a folder in out can have"),
        (["p1/t1.nii.gz", "p2/t1.nii"], "several scans are named t1"),
        (["a.nii", "b.nii", "--mask", "m.nii"], "--mask: 1 found for 2 scans"),
        (["a.nii", "--device", "cuda"], "torch finds no GPU"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, said, calls, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["score", *arguments, "--model", "m", "--output", "out"]) == 1
    assert said in capsys.readouterr().err
    assert not calls


def test_a_missing_model_is_named(capsys, tmp_path):
    absent = str(tmp_path / "absent.safetensors")
    assert main(["score", "a.nii", "--model", absent, "--output", "out", "--device", "cpu"]) == 1
    assert "absent.safetensors: no such file" in capsys.readouterr().err


def test_a_scan_is_scored(tmp_path, capsys):
    atlas = load_atlas("icbm152", "T1")
    image, affine = moved_brain(atlas, rigid((0, 0, 5), (4, 0, 0)))
    nib.save(nib.Nifti1Image(image, affine), tmp_path / "t1.nii.gz")
    nib.save(nib.Nifti1Image((image > 0).astype(np.uint8), affine), tmp_path / "brain.nii.gz")
    arguments = {
        "--model": write_model(tmp_path / "model.safetensors", atlas),
        "--mask": tmp_path / "brain.nii.gz",
        "--output": tmp_path / "out",
        "--device": "cpu",
    }
    command = ["score", str(tmp_path / "t1.nii.gz"), *(str(a) for pair in arguments.items() for a in pair)]
    for _ in range(2):  # the second time it is there
        assert main(command) == 0
        assert capsys.readouterr().out == f"{tmp_path}/out/heatmap.nii.gz\n"
    assert (tmp_path / "out" / "heatmap.png").is_file()


OWN_METHOD = """
import numpy as np
from pathlib import Path

Path("trace").touch()


def fit(training, validation, settings, checkpoint, *, device):
    return {}, None


def scorer(state, device, stride=1, precision="float32"):
    return lambda volume, mask, region: {"score": np.where(region, volume, np.nan).astype(np.float32)}
"""


def test_a_module_that_only_a_model_names_is_not_run(tmp_path, capsys, monkeypatch):
    (tmp_path / "dlmodel").mkdir()
    (tmp_path / "dlmodel" / "evil.py").write_text(OWN_METHOD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    atlas = load_atlas("icbm152", "T1")
    image, affine = moved_brain(atlas, rigid((0, 0, 5), (4, 0, 0)))
    nib.save(nib.Nifti1Image(image, affine), tmp_path / "t1.nii.gz")
    model = write_model(tmp_path / "model.safetensors", atlas, method="dlmodel.evil")
    command = ["score", "t1.nii.gz", "--model", str(model), "--output", "out", "--skull-strip", "none"]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "model.safetensors: a model of the method 'dlmodel.evil' found" in said
    assert "name it yourself (--method dlmodel.evil" in said
    assert main([*command, "--method", "thresh"]) == 1
    assert "of the method 'dlmodel.evil' found, one of 'thresh' expected" in capsys.readouterr().err
    assert "dlmodel.evil" not in sys.modules
    assert not (tmp_path / "trace").exists()
    assert not (tmp_path / "out").exists()

    assert main([*command, "--method", "dlmodel.evil"]) == 0
    assert (tmp_path / "trace").exists()
    assert (tmp_path / "out" / "heatmap.nii.gz").is_file()
    for name in ("dlmodel", "dlmodel.evil"):
        sys.modules.pop(name, None)
