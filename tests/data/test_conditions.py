"""Which rows of a table of subjects `where` takes, and what it says of names and values that there are not."""

import pandas as pd
import pytest

from patch2loc.data.conditions import matching_rows
from patch2loc.errors import InputError

TABLE = pd.DataFrame(
    {
        "subject": ["a", "b", "c", "d"],
        "group": ["control", "patient", "control", ""],
        "age": ["20", "35.0", "", "61"],
        "session": ["1", "01", "2", "x"],
    }
)


@pytest.mark.parametrize(
    ("where", "subjects"),
    [
        ({"group": "control"}, "ac"),
        ({"group": ["control", "patient"]}, "abc"),
        ({"group": "n/a"}, "d"),
        ({"group": "control", "age": 20}, "a"),
        ({"age": 35}, "b"),
        ({"age": "35.0"}, "b"),
        ({"session": 1}, "ab"),
        ({"session": "01"}, "b"),
        ({"session": [1, "x"]}, "abd"),
        ({"age": {"from": 20, "to": 35}}, "ab"),
        ({"age": {"from": 20.5}}, "bd"),
        ({"age": {"to": 60}}, "ab"),
        ({}, "abcd"),
    ],
)
def test_rows_that_meet_all_conditions_are_taken(where, subjects):
    rows = matching_rows(TABLE, where, "participants.tsv")
    assert "".join(rows["subject"]) == subjects
    assert list(rows.index) == list(range(len(subjects)))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            {"diagnosis": "control"},
            "no column diagnosis found, .*one of subject, group, age, session expected",
        ),
        (
            {"group": "controls"},
            r"no controls found in the column group, .*control \(2\), patient \(1\), n/a \(1\)",
        ),
        ({"group": ["control", "Patient"]}, "no Patient found in the column group"),
        ({"age": 20.5}, r"no 20\.5 found in the column age"),
        ({"session": {"from": 1}}, "'x' found in the column session, numbers expected"),
        ({"age": {"from": 70}}, "nothing from 70 found in the column age, .*it has 20 to 61"),
        ({"group": {"from": 1}}, "'control' found in the column group, numbers expected"),
        (
            {"group": "patient", "age": 20},
            r"4 subjects found, none of whom meets all conditions of `where` \(group, age\)",
        ),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(where, said):
    with pytest.raises(InputError, match=f"^participants.tsv: {said}"):
        matching_rows(TABLE, where, "participants.tsv")


def test_text_is_not_read_as_a_number():
    with pytest.raises(InputError, match="no 35 found in the column age"):
        matching_rows(TABLE, {"age": "35"}, "participants.tsv")
