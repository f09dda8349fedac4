"""Readers of tables under random text: they give something valid or say what is wrong, and nothing else, in time.

Damage whose result is known, to tables and all else, is in test_mutations.py.
"""

from collections import Counter
from datetime import timedelta

import pytest
from hostile_tables import HEAD, ROW, SPLIT
from hypothesis import given, settings
from hypothesis import strategies as some

from patch2loc.acquire import sources
from patch2loc.data import splits
from patch2loc.data.subject_tables import NAME
from patch2loc.errors import InputError


def fuzz(inputs, attempt, named, count=200):
    """Attempt `count` inputs: each is valid or refused by a message with `named` in it; both have to occur.

    Derandomized: the same inputs in every run, so that a failure is one of the code and not of the day.
    """
    seen = Counter()

    @settings(derandomize=True, database=None, deadline=timedelta(seconds=5), max_examples=count)
    @given(inputs)
    def once(content):
        try:
            attempt(content)
        except InputError as error:
            said = str(error)
        else:
            seen["valid"] += 1
            return
        seen["refused"] += 1
        assert named in said

    once()
    assert min(seen["valid"], seen["refused"]) >= 3, seen


places = some.floats(0, 1, exclude_max=True)
changes = some.lists(some.tuples(places, some.integers(0, 255)), max_size=4)
ends = some.one_of(some.just(1.0), some.floats(0, 1))


def damaged(content):
    """A file of which some bytes are others, or the end is missing."""

    def damage(changed, end):
        changing = bytearray(content)
        for place, value in changed:
            changing[int(place * len(content))] = value
        return bytes(changing[: round(end * len(content))])

    return some.builds(damage, changes, ends)


cells = some.one_of(
    some.sampled_from((HEAD + ROW + SPLIT).replace("\n", ",").split(",")),
    some.text(some.characters(exclude_categories=["Cs"]), max_size=8),
    some.sampled_from(["../a", "https://x/a", '"', "\ufeff", "\0", "{subject}", "*", "7"]),
)
rows = some.builds(lambda mark, row: mark.join(row), some.sampled_from(",;\t"), some.lists(cells, max_size=7))
lines = some.lists(rows, max_size=5).map("\r\n".join)
tables = some.one_of(
    some.binary(max_size=200),
    some.builds(
        lambda head, more: (head + more).encode(),
        some.sampled_from(["", HEAD + ROW, SPLIT, "subject\na\n"]),
        lines,
    ),
    some.builds(lambda path: f'{HEAD}{ROW}b,T1,"{path}",,'.encode(), cells),
    damaged((HEAD + ROW).encode()),
    damaged(SPLIT.encode()),
)


@pytest.mark.parametrize("kind", ["table", "folder", "painted"])
def test_tables_of_scans(kind, tmp_path):
    path = tmp_path / "own.csv"
    dataset = {"kind": kind, "name": "own", "modality": "T1", "root": str(tmp_path), "data": str(tmp_path)}
    dataset |= {"scan": "{subject}/*.nii.gz", "table": str(path)}
    dataset |= {"subjects": str(path)} if kind == "folder" else {}
    head = {"painted": b"subject,scan,brain,mask,mirrored,seed\na,a,b,m,1,5\n"}

    def read(content):
        path.write_bytes(head.get(kind, b"") + content)
        found = sources.sources(dataset)
        assert all(NAME.fullmatch(subject) for subject in found)
        assert sources.missing(dataset)

    fuzz(tables, read, "own", count=150)


@pytest.mark.parametrize("published", [False, True])
def test_lists_of_subjects(published, tmp_path):
    def read(content):
        (tmp_path / "own.csv").write_bytes(content)
        found = splits.roles(tmp_path / "own.csv", 0, "T2", published)
        assert set(found) == set(splits.ROLES)

    fuzz(tables, read, "own.csv", count=150)
