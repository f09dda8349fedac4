"""What is told of the trainings of a run, from the tables that they write."""

import os

import pytest

from patch2loc.watching.trainings import read_trainings

PATCHES = """step,patches,validation_loss,validation_error_mm,patches_per_second,steps,seconds_left
10,1000,1.5,12.5,250.0,40,600.0
20,2000,0.75,8.25,1250.0,40,300.0
"""
SLICES = """step,slices,validation_loss,slices_per_second,steps,seconds_left
30,300,0.0123456,80.0,40,100.0
"""
WRITTEN = 1_000_000.0


def write(results, name, text, *, written=WRITTEN, done=False, table="progress.csv"):
    path = results / "models" / name / table
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (written, written))
    if done:
        path.with_name("history.csv").touch()


def lines(results, now):
    return [training.line(now) for training in read_trainings(results)]


def test_a_training_is_told_in_one_line(tmp_path):
    write(tmp_path, "patch2loc/T1/fold0", PATCHES)
    write(tmp_path, "vae/T2/fold3", SLICES)
    assert lines(tmp_path, WRITTEN + 60) == [
        "patch2loc/T1/fold0  50 %  8.25 mm  1,250 patches/s  4 min left",
        "vae/T2/fold3  75 %  loss 0.01235  80 slices/s  40 s left",
    ]


def test_between_validations_the_last_measures_stand(tmp_path):
    write(tmp_path, "patch2loc/T1/fold0", f"{PATCHES}30,3000,,,,40,150.0\n")
    assert lines(tmp_path, WRITTEN) == ["patch2loc/T1/fold0  75 %  8.25 mm  1,250 patches/s  2 min left"]


def test_before_the_first_validation_there_is_no_measure(tmp_path):
    write(tmp_path, "ae/T1/fold0", "step,slices,steps,seconds_left\n5,50,100,7200.0\n")
    assert lines(tmp_path, WRITTEN) == ["ae/T1/fold0  5 %  2 h 0 min left"]


@pytest.mark.parametrize(
    ("age", "done", "state"),
    [(0, False, "running"), (899, False, "running"), (901, False, "silent"), (1e6, True, "done")],
)
def test_a_training_runs_is_silent_or_done(age, done, state, tmp_path):
    write(tmp_path, "patch2loc/T1/fold0", PATCHES, done=done)
    (training,) = read_trainings(tmp_path)
    assert training.state(WRITTEN + age) == state


def test_the_time_left_is_never_less_than_none(tmp_path):
    write(tmp_path, "patch2loc/T1/fold0", PATCHES)
    assert lines(tmp_path, WRITTEN + 400)[0].endswith("  0 s left")
    assert lines(tmp_path, WRITTEN + 7200)[0].endswith("  nothing new for 2 h 0 min")


def test_networks_of_one_training_and_names_with_dots_are_told_apart(tmp_path):
    write(tmp_path, "my.method/T1/fold0", PATCHES, table="patch16-progress.csv")
    write(tmp_path, "my.method/T1/fold0", PATCHES, table="patch24-progress.csv")
    names = [training.name for training in read_trainings(tmp_path)]
    assert names == ["my.method/T1/fold0/patch16", "my.method/T1/fold0/patch24"]


def test_a_folder_without_trainings_has_none(tmp_path):
    assert read_trainings(tmp_path / "nothing") == []
    write(tmp_path, "thresh/T1/fold0", "")
    write(tmp_path, "vae/T1/fold0", "a,b\n1,2\n")
    assert read_trainings(tmp_path) == []
