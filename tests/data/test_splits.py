import itertools

import pandas as pd
import pytest
from repository_paths import ROOT

from patch2loc.data import published_splits, splits
from patch2loc.errors import InputError

SPLITS = ROOT / "splits"


@pytest.fixture(scope="module")
def published():
    return pd.read_csv(SPLITS / "ixi_published.csv")


@pytest.fixture(scope="module")
def cleaned(published):
    return published_splits.clean(published)


def test_shipped_list_is_the_cleaned_published_one(published):
    expected = published_splits.clean(published).astype(str)
    pd.testing.assert_frame_equal(splits.read(SPLITS / "ixi.csv"), expected, check_dtype=False)


def test_counts_of_what_is_wrong_in_the_published_lists(published):
    assert published_splits.problems(published) == {
        "test_listed_twice": 3,
        "test_in_training_any_fold": 9,
        "test_in_training": [9, 9, 9, 7, 8],
        "test_in_validation": [0, 0, 0, 2, 1],
        "training_in_validation": [0, 0, 2, 3, 3],
        "training_listed_twice": [13, 13, 11, 10, 10],
        "validated_in_several_folds": 32,
    }


def test_cleaning_keeps_every_subject_and_every_uncontested_role(published, cleaned):
    assert list(cleaned["subject"]) == list(published["subject"])
    tested = published["test"] > 0
    assert (cleaned.loc[tested, splits.folds(cleaned)] == "test").all(axis=None)
    validations = published.filter(like="val_fold").gt(0)
    once = ~tested & (validations.sum(axis=1) <= 1)
    for fold in range(5):
        trained = published[f"train_fold{fold}"] > 0
        validated = validations[f"val_fold{fold}"]
        assert (cleaned.loc[once & validated, f"fold{fold}"] == "validation").all()
        assert (cleaned.loc[once & trained & ~validated, f"fold{fold}"] == "train").all()
    assert not (cleaned == "").any(axis=None)


def test_cleaned_lists_do_not_overlap(cleaned):
    splits.check(cleaned)
    roles = cleaned[splits.folds(cleaned)]
    assert (roles.eq("validation").sum(axis=1) <= 1).all()
    tested = roles.eq("test")
    assert tested.nunique(axis=1).eq(1).all()


def test_first_validation_fold_wins_and_the_subject_trains_in_the_others():
    published = pd.DataFrame(
        [
            # listed: test, train0, val0, train1, val1
            ("twice", 1, 0, 0, 1, 0, 1),
            ("both", 1, 0, 1, 1, 1, 0),
            ("tested", 1, 2, 1, 0, 0, 1),
            ("unused", 0, 0, 1, 0, 0, 0),
        ],
        columns=["subject", "has_t2", "test", "train_fold0", "val_fold0", "train_fold1", "val_fold1"],
    )
    published.loc[0, ["val_fold0", "val_fold1"]] = 1
    found = published_splits.clean(published).set_index("subject")[["fold0", "fold1"]]
    assert found.loc["twice"].tolist() == ["validation", "train"]
    assert found.loc["both"].tolist() == ["validation", "train"]
    assert found.loc["tested"].tolist() == ["test", "test"]
    assert found.loc["unused"].tolist() == ["train", ""]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("a", "test", "train")], "training or validation"),
        ([("a", "test", "validation")], "training or validation"),
        ([("a", "validation", "validation")], "several folds"),
        ([("a", "train", "train"), ("a", "test", "test")], "more than once"),
        ([("a", "val", "train")], "unknown role"),
        ([("", "train", "train")], "without a name"),
    ],
)
def test_overlap_is_refused(rows, reason):
    with pytest.raises(InputError, match=reason):
        splits.check(pd.DataFrame(rows, columns=["subject", "fold0", "fold1"]), "lists.csv")


def test_roles_of_a_fold_and_a_modality():
    roles = splits.roles(SPLITS / "ixi.csv", 1)
    assert {role: len(subjects) for role, subjects in roles.items()} == {
        "train": 373,
        "validation": 36,
        "test": 157,
    }
    with_t2 = splits.roles(SPLITS / "ixi.csv", 1, "T2")
    assert sum(map(len, roles.values())) - sum(map(len, with_t2.values())) == 4
    assert (
        not splits.overlaps({1: roles, 2: splits.roles(SPLITS / "ixi.csv", 2)})
        .filter(like="_in_")
        .any(axis=None)
    )
    with pytest.raises(InputError, match="no column fold5"):
        splits.roles(SPLITS / "ixi.csv", 5)


def test_published_lists_are_used_only_when_asked_for_and_their_overlaps_are_told(published):
    path = SPLITS / "ixi_published.csv"
    with pytest.raises(InputError, match="set `split: published`"):
        splits.roles(path, 3)
    counts = splits.overlaps({fold: splits.roles(path, fold, published_lists=True) for fold in range(5)})
    expected = published_splits.problems(published)
    for name in splits.OVERLAPS:
        assert counts[name].tolist() == expected[name]
    assert counts.loc[3, ["fold", "train", "validation", "test"]].tolist() == [3, 377, 44, 157]
    assert splits.overlap_note("ixi_t1", counts) == (
        "ixi_t1: published subject lists, which overlap (folds 0, 1, 2, 3, 4): "
        "9, 9, 9, 7, 8 test subjects are training subjects; "
        "0, 0, 0, 2, 1 test subjects are validation subjects; "
        "0, 0, 2, 3, 3 training subjects are validation subjects."
    )
    clean = splits.overlaps({0: splits.roles(SPLITS / "ixi.csv", 0)})
    assert splits.overlap_note("ixi_t1", clean) == ""


