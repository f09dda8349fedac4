"""Curves for TensorBoard: each point once, also after a training has begun again."""

import sys
from types import SimpleNamespace

import pytest

from patch2loc.errors import InputError
from patch2loc.watching.tensorboard import TensorBoardEvents

COLUMNS = "step,patches,validation_nll,steps,seconds_left\n"


class Writer:
    """Stands in for torch's SummaryWriter, where tensorboard is not installed."""

    def __init__(self, log_dir, purge_step):
        self.log_dir, self.purge_step, self.points = log_dir, purge_step, []

    def add_scalar(self, tag, value, step):
        self.points.append((tag, value, step))

    def flush(self):
        pass

    def close(self):
        self.points.append("closed")


@pytest.fixture
def writers(monkeypatch):
    made = []

    def make(log_dir, purge_step):
        made.append(Writer(log_dir, purge_step))
        return made[-1]

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=make))
    return made


def write(results, *rows, table="progress.csv"):
    path = results / "models/patch2loc/T1/fold0" / table
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(COLUMNS + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_each_row_becomes_points_once(writers, tmp_path):
    events = TensorBoardEvents(tmp_path)
    events.update()
    assert writers == []
    path = write(tmp_path, "10,100,3.5,40,9")
    events.update()
    write(tmp_path, "10,100,3.5,40,9", "20,200,2.5,40,6")
    events.update()
    events.update()
    write(tmp_path, "10,100,3.5,40,9", "20,200,2.5,40,6", "25,250,,40,4")  # between two validations
    events.update()
    (writer,) = writers
    assert writer.log_dir == str(path.parent)
    named = [point for point in writer.points if point[0] == "validation_nll"]
    assert named == [("validation_nll", 3.5, 10), ("validation_nll", 2.5, 20)]
    assert [point for point in writer.points if point[0] == "patches"] == [
        ("patches", 100.0, 10),
        ("patches", 200.0, 20),
        ("patches", 250.0, 25),
    ]
    assert not {"step", "steps", "seconds_left"} & {tag for tag, _, _ in writer.points}
    events.close()
    assert writer.points[-1] == "closed"


def test_a_training_that_began_again_hides_its_former_points(writers, tmp_path):
    events = TensorBoardEvents(tmp_path)
    write(tmp_path, "10,100,3.5,40,9", "20,200,2.5,40,6")
    events.update()
    write(tmp_path, "10,100,7.5,40,9")
    events.update()
    former, latter = writers
    assert former.points[-1] == "closed"
    assert latter.purge_step == 0
    assert ("validation_nll", 7.5, 10) in latter.points


def test_networks_of_one_training_are_runs_of_their_own(writers, tmp_path):
    for network in ("patch16", "patch24"):
        path = write(tmp_path, "10,100,3.5,40,9", table=f"{network}-progress.csv")
    TensorBoardEvents(tmp_path).update()
    assert [writer.log_dir for writer in writers] == [
        str(path.parent / name) for name in ("patch16", "patch24")
    ]


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        InputError, match=r"^--tensorboard: no package tensorboard found .* pip install tensorboard$"
    ):
        TensorBoardEvents(tmp_path)


def test_tensorboard_reads_what_is_written(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write(tmp_path, "10,100,3.5,40,9", "20,200,2.5,40,6")
    for _ in range(2):  # the second watcher finds the files of the first
        events = TensorBoardEvents(tmp_path)
        events.update()
        events.close()
    read = accumulator.EventAccumulator(str(tmp_path / "models/patch2loc/T1/fold0"))
    read.Reload()
    found = [(event.step, event.value) for event in read.Scalars("validation_nll")]
    assert found == [(10, 3.5), (20, 2.5)]
