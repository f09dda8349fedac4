"""Folders that a person named: claimed by one process at a time, and filled without harm to what is there."""

import errno
import os
import re
import subprocess
import sys

import pytest
from repository_paths import ROOT

from patch2loc.files import LOCK, file_hashes
from patch2loc.output_folder import FolderInUseError, claimed, filling

HOLD = """
import sys
from pathlib import Path
from patch2loc.output_folder import claimed, filling
with claimed(sys.argv[1]), filling(sys.argv[1], first="a") as partial:
    Path(partial, "a").write_text("half")
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Start a process that claims a folder and is in the middle of its work."""
    started = []

    def hold(folder):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")},
        )
        started.append(process)
        process.stdout.readline()
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def content(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def write(folder, **files):
    """Fill a folder with files of a text each."""
    with claimed(folder), filling(folder, first="record") as partial:
        for name, text in files.items():
            path = partial / name.replace("_", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)


def test_a_folder_is_claimed_by_one_process_at_a_time(holder, tmp_path):
    process = holder(tmp_path / "out")
    with (
        pytest.raises(FolderInUseError, match=rf"out: process {process.pid} on \S+ is at work there; wait"),
        claimed(tmp_path / "out"),
    ):
        pytest.fail("claimed twice")
    assert process.poll() is None
    process.communicate()
    assert content(tmp_path) == {"out", "out/a"}
    with claimed(tmp_path / "out"):
        pass
    assert content(tmp_path) == {"out", "out/a"}


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_without_locks_of_the_system_the_file_of_a_killed_process_is_named(tmp_path, monkeypatch):
    import fcntl

    def flock(*arguments):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = tmp_path / LOCK
    lock.write_text("4242\nanother-node\n12449294\n")
    with (
        pytest.raises(
            FolderInUseError,
            match=rf": process 4242 on another-node is at .*; if that .* gone, remove {lock}",
        ) as refused,
        claimed(tmp_path),
    ):
        pytest.fail("claimed twice")
    assert not refused.value.is_certain
    lock.unlink()
    with claimed(tmp_path):
        assert lock.exists()
    assert not lock.exists()


def test_a_claim_ends_with_its_process_and_what_that_left_is_removed(holder, tmp_path):
    process = holder(tmp_path / "out")
    process.kill()
    process.wait()
    left = sorted(content(tmp_path / "out"))
    assert re.fullmatch(rf"\.partial-{process.pid}-[0-9a-f]{{8}}-result", left[0])
    assert left[1:] == [f"{left[0]}/a", LOCK]
    own = {".partial-notes.txt", f".partial-{process.pid}-notes.txt"}
    for name in own:
        (tmp_path / "out" / name).write_text("mine")
    write(tmp_path / "out", record="whole")
    assert content(tmp_path / "out") == {"record", *own}


def test_nothing_is_left_of_a_failure_nor_of_the_folders_made_for_it(tmp_path):
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "new/inner/out", tmp_path / "there"):
        with (
            pytest.raises(RuntimeError),
            claimed(folder),
            filling(folder, first="record") as partial,
        ):
            (partial / "record").write_text("half")
            raise RuntimeError
    assert content(tmp_path) == {"there"}


def test_what_appears_meanwhile_is_kept(tmp_path):
    """Beside the result, or in the place of one of its files, which is then not written at all."""
    with claimed(tmp_path), filling(tmp_path, first="record") as partial:
        (partial / "record").write_text("result")
        (tmp_path / "notes.txt").write_text("mine")
    assert content(tmp_path) == {"record", "notes.txt"}
    with (
        pytest.raises(FolderInUseError, match=r"part/b: appeared while this was computed, and is kept"),
        claimed(tmp_path),
        filling(tmp_path, first="a") as partial,
    ):
        for name in ("a", "part/b"):
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_text("result")
        (tmp_path / "part").mkdir()
        (tmp_path / "part/b").write_text("mine")
    assert content(tmp_path) == {"record", "notes.txt", "part", "part/b"}
    assert (tmp_path / "part/b").read_text() == "mine"


def test_only_named_files_are_replaced(tmp_path):
    write(tmp_path, record="old", part_a="old", part_b="old")
    with claimed(tmp_path), filling(tmp_path, first="record", replaced=["record", "part/a"]) as partial:
        (partial / "record").write_text("new")
        (partial / "part").mkdir()
        (partial / "part/a").write_text("new")
    texts = {name: (tmp_path / name).read_text() for name in ("record", "part/a", "part/b")}
    assert texts == {"record": "new", "part/a": "new", "part/b": "old"}


def test_the_record_moves_first_and_a_move_that_fails_is_undone(tmp_path, monkeypatch):
    moved = []

    def replace(source, target):
        moved.append(target.name)
        if len(moved) == 3:
            raise OSError(28, "No space left on device")
        source.rename(target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, part_a="1", part_b="2", record="3")
    assert moved == ["record", "a", "b"]
    assert content(tmp_path) <= {"part"}


def test_a_folder_may_be_a_link_to_one_or_the_current_one(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    write(tmp_path / "link", record="1")
    assert (tmp_path / "folder/record").read_text() == "1"
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")
    inode = os.stat(".").st_ino
    write(".", record="2")
    assert (os.stat(".").st_ino, os.listdir()) == (inode, ["record"])


def test_a_file_or_a_link_to_nothing_in_the_place_of_the_folder_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "file/below", "link"):
        with pytest.raises(OSError, match=r"File exists|Not a directory"), claimed(tmp_path / name):
            pytest.fail("claimed")
    assert content(tmp_path) == {"file", "link"}
    assert (tmp_path / "file").read_text() == "mine"


def test_hashes_are_by_relative_name(tmp_path):
    write(tmp_path, record="1", part_a="")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    hashes = file_hashes(tmp_path)
    assert list(hashes) == ["part/a", "record"]
    assert hashes["part/a"] == empty
