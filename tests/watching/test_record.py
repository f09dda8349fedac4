"""What a training writes while it runs: one curve through kills, its picture, the time left."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from networks import SETTINGS, Killed, cohort

from patch2loc.engine import training_loop
from patch2loc.figures.training_progress import training_progress
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import train
from patch2loc.watching.record import TrainingRecord, duration, training_name

TIMES = ["patches_per_second", "steps", "seconds_left"]


def training(checkpoint, progress=lambda line: None):
    return train(cohort(3), cohort(2, seed=9), SETTINGS, checkpoint, progress=progress)


def killed_at(step):
    """Kill a training when it says that a step is done, which is before the checkpoint of that step is written."""

    def progress(line):
        if line.startswith(f"step {step} "):
            raise Killed

    return progress


def record(folder, seconds, history=(), done=0, prefix="", **others):
    """A record of a training of 100 steps of 10 patches, whose clock shows given seconds one after the other."""
    numbers = {"steps": 100, "batch": 10, "unit": "patches", "kept_by": "validation_nll"}
    ticks = iter(seconds)
    return TrainingRecord(
        folder and folder / f"{prefix}checkpoint-a.pt",
        history,
        done=done,
        clock=lambda: next(ticks),
        **numbers | others,
    )


def row(step, nll=1.0, speed=20.0):
    measures = {
        "training_loss": nll,
        "validation_loss": nll / 2,
        "validation_nll": nll,
        "validation_error_mm": 9 * nll,
    }
    return {"step": step, "patches": 10 * step, **measures, "patches_per_second": speed}


@pytest.mark.parametrize("step", [6, 9])
def test_a_killed_training_leaves_its_curve_and_one_that_goes_on_has_one_curve(step, tmp_path):
    _, whole = training(tmp_path / "whole" / "checkpoint.pt")
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    with pytest.raises(Killed):
        training(checkpoint, killed_at(step))
    table = pd.read_csv(checkpoint.with_name("progress.csv"))
    assert table["step"].tolist() == list(range(3, step, 3))
    assert imread(checkpoint.with_name("progress.png")).ndim == 3
    training(checkpoint)
    resumed, unbroken = (
        pd.read_csv(tmp_path / name / "progress.csv").drop(columns=TIMES) for name in ("killed", "whole")
    )
    pd.testing.assert_frame_equal(resumed, unbroken, check_exact=True)
    pd.testing.assert_frame_equal(resumed, pd.DataFrame(whole).drop(columns=TIMES[:1]), check_exact=True)


def test_a_training_that_goes_on_shows_its_curve_before_its_next_step(tmp_path, monkeypatch):
    monkeypatch.setattr("patch2loc.engine.training_loop.CHECKPOINT_SECONDS", -1)  # at every step
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        training(checkpoint, killed_at(9))
    for name in ("progress.csv", "progress.png"):
        checkpoint.with_name(name).unlink()

    def killed(pool, generator):
        raise Killed

    monkeypatch.setattr(PatchPool, "one_slice_each", killed)
    with pytest.raises(Killed):
        training(checkpoint)
    assert pd.read_csv(checkpoint.with_name("progress.csv"))["step"].tolist() == [3, 6, 8]
    assert checkpoint.with_name("progress.png").exists()


def test_the_curve_of_a_former_training_is_not_shown_as_that_of_a_new_one(tmp_path):
    training(tmp_path / "checkpoint-former.pt")
    with pytest.raises(Killed):
        training(tmp_path / "checkpoint-other.pt", killed_at(3))
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-former.pt"}


def test_each_of_several_networks_has_a_table_and_a_name_of_its_own(tmp_path):
    folder = tmp_path / "patch2loc_multiscale" / "T1" / "fold0"
    for network in ("patch16-", "patch24-"):
        record(folder, [0] * 9, [row(10)], done=10, prefix=network)
    tables = sorted(folder.glob("*.csv"))
    assert [path.name for path in tables] == ["patch16-progress.csv", "patch24-progress.csv"]
    assert training_name(tables[0]) == "patch2loc_multiscale/T1/fold0/patch16"
    assert training_name(folder / "progress.csv") == "patch2loc_multiscale/T1/fold0"


def test_the_time_left_is_right_for_a_constant_speed(tmp_path):
    # Two seconds a step from the start.
    shown = record(None, [1000, 1020, 1040, 1100, 1160])
    assert shown.time_left(10) == "3 min"  # 90 steps
    assert shown.seconds_left[10] == pytest.approx(180)
    assert shown.time_left(20) == "3 min"
    assert shown.time_left(50) == "2 min"
    assert shown.seconds_left == pytest.approx({10: 180, 20: 160, 50: 100})
    assert shown.time_left(80) == "40 s"


def test_the_time_left_follows_a_speed_that_changes(tmp_path):
    # 10 s a step up to step 40, and 1 s a step from there on; the speed is that of the last five spans.
    shown = record(None, [*range(0, 401, 100), *range(410, 461, 10)])
    for step in range(10, 101, 10):
        shown.time_left(step)
    assert shown.seconds_left[40] == pytest.approx(600)
    assert shown.seconds_left[60] == pytest.approx((3 * 100 + 2 * 10) / 50 * 40)
    assert shown.seconds_left[90] == pytest.approx(10)
    assert shown.seconds_left[100] == 0


def test_the_time_left_of_a_training_that_goes_on_is_told_by_its_speed_before(tmp_path):
    table = record(tmp_path, [0] * 9, [row(10), row(40, speed=20.0)], done=40).table(40, [row(10), row(40)])
    assert table["seconds_left"].tolist() == [45.0, 30.0]  # of 900 and of 600 patches
    assert table["steps"].tolist() == [100, 100]


def test_between_validations_a_row_tells_the_steps_and_the_time_left(tmp_path):
    said = []
    shown = record(tmp_path, [0, 30, *[60] * 9], say=said.append)
    shown.write(30, [])
    assert said == ["step 30 of 100: 1 min left"]
    table = pd.read_csv(tmp_path / "progress.csv")
    assert table.to_dict("records") == [{"step": 30, "patches": 300, "steps": 100, "seconds_left": 70.0}]
    assert not (tmp_path / "progress.png").exists()
    shown.time_left(40)
    shown.write(40, [row(40)])
    assert pd.read_csv(tmp_path / "progress.csv")["step"].tolist() == [40]
    assert (tmp_path / "progress.png").exists()


def test_checkpoints_between_validations_are_no_part_of_the_curve(tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "CHECKPOINT_SECONDS", 0)
    with pytest.raises(Killed):
        training(tmp_path / "checkpoint.pt", killed_at(9))
    table = pd.read_csv(tmp_path / "progress.csv")
    assert table["step"].tolist() == [3, 6, 8]
    assert np.isnan(table["validation_nll"].iloc[-1])
    monkeypatch.undo()
    _, history = training(tmp_path / "checkpoint.pt")
    assert pd.read_csv(tmp_path / "progress.csv")["step"].tolist() == [each["step"] for each in history]


def test_pictures_take_a_small_share_of_the_time_and_the_last_one_is_drawn(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("patch2loc.figures.style.save_figure", lambda figure, paths: drawn.append(now[0]))
    now = [0.0]
    shown = record(tmp_path, [0])
    shown.clock = lambda: now[0] + 0.1 * len(drawn)  # a picture takes 0.1 s
    history = []
    for step in range(1, 101):
        now[0] = step
        shown.time_left(step)
        history.append(row(step))
        shown.write(step, history)
    assert len(drawn) <= 0.02 * 100 / 0.1 + 2
    assert len(drawn) > 10
    assert drawn[-1] == 100


def test_a_training_goes_on_where_its_progress_cannot_be_written(tmp_path, monkeypatch):
    def full(path, table):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("patch2loc.watching.record.write_csv", full)
    said = []
    _, history = training(tmp_path / "checkpoint.pt", said.append)
    assert len(history) == SETTINGS.validations
    warnings = [line for line in said if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "No space left on device" in warnings[0]
    assert "progress.csv" in warnings[0]


def test_the_log_says_the_time_left_at_each_validation():
    said = []
    training(None, said.append)
    lines = [line for line in said if line.startswith("step ")]
    assert len(lines) == SETTINGS.validations
    assert all(line.endswith(" left") for line in lines)
    assert lines[-1].endswith(", 0 s left")


def test_the_picture_shows_every_point_and_marks_the_kept_weights(tmp_path):
    history = [row(10, 3.0), row(20, 1.0), row(30, 2.0)]
    table = record(tmp_path, [0] * 9, history, done=35).table(35, history)
    figure = training_progress("title", table, unit="patches", kept_by="validation_nll")
    loss, nll, error = figure.axes
    training_line, validation_line, kept = loss.lines
    assert training_line.get_xydata().tolist() == [[100, 3], [200, 1], [300, 2]]
    assert validation_line.get_xydata().tolist() == [[100, 1.5], [200, 0.5], [300, 1]]
    assert kept.get_xydata().tolist() == [[200, 0.5]]
    assert nll.lines[0].get_xydata().tolist() == [[100, 3], [200, 1], [300, 2]]
    assert error.lines[0].get_xydata().tolist() == [[100, 27], [200, 9], [300, 18]]
    assert [axes.lines[-1].get_xydata().tolist() for axes in (nll, error)] == [[[200, 1]], [[200, 9]]]
    assert all(axes.get_xlim() == (0, 1000) for axes in figure.axes)
    assert error.get_ylabel().endswith("[mm]")


@pytest.mark.parametrize("nll", [np.nan, np.inf])
def test_weights_that_were_never_kept_have_no_mark(nll, tmp_path):
    history = [row(10, nll)]
    table = record(tmp_path, [0] * 9, history, done=10).table(10, history)
    figure = training_progress("title", table, unit="patches", kept_by="validation_nll")
    assert [len(axes.lines) for axes in figure.axes] == [2, 1, 1]


def test_slices_have_a_loss_alone(tmp_path):
    history = [
        {"step": 1, "slices": 8, "training_loss": 2.0, "validation_loss": 3.0, "slices_per_second": 5.0},
        {"step": 2, "slices": 16, "training_loss": 1.0, "validation_loss": 2.0, "slices_per_second": 5.0},
    ]
    shown = record(
        tmp_path, [0] * 9, history, done=2, steps=4, batch=8, unit="slices", kept_by="validation_loss"
    )
    figure = training_progress("t", shown.table(2, history), unit="slices", kept_by="validation_loss")
    (loss,) = figure.axes
    assert loss.lines[-1].get_xydata().tolist() == [[16, 2]]
    assert loss.get_xlim() == (0, 32)
    assert (tmp_path / "progress.png").exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3569, "59 min"),
        (3599, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (86_399, "1 d 0 h"),
        (187_200, "2 d 4 h"),
        (np.nan, "?"),
        (np.inf, "?"),
    ],
)
def test_spans_of_time_are_in_two_units_at_most(seconds, text):
    assert duration(seconds) == text
