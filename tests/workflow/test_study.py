"""A study of patients and controls in one BIDS root, configured in ten lines: planned, and run small."""

import re
import shutil
from collections import Counter

import pandas as pd
import pytest
import yaml
from heads import COARSE
from studies import CONFIGURATION, write_study
from workflow_runs import plan, snakemake

from patch2loc.acquire.phantom import write_subject
from patch2loc.files import read_csv, read_json

pytestmark = pytest.mark.workflow
# Over the ten lines: coarse, and trained for seconds, on scans that come with their brain masks.
SMALL = {
    "grid": {"spacing": 4.0},
    "patch": 8,
    "methods": ["patch2loc", "zscore"],
    "detector": {"method": "patch2loc"},
    "training": {"widths": [4, 8, 8, 16], "patches": 20480, "validation_patches": 512, "validations": 4},
    "device": "cpu",
}
CONTROLS, PATIENTS = 8, 4


def test_the_ten_lines_plan_a_study_of_120_people(tmp_path):
    write_study(tmp_path / "data" / "study")
    config = tmp_path / "study.yaml"
    config.write_text(CONFIGURATION, encoding="utf-8")
    result = plan(tmp_path, config=config)
    said = result.stdout + result.stderr
    assert result.returncode == 0, said[-3000:]
    jobs = Counter(re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE))
    assert jobs["preprocess"] == 120
    assert jobs["patient"] == 20
    assert (jobs["train"], jobs["detector"], jobs["patients"], jobs["report_page"]) == (3, 1, 1, 1)
    assert "70 training subjects, 10 validation subjects, 20 test subjects" in said
    assert re.search(
        r"Estimate: about \d+\.\d hours on the \d+ cores of this machine: training of 2 loc", said
    )
    assert "grid.shape" not in said  # the preset holds the whole brain


@pytest.fixture
def study(tmp_path):
    """Folder of twelve simulated people, the first of them patients, and a configuration."""
    root = tmp_path / "data" / "study"
    write_study(root, PATIENTS, CONTROLS, suffixes=())
    for index in range(PATIENTS + CONTROLS):
        name, cohort = f"sub-{index + 1:03d}", "tumor" if index < PATIENTS else "healthy"
        write_subject(tmp_path / "made", cohort, index, seed=7, settings=COARSE)
        for part, place in (("", ""), ("_brain", "derivatives/masks/")):
            suffix = "desc-brain_mask" if part else "T1w"
            path = root / place / name / "anat" / f"{name}_{suffix}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(tmp_path / "made" / f"T1{part}.nii.gz", path)
    config = yaml.safe_load(CONFIGURATION)
    config |= SMALL | {"training": {**SMALL["training"], "batch": 512}}
    for dataset in config["datasets"].values():
        dataset |= {"skull_strip": "given", "simulated": True}
        dataset["source"] |= {"brain": "desc-brain_mask"}
    config["datasets"]["controls"]["split"] = {"validation": 2, "test": 2, "seed": 1}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_a_study_runs_to_ranked_answers_about_its_patients(study):
    # A scan that cannot be read must not stop the others.
    unreadable = study / "data/study/sub-004/anat/sub-004_T1w.nii.gz"
    unreadable.write_bytes(b"no image")
    result = snakemake(study, "patients", "subject_lists", config=study / "study.yaml")
    assert result.returncode == 0, (result.stdout + result.stderr)[-5000:]
    results = study / "results/study"

    roles = read_csv(results / "tables/subject_roles.csv")
    assert Counter(roles["fold0"]) == {"train": 4, "validation": 2, "test": 2}
    assert set(roles["subject"]) == {f"sub-{index:03d}" for index in range(5, 13)}

    table = read_csv(results / "tables/patients.csv")
    assert sorted(table["subject"]) == [f"sub-{index:03d}" for index in range(1, 5)]
    assert table["rank"].tolist() == [1, 2, 3, 4]
    assert table["subject"].iloc[-1] == "sub-004"
    assert "sub-004_T1w.nii.gz" in table["left_out"].iloc[-1]
    answered = table.iloc[:3]
    assert answered["percentile"].is_monotonic_decreasing
    assert (answered["n_healthy"] == 4).all()  # validation and test scans
    for row in answered.itertuples():
        folder = results / "patients/patients" / row.subject
        summary = read_json(folder / "summary.json")
        assert (row.percentile, row.abnormal_ml, row.candidates) == (
            summary["percentile"],
            summary["abnormal_ml"],
            summary["candidates"],
        )
        assert "simulated" in row.warnings
        assert (results / row.page).is_file()
        candidates = pd.read_csv(folder / "candidates.csv")
        if row.candidates:
            assert row.first_volume_ml == pytest.approx(candidates["volume_ml"].iloc[0])
    markdown = (results / "tables/patients.md").read_text(encoding="utf-8")
    assert "validation and test scans of Controls in fold 0, which nothing was trained on" in markdown
    assert "4 healthy scans, T1: median" in markdown
