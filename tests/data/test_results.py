"""Paths of results: patterns without arguments, paths with them, and one of the other."""

from inspect import signature

import pytest

from patch2loc.data.results import METRICS, Results

RESULTS = Results("results/own")
WILDCARDS = {"method": "zscore", "dataset": "ixi", "modality": "T1", "fold": 3, "subject": "a b"}
OF_A_JOB = (
    *("landmarks", "model", "history", "heatmaps", "validation_heatmaps", "native_space_heatmaps"),
    *("calibration", "patches", "parts", "metrics", "learning_curve", "raw", "preprocessed"),
)


@pytest.mark.parametrize("name", OF_A_JOB)
def test_a_pattern_filled_in_is_the_path(name):
    path_of = getattr(RESULTS, name)
    given = {key: WILDCARDS[key] for key in signature(path_of).parameters if key in WILDCARDS}
    assert path_of().format(**WILDCARDS) == path_of(**given)
    assert path_of().startswith("results/own/")


def test_no_two_results_have_one_path():
    patterns = [getattr(RESULTS, name)() for name in OF_A_JOB]
    patterns += [RESULTS.metrics(kind=kind) for kind in METRICS if kind != "metrics"]
    assert len(set(patterns)) == len(patterns)


def test_the_folders_are_those_that_people_know():
    assert RESULTS.model("ae", "T2", 0) == "results/own/models/ae/T2/fold0/model.safetensors"
    assert RESULTS.heatmaps() == "results/own/heatmaps/{method}/{dataset}/fold{fold}"
    assert RESULTS.metrics("ae", "wmh", 1, kind="released_code") == (
        "results/own/metrics/ae/wmh/fold1_released_code.csv"
    )
    assert RESULTS.cohort("ixi", "train_fold0") == "results/own/cohorts/ixi/train_fold0.json"
    assert RESULTS.raw("phantom_ms", "phantom_ms_000") == "results/own/raw/phantom_ms/phantom_ms_000"
    assert RESULTS.preprocessed("ixi", "a") == f"{RESULTS.preprocessed_folder()}/ixi/a"
    assert RESULTS.log("train/{method}") == "results/own/logs/train/{method}.log"
