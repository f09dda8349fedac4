"""Configurations that train on some sites and test on others: planned, and no scan of a left-out site in training."""

import pandas as pd
import pytest
from repository_paths import ROOT
from whole_runs import planned_run

from patch2loc.data import splits

SITES = {"ixi": "IXI Hammersmith", "ds002748": "ds002748", "ds000011": "ds000011"}
SETS = [path.stem.removeprefix("sites_") for path in sorted((ROOT / "splits").glob("sites_*.csv"))]


def trained_sites(name):
    """The sites that the name of a set of sites says."""
    return {SITES[site] for site in name.split("_")}


def test_every_set_of_sites_has_a_list():
    assert SETS == ["ds002748_ds000011", "ixi", "ixi_ds000011", "ixi_ds002748"]


@pytest.mark.parametrize("name", SETS)
def test_no_scan_of_a_left_out_site_is_trained_on_or_chosen_by(name):
    path = ROOT / f"splits/sites_{name}.csv"
    site_of = splits.read(path).set_index("subject")["site"]
    assert set(site_of) == set(SITES.values())
    roles = splits.roles(path, 0)
    for role in ("train", "validation"):
        assert {site_of[subject] for subject in roles[role]} == trained_sites(name)
    assert sum(map(len, roles.values())) == len(site_of)

    # All scans of a site are tested where it is left out, and the same ones of IXI everywhere.
    tested = site_of[roles["test"]].value_counts().to_dict()
    everyone = {"ds002748": 8, "ds000011": 10}
    for site in everyone.keys() - trained_sites(name):
        assert tested[site] == everyone[site]
    assert tested["IXI Hammersmith"] == 14


def test_sets_of_sites_share_their_scans_of_a_role():
    lists = {name: splits.roles(ROOT / f"splits/sites_{name}.csv", 0) for name in SETS}
    model = splits.roles(ROOT / "splits/model_t1.csv", 0)
    ixi = {
        role: {subject for subject in lists["ixi"][role] if subject.startswith("IXI")}
        for role in splits.ROLES
    }
    for name, roles in lists.items():
        for role in splits.ROLES:
            of_ixi = {subject for subject in roles[role] if subject.startswith("IXI")}
            assert of_ixi <= set(model[role])  # test scans of the shipped detector's list stay test scans
            assert of_ixi == ixi[role] or ("ixi" not in name.split("_") and role != "test")


@pytest.mark.parametrize("name", SETS)
def test_sets_of_sites_are_planned(name):
    on_top = [] if name == "ixi" else [f"ixi2mm/sites_{name}"]
    run = planned_run("ixi2mm", "ixi2mm/sites", *on_top)
    assert run.results.root == f"results/sites_{name}"
    assert list(run.datasets) == ["healthy"]
    assert run.config["methods"] == ["patch2loc", "patch2loc_unpadded", "patch2loc_robust_unpadded", "zscore"]
    roles = splits.roles(ROOT / f"splits/sites_{name}.csv", 0)
    for role, subjects in roles.items():
        assert set(run.datasets["healthy"].members(f"{role}_fold0")) == set(subjects)
    scans = pd.read_csv(ROOT / "config/model_t1/scans.csv", dtype=str)["subject"]
    assert set().union(*roles.values()) <= set(scans)