@pytest.mark.parametrize("path", sorted(SPLITS.glob("*.csv")), ids=lambda path: path.name)
def test_every_fold_of_the_shipped_lists_has_every_role(path):
    table = splits.read(path)
    modalities = ["T1", "T2"] if "has_t2" in table.columns else ["T1"]
    for fold, modality in itertools.product(map(int, (name[4:] for name in splits.folds(table))), modalities):
        assert all(splits.roles(path, fold, modality).values()), (fold, modality)


def test_a_fold_that_is_asked_for_needs_every_role(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("subject,has_t2,fold0,fold1\na,1,train,validation\nb,1,validation,train\nc,0,test,test\n")
    assert splits.roles(path, 1)["test"] == ["c"]
    with pytest.raises(InputError, match=r"own.csv, T2: no test subject found in fold1"):
        splits.roles(path, 1, "T2")
    path.write_text("subject,fold0,fold1\na,train,train\nb,validation,train\nc,test,test\n")
    assert splits.roles(path, 0)["validation"] == ["b"]  # a run of fold 0 asks for no other
    with pytest.raises(InputError, match=r"own.csv, T1: no validation subject found in fold1"):
        splits.roles(path, 1)


def test_cleaned_validation_lists_partition_the_subjects_that_validate(published, cleaned):
    listed = published.filter(like="val_fold").gt(0).any(axis=1) & (published["test"] == 0)
    lists = [set(cleaned.loc[cleaned[fold] == "validation", "subject"]) for fold in splits.folds(cleaned)]
    assert sum(map(len, lists)) == len(set.union(*lists)) == 178
    assert set.union(*lists) == set(published.loc[listed, "subject"])


def test_cleaning_does_not_depend_on_the_order_of_rows(published, cleaned):
    shuffled = published.sample(frac=1, random_state=1)
    again = published_splits.clean(shuffled).set_index("subject").loc[cleaned["subject"]].reset_index()
    pd.testing.assert_frame_equal(again, cleaned)


@pytest.mark.parametrize(("name", "count"), [("brats21", 1251), ("mslub", 30), ("atlas", 655), ("wmh", 60)])
def test_lesion_subjects_are_all_tested(name, count):
    roles = splits.roles(SPLITS / f"{name}.csv", 0)
    assert roles["train"] == roles["validation"] == []
    assert len(set(roles["test"])) == count


def test_the_shipped_lists_name_sites():
    def counted(name):
        return splits.read(SPLITS / f"{name}.csv")["site"].value_counts().to_dict()

    assert counted("ixi") == {"Guys": 316, "HH": 181, "IOP": 69}
    assert counted("wmh") == {"Utrecht": 20, "Singapore": 20, "Amsterdam": 20}
    atlas = counted("atlas")
    assert sum(atlas.values()) == 655
    assert "" not in atlas


def test_a_lesion_list_may_have_validation_subjects_who_are_not_tested(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("subject,site,role\na,X,test\nb,X,validation\nc,Y,test\n")
    for fold in (0, 3):
        assert splits.roles(path, fold) == {"train": [], "validation": ["b"], "test": ["a", "c"]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("subject,role\na,test\nb,validation\nb,test\n", "listed more than once .b."),
        ("subject,role\na,test\nb,train\n", r"unknown role .b.; use validation or test"),
        ("subject,role\na,test\nb,\n", "unknown role .b."),
        ("subject,role\na,test\nb,test\n", "no validation subject found in role"),
        ("subject,role\na,validation\n", "no test subject found in role"),
        ("subject,role,fold0\na,test,test\n", "role and columns of folds found"),
        ("subject,has_t2,role\na,1,test\nb,0,validation\n", "T2: no validation subject found in role"),
    ],
)
def test_a_lesion_list_that_leaves_a_role_open_is_refused(text, reason, tmp_path):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(InputError, match=reason):
        splits.roles(tmp_path / "own.csv", 0, "T2")


def test_two_millimeter_split_follows_the_cleaned_lists():
    roles = splits.roles(SPLITS / "ixi2mm.csv", 0)
    assert {role: len(subjects) for role, subjects in roles.items()} == {
        "train": 108,
        "validation": 15,
        "test": 28,
    }
    for fold in range(5):
        roles, full = (splits.roles(SPLITS / name, fold) for name in ("ixi2mm.csv", "ixi.csv"))
        assert all(set(roles[role]) <= set(full[role]) for role in splits.ROLES)


def test_divide_validates_on_disjoint_blocks():
    table = splits.divide([f"s{index}" for index in range(10)], validation=2, test=3, number_of_folds=3)
    splits.check(table)
    assert table["fold0"].tolist() == ["validation"] * 2 + ["train"] * 5 + ["test"] * 3
    assert table["fold2"].tolist() == ["train"] * 4 + ["validation"] * 2 + ["train"] + ["test"] * 3
    with pytest.raises(InputError, match="too few"):
        splits.divide(["a", "b", "c"], validation=1, test=2, number_of_folds=1)


def test_missing_and_unreadable_lists_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        splits.read(tmp_path / "none.csv")
    (tmp_path / "names.csv").write_text("name\na\n")
    with pytest.raises(InputError, match="a column `subject` expected"):
        splits.read(tmp_path / "names.csv")


def test_scans_are_left_out_by_names_that_they_have():
    scans = {"a": 1, "b": 2, "c": 3}
    assert splits.without(scans, ["b"], "leave_out") == {"a": 1, "c": 3}
    assert splits.without(scans, [], "leave_out") == scans
    with pytest.raises(InputError, match=r"leave_out: 1 names .*\(d\); they are called a, b \.\.\."):
        splits.without(scans, ["a", "d"], "leave_out")
