"""What trainings ask of the lists of the training data: a number of scans, sites to balance."""

import pytest
from planned_runs import REGISTRY, configuration, dataset, scan_table, subject_list

from patch2loc.errors import InputError
from patch2loc.plan import train
from patch2loc.plan.plan import make_plan

ROLES = ("train", "train", "train", "validation", "test")
BALANCED = {"method": "patch2loc", "training": {"balance_sites": True}, "patch_mm": None}


def run_of(folder, sites, *, balance=True, **changes):
    """A run of patch2loc and zscore trained on five scans of some sites; None: the list has no such column."""
    subjects = [f"s{number}" for number in range(len(ROLES))]
    columns = "subject,fold0" + ("" if sites is None else ",site")
    cells = [""] * len(ROLES) if sites is None else [f",{site}" for site in sites]
    rows = [f"{subject},{role}{cell}" for subject, role, cell in zip(subjects, ROLES, cells, strict=True)]
    source = scan_table(folder, "scans.csv", {subject: f"{subject}.nii.gz" for subject in subjects})
    split = subject_list(folder, "split.csv", "\n".join([columns, *rows]) + "\n")
    own = {"own": dataset("healthy", split=split, source=source)}
    config = configuration(folder, own, folds=[0], training_data={"T1": "own"}, **changes)
    config["datasets"] = {"own": config["datasets"]["own"]}
    config["training"] |= {"balance_sites": balance}
    return make_plan(config, str(REGISTRY))


def test_sites_reach_the_trainings_that_balance_them_and_no_other(tmp_path):
    of_all = {"s0": "a", "s1": "a", "s2": "b", "s3": "a", "s4": "c"}
    run = run_of(tmp_path, "aabac")
    assert train.balanced_sites(run, "patch2loc", "T1") == train.balanced_sites(run, "zscore", "T1") == of_all
    run = run_of(tmp_path, "aabac", balance=False, variants={"even": BALANCED})
    assert train.balanced_sites(run, "patch2loc", "T1") is None
    assert train.balanced_sites(run, "patch2loc-even", "T1") == of_all


@pytest.mark.parametrize(
    ("sites", "found"),
    [
        (None, "no site of 3 training scans (s0, s1, s2) of own, fold 0, found"),
        (("a", "", "b", "", ""), "no site of 1 training scans (s1) of own, fold 0, found"),
        ("aaabc", "one site, a, of own, fold 0, found"),
    ],
)
def test_sites_that_cannot_be_balanced_are_refused(tmp_path, sites, found):
    with pytest.raises(InputError) as refused:
        run_of(tmp_path, sites)
    assert str(refused.value).startswith(f"training.balance_sites: true, and {found}")
    with pytest.raises(InputError, match=r"^variants.even.training.balance_sites: true"):
        run_of(tmp_path, sites, balance=False, variants={"even": BALANCED})
    assert train.balanced_sites(run_of(tmp_path, sites, balance=False), "patch2loc", "T1") is None
