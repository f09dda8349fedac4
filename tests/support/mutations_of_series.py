"""Mutations of DICOM series: functions of a folder with the files of one, which change them."""

import shutil
from functools import partial

from dicom_series import SHAPE, write_series
from hypothesis import strategies as some
from mutations import mutations_by

SLICES = SHAPE[2]
PERSON = ["0010|0020", "0010|0010", "0020|000d", "0020|0052"]  # patient, name, study, frame of reference
OTHER_IMAGE = {"0008|0018": "1.2.3"}


def _files(folder):
    return sorted(folder.glob("*.dcm"))


def renamed(folder, order):
    """Other names in another order."""
    files = _files(folder)
    for number, place in enumerate(order):
        files[place].rename(folder / f"IM{number}")


def copied(folder, places):
    files = _files(folder)
    for place in places:
        shutil.copy(files[place], folder / f"copy{place}.dcm")


def in_folders(folder, count):
    for number, file in enumerate(_files(folder)):
        (folder / f"part{number % count}").mkdir(exist_ok=True)
        file.rename(folder / f"part{number % count}" / file.name)


def beside(folder, name, content):
    (folder / name).write_bytes(content)


def with_phase(folder):
    write_series(folder, 1, "t1", name="phase", tags={"0008|0008": "ORIGINAL\\PRIMARY\\P\\ND", **OTHER_IMAGE})


def two_people(folder, tag, value, places):
    """Some slices are of another person, study or position of the head; the series has one UID."""
    _replace(folder, places, tags={tag: value})


def of_two(folder, tag, value):
    """The slices of a second person behind those of the first."""
    at = range(SLICES, 2 * SLICES)
    write_series(folder, 1, "t1", name="second", at=at, tags={tag: value, **OTHER_IMAGE})


def missing(folder, places):
    files = _files(folder)
    for place in places:
        files[place].unlink()


def doubled(folder, place, shift):
    """A slice of other content at, or nearly at, the position of one."""
    write_series(
        folder, 1, "t1", name="again", at=[place + shift], tags={**OTHER_IMAGE, "0008|0023": "20210101"}
    )


def moved(folder, place, shift):
    _files(folder)[place].unlink()
    write_series(folder, 1, "t1", name="moved", at=[place + shift])


def turned(folder, place):
    _replace(folder, [place], tags={"0020|0037": "0\\1\\0\\0\\0\\-1"})


def echoes(folder, time):
    write_series(folder, 1, "t1", name="echo", tags={"0018|0081": time, **OTHER_IMAGE})


def two_series(folder, number):
    write_series(folder, number, "t1")


def cut(folder, place, share):
    file = _files(folder)[place]
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])


def replaced(folder, place, content):
    _files(folder)[place].write_bytes(content)


def _replace(folder, places, tags):
    files = _files(folder)
    for place in places:
        files[place].unlink()
    write_series(folder, 1, "t1", at=places, tags=tags)


def series_files():
    """Mutations of a series; of slices that are missing at its ends nothing tells."""
    same, noticed = partial(mutations_by, harmless=True), partial(mutations_by, noticed=True)
    inner, anywhere = some.integers(1, SLICES - 2), some.integers(0, SLICES - 1)
    some_slices = some.lists(anywhere, min_size=1, max_size=SLICES - 1, unique=True).map(sorted)
    tag, value = some.sampled_from(PERSON), some.sampled_from(["1.2.3", "1.2.4"])
    return some.one_of(
        same("renamed", renamed, order=some.permutations(range(SLICES))),
        same("copied", copied, places=some_slices),
        same("in folders", in_folders, count=some.integers(1, 5)),
        same(
            "beside",
            beside,
            name=some.sampled_from(["DICOMDIR", "notes.txt", "image.dcm"]),
            content=some.sampled_from([b"", b"notes", bytes(999), bytes(128) + b"DICM"]),
        ),
        same("with phase", with_phase),
        noticed("two people", two_people, tag=tag, value=value, places=some_slices),
        noticed("one behind another", of_two, tag=tag, value=value),
        noticed(
            "missing",
            missing,
            places=some.lists(inner, min_size=1, max_size=4, unique=True).map(sorted),
        ),
        noticed("doubled", doubled, place=anywhere, shift=some.sampled_from([0, 0.001, 0.1, 0.3, 0.5, -0.4])),
        noticed("moved", moved, place=inner, shift=some.sampled_from([0.1, 0.3, 0.5, -0.4])),
        noticed("turned", turned, place=inner),
        noticed("echoes", echoes, time=some.sampled_from(["7.4", "3.1", ""])),
        noticed("two series", two_series, number=some.integers(2, 9)),
        noticed("cut", cut, place=inner, share=some.floats(0, 0.99)),
        noticed("replaced", replaced, place=inner, content=some.sampled_from([b"", b"x", bytes(2000)])),
    )
