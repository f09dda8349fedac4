import json

import pytest

from patch2loc.acquire.participants import Person, person


@pytest.fixture
def root(tmp_path):
    (tmp_path / "participants.tsv").write_text(
        "participant_id\tage\tSex\nsub-01\t34\tF\n02\t89+\tn/a\nsub-03\tn/a\tM\nsub-04\tforty\tF\n"
        "sub-05\t20\tF\nsub-05\t30\tF\n",
        encoding="utf-8-sig",
    )
    return tmp_path


@pytest.mark.parametrize(
    ("participant", "age", "sex", "note"),
    [
        ("sub-01", 34.0, "F", None),
        ("sub-02", 89.0, None, None),  # a label without sub-; 89+ is how BIDS hides great ages
        ("sub-03", None, "M", None),
        ("sub-04", None, "F", "age 'forty' found, a number of years expected"),
        ("sub-05", None, None, "2 rows of sub-05 found, one expected"),
        ("sub-09", None, None, "0 rows of sub-09 found, one expected"),
    ],
)
def test_age_and_sex_are_those_of_the_table(root, participant, age, sex, note):
    found = person(root, participant)
    assert (found.age, found.sex) == (age, sex)
    assert len(found.notes) == (note is not None)
    assert note is None or note in found.notes[0]


def test_the_age_at_a_session_comes_first(root):
    (root / "sub-01").mkdir()
    (root / "sub-01/sub-01_sessions.tsv").write_text("session_id\tage\nses-1\t34.5\nses-2\tn/a\n")
    assert person(root, "sub-01", "ses-1").age == 34.5
    assert person(root, "sub-01", "ses-2").age == 34.0


@pytest.mark.parametrize(("key", "unit"), [("age", "Units"), ("Age", "units")])
def test_ages_in_another_unit_are_not_taken_for_years(root, key, unit):
    (root / "participants.json").write_text(json.dumps({key: {unit: "months"}}))
    found = person(root, "sub-01")
    assert found.age is None
    assert "age in months found, years expected" in found.notes[0]
    (root / "participants.json").write_text(json.dumps({"age": {"Units": "years"}}))
    assert person(root, "sub-01").age == 34.0


def test_a_table_that_cannot_be_read_is_a_note(tmp_path):
    assert person(tmp_path, "sub-01").notes == []
    (tmp_path / "participants.tsv").write_bytes(b"participant_id\tage\nsub-01\t\xff\n")
    found = person(tmp_path, "sub-01")
    assert found.age is None
    assert "not a readable CSV" in found.notes[0]


@pytest.mark.parametrize("separator", [",", ";"])
def test_commas_and_semicolons_are_read_as_the_workflow_reads_them(tmp_path, separator):
    rows = ["participant_id,age,sex", "sub-01,91,F"]
    (tmp_path / "participants.tsv").write_text("\n".join(rows).replace(",", separator))
    assert person(tmp_path, "sub-01") == Person(91.0, "F", [])


@pytest.mark.parametrize(
    ("header", "note"),
    [
        ("participant\tage\tsex", "no column participant_id found, one expected: the age is not known"),
        ("participant_id\tage\tAge", "several columns age found, one expected: the age is not known"),
    ],
)
def test_a_table_that_leaves_the_age_open_is_a_note(tmp_path, header, note):
    (tmp_path / "participants.tsv").write_text(f"{header}\nsub-01\t91\t30\n")
    assert person(tmp_path, "sub-01") == Person(notes=[f"{tmp_path / 'participants.tsv'}: {note}"])


@pytest.mark.parametrize("sex", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)"])
def test_a_formula_is_no_sex(tmp_path, sex):
    (tmp_path / "participants.tsv").write_text(f"participant_id\tsex\nsub-01\t{sex}\n")
    found = person(tmp_path, "sub-01")
    assert found.sex is None
    assert "a word expected: it is not used" in found.notes[0]
