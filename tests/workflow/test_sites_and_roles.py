"""Subject lists with columns `site` and `role`: what is planned for them."""

import re
from collections import Counter

import pytest
import yaml
from workflow_runs import TINY, plan

pytestmark = pytest.mark.workflow
LIST = "subject,site,role\nphantom_tumor_000,North,test\nphantom_tumor_001,South,validation\n"


def planned(folder, text, **changes):
    """A dry run with a list for the simulated tumors: what it said, and its exit status."""
    config = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    config["methods"] = ["patch2loc", "zscore"]
    config["combinations"] = {"both": {"of": ["patch2loc_calibrated", "zscore"], "by": "rank_fisher"}}
    config["datasets"]["phantom_tumor"]["split"] = "own.csv"
    config["datasets"] |= changes
    (folder / "own.csv").write_text(text)
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    result = plan(folder, config=folder / "own.yaml")
    return result.stdout + result.stderr, result.returncode


def test_validation_subjects_choose_thresholds_and_are_not_tested(tmp_path):
    said, code = planned(tmp_path, LIST)
    assert code == 0, said[-3000:]
    jobs = Counter(re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE))
    assert jobs["by_site"] == 1
    assert jobs["score_validation"] == 2 * 2 + 2  # healthy T1 and T2, and tumors, each by two methods
    cohorts = dict(re.findall(r"input: (.*)\n\s+output: (\S*cohorts/phantom_tumor/\S+)", said))
    assert {output.rpartition("/")[2]: folders for folders, output in cohorts.items()} == {
        "test_fold0.json": "results/tiny/preprocessed/phantom_tumor/phantom_tumor_000",
        "validation_fold0.json": "results/tiny/preprocessed/phantom_tumor/phantom_tumor_001",
    }
    (evaluated,) = re.findall(
        r"rule evaluate:\n\s+input: (.*)\n\s+output: \S+/zscore/phantom_tumor/fold0.csv", said
    )
    assert "results/tiny/heatmaps_validation/zscore/phantom_tumor/fold0" in evaluated
    assert "cohorts/phantom_tumor/validation_fold0.json" in evaluated
    folder = "results/tiny/heatmaps_validation/{}/phantom_tumor/fold0"
    parts = rf"input: (.*)\n\s+output: {folder.format('both')}\n"
    # They are calibrated by the healthy validation scans, as tested scans are.
    assert re.findall(rf"rule combine_validation:\n\s+{parts}", said) == [
        f"{folder.format('patch2loc')}, {folder.format('zscore')}, results/tiny/calibration/patch2loc/T2/fold0"
    ]
    (by_site,) = re.findall(r"rule by_site:\n\s+input: (.*)\n", said)
    assert set(re.findall(r"/(phantom_\w+)/", by_site)) == {"phantom_tumor"}  # no other list names a site


def test_without_the_columns_all_are_tested_and_there_is_no_table_by_site(tmp_path):
    said, code = planned(tmp_path, "subject\nphantom_tumor_000\nphantom_tumor_001\n")
    assert code == 0, said[-3000:]
    jobs = Counter(re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE))
    assert jobs["by_site"] == 0
    assert jobs["score_validation"] == 2 * 2
    assert "cohorts/phantom_tumor/all.json" in said


def test_a_scan_that_validates_is_not_tested_under_another_name(tmp_path):
    table = "subject,modality,scan,brain,lesion\na,T1,x.nii.gz,,l.nii.gz\nb,T1,y.nii.gz,,m.nii.gz\n"
    (tmp_path / "scans.csv").write_text(table + "c,T1,y.nii.gz,,m.nii.gz\n")
    own = {"title": "own", "modality": "T1", "role": "lesion", "skull_strip": "none"}
    own |= {"split": "roles.csv", "source": {"kind": "table", "table": "scans.csv"}}
    (tmp_path / "roles.csv").write_text("subject,role\na,test\nb,validation\nc,test\n")
    said, code = planned(tmp_path, LIST, own=own)
    assert code != 0
    assert "own: c is tested, and a training or validation scan of own as b, data/y.nii.gz, in fold 0" in said
