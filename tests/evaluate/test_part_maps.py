"""Parts of the score as detectors: the maps are those of scoring, the measures those of the evaluation."""

import numpy as np
import pandas as pd
import pytest
from repository_paths import ROOT
from small_training import CPU, train_small, write_scan

import patch2loc.methods.patch2loc.model as patch2loc
from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.evaluate import parts
from patch2loc.evaluate.patch_analysis import edge_distance
from patch2loc.evaluate.subjects import evaluate_subject
from patch2loc.files import read_json, write_json
from patch2loc.metrics.parts import EDGE_SCORE, Setting
from patch2loc.metrics.released_code import OURS
from patch2loc.models import load_model
from patch2loc.score.scoring import heatmap_of, standardized_for

SETTINGS = {"epsilons": [1e-10, 0.5], "median_filters": [1, 3], "strides": [1, 2, 4]}
LOST = 5
JOB = {
    **{"settings": SETTINGS, "truth": "half", "choices": OURS},
    **{"device": CPU, "precision": "float32", "code": "code"},
}
RELEASED = {"background": "zero", "best_dice": "bisection", "off_grid": "ignored"}
VALUES = ["subject", *Setting._fields, "metric", "low", "high", "value", "patches"]


def new_scan(folder, subject, seed, lesion_voxels=0):
    """A scan that was not trained on; with lesion, some of it is off the grid."""
    scan = write_scan(folder, subject, seed)
    mask = volumes.read_mask(scan.mask_path)
    lesion = np.zeros_like(mask)
    lesion[8 : 8 + lesion_voxels, 8:12, 2:4] = True
    for path in (scan.lesion_path, scan.lesion_any_path):
        volumes.write(path, lesion, np.diag([2.0, 2, 2, 1]))
    lost_ml = LOST * 0.008 if lesion_voxels else 0.0
    about = {"lost_to_grid_ml": lost_ml, "scale": 1.0, "lesions_source": 1, "lesions_in_view": 1}
    write_json(scan.qc_path, {**read_json(scan.qc_path), "lesion": about})
    return scan


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """File of a small model, a scan with a lesion and a healthy one."""
    folder = tmp_path_factory.mktemp("parts")
    model = train_small(folder, "patch2loc")
    return model, new_scan(folder, "lesion", 8, 5), new_scan(folder, "healthy", 9)


@pytest.fixture(scope="module")
def maps(trained):
    """Heatmaps of the scan with lesion by their settings."""
    model, (volume, mask) = load_model(trained[0]), trained[1].read()
    predict = patch2loc.predictor(model["state"], CPU)
    standardized = standardized_for(model, volume, mask, "scan")
    return {each.setting: each for each in parts.part_maps(predict, standardized, mask, SETTINGS)}


@pytest.fixture(scope="module")
def table(trained):
    """Measures of both scans."""
    model, *scans = trained
    path = model.with_name("table.parquet")
    parts.analyze_parts(model, scans, path, **JOB)
    assert not path.with_name("table.parquet.partial").exists()
    return pd.read_parquet(path)


def scored(trained, stride, size):
    model, (volume, mask) = load_model(trained[0]), trained[1].read()
    return heatmap_of(model, CPU, stride=stride, median_filter=size)(volume, mask, "scan")


@pytest.mark.parametrize("stride", SETTINGS["strides"])
def test_the_score_is_the_heatmap_that_is_scored_with_the_same_settings(trained, maps, stride):
    widest = maps[Setting("score", 0.5, 3, stride)].heatmap
    np.testing.assert_array_equal(widest, scored(trained, stride, 3))
    # Its predictions reach as far as the widest filter: batches differ, and with them the last digits.
    unfiltered = maps[Setting("score", 0.5, 1, stride)].heatmap
    np.testing.assert_allclose(unfiltered, scored(trained, stride, 1), rtol=1e-5, atol=1e-5)


def test_every_part_has_every_setting_and_the_log_variance_no_epsilon(maps):
    assert len(maps) == (2 * 2 + 1) * 2 * 3
    of_log_variance = [setting for setting in maps if setting.part == "log_variance"]
    assert len(of_log_variance) == 2 * 3
    assert np.isnan([setting.epsilon for setting in of_log_variance]).all()
    assert all(each.seconds > 0 for each in maps.values())


def test_the_parts_add_up_to_the_score_and_epsilon_is_added_to_the_squared_error(maps):
    log_variance = next(
        each for setting, each in maps.items() if setting[0] == "log_variance" and setting[2:] == (1, 1)
    )
    for epsilon in SETTINGS["epsilons"]:
        log_error = maps[Setting("log_error", epsilon, 1, 1)].heatmap
        score = maps[Setting("score", epsilon, 1, 1)].heatmap
        np.testing.assert_allclose(log_error + log_variance.heatmap, score, rtol=1e-5)
    squared = [
        np.exp(maps[Setting("log_error", epsilon, 1, 1)].heatmap.astype(float)) for epsilon in (1e-10, 0.5)
    ]
    # Of squared errors of thousands, whose logarithms are float32.
    np.testing.assert_allclose(
        squared[1] - squared[0], np.where(np.isnan(squared[0]), np.nan, 0.5), rtol=0.01
    )


def test_a_stride_predicts_fewer_patches(maps):
    one, two, four = (maps[Setting("score", 0.5, 3, stride)].patches for stride in SETTINGS["strides"])
    assert one == (20 + 0) * 16 * 6  # the box of 18 x 14 x 4 voxels, widened by one
    assert one > 2 * two > 4 * four


@pytest.mark.parametrize("choices", [OURS, RELEASED], ids=["ours", "released"])
def test_a_lesion_is_measured_as_the_evaluation_does(trained, table, tmp_path, monkeypatch, choices):
    if choices is RELEASED:
        few = {"epsilons": [0.5], "median_filters": [3], "strides": [1]}
        monkeypatch.setattr(parts.shutil, "rmtree", lambda _: None)  # as killed before it
        for each in (OURS, RELEASED):
            job = JOB | {"settings": few, "choices": each}
            parts.analyze_parts(trained[0], [trained[1]], tmp_path / "table.parquet", **job)
        table = pd.read_parquet(tmp_path / "table.parquet")
    mask = volumes.read_mask(trained[1].mask_path)
    lesion = volumes.read_mask(trained[1].lesion_path)
    about = {"lost_ml": LOST * 0.008, "patch": 8, "choices": choices}
    expected = evaluate_subject(scored(trained, 1, 3), mask, lesion, 0.008, **about)
    rows = table[(table["subject"] == "lesion")]
    assert set(rows["metric"]) == {"auprc", "best_dice"}
    assert len(rows) == (30 if choices is OURS else 3) * 2
    own = rows[(rows["part"] == "score") & (rows["epsilon"] == 0.5)]
    own = own[(own["median_filter"] == 3) & (own["stride"] == 1)].set_index("metric")["value"]
    assert own["auprc"] == expected["auprc"]
    assert own["best_dice"] == expected["best_dice"]
    if choices is OURS:
        assert own["auprc"] < lesion.sum() / (lesion.sum() + LOST)  # what is off the grid is missed


def test_epsilon_leaves_the_ranks_of_the_error_alone(table):
    # A median is one of its values and the logarithm is increasing: only interpolation between strides is not.
    errors = table[(table["subject"] == "lesion") & (table["part"] == "log_error") & (table["stride"] == 1)]
    for _, rows in errors.groupby(["median_filter", "metric"]):
        assert rows["epsilon"].nunique() == 2
        assert np.ptp(rows["value"]) < 1e-3


def test_a_healthy_scan_is_measured_by_the_distance_from_the_edge(trained, table):
    model, (volume, mask) = load_model(trained[0]), trained[2].read()
    heatmap = heatmap_of(model, CPU, stride=2, median_filter=3)(volume, mask, "scan")
    near = mask & (edge_distance(mask, 2.0) < 2)
    rows = table[(table["subject"] == "healthy") & (table["metric"] == EDGE_SCORE)]
    own = rows[(rows["part"] == "score") & (rows["epsilon"] == 0.5) & (rows["median_filter"] == 3)]
    found = own[(own["stride"] == 2) & (own["low"] == 0) & (own["high"] == 2)]["value"].item()
    assert found == pytest.approx(heatmap[near].mean(), rel=1e-5)


def test_a_killed_job_goes_on_and_makes_the_same_table(trained, table, tmp_path, monkeypatch):
    model, *scans = trained
    path = tmp_path / "table.parquet"
    predicted = []
    part_maps = parts.part_maps

    def killed_in_the_second(predict, volume, *others, **named):
        predicted.append(volume)
        if len(predicted) == 2:
            raise KeyboardInterrupt
        return part_maps(predict, volume, *others, **named)

    monkeypatch.setattr(parts, "part_maps", killed_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        parts.analyze_parts(model, scans, path, **JOB)
    assert not path.exists()
    parts.analyze_parts(model, scans, path, **JOB)
    assert len(predicted) == 3  # the first scan once, the second one twice
    pd.testing.assert_frame_equal(pd.read_parquet(path)[VALUES], table[VALUES])


def test_other_settings_take_nothing_of_a_killed_job(trained, tmp_path, monkeypatch):
    model, scan, _ = trained
    path = tmp_path / "table.parquet"
    few = {"epsilons": [0.5], "median_filters": [1], "strides": [4]}
    monkeypatch.setattr(parts.shutil, "rmtree", lambda _: None)  # as killed before it
    parts.analyze_parts(model, [scan], path, **JOB | {"settings": few})
    parts.analyze_parts(model, [scan], path, **JOB | {"settings": few | {"strides": [2]}})
    assert set(pd.read_parquet(path)["stride"]) == {2}


def test_a_scan_that_cannot_be_scored_is_named(trained, tmp_path, monkeypatch):
    model, scan, _ = trained
    nothing = parts.PartMap(Setting("score", 0.5, 1, 1), np.full((24, 20, 6), np.nan, np.float32), 0.0, 1)
    monkeypatch.setattr(parts, "part_maps", lambda *_, **__: iter([nothing]))
    with pytest.raises(InputError, match=r"parts.*/lesion: .*not finite.*leave it out"):
        parts.analyze_parts(model, [scan], tmp_path / "table.parquet", **JOB)


def test_a_scan_that_was_trained_on_is_refused(trained, tmp_path):
    model = trained[0]
    copy = new_scan(tmp_path, "copy", 0)
    with pytest.raises(InputError, match="copy is s0"):
        parts.analyze_parts(model, [copy], tmp_path / "table.parquet", **JOB)


def test_the_benchmark_of_parts_writes_its_table_and_figure(trained, table, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import parts as benchmark

    for name in ("EPSILONS", "MEDIAN_FILTERS", "STRIDES"):
        monkeypatch.setattr(benchmark, name, SETTINGS[name.lower()])
    model, lesion, healthy = trained
    benchmark.write_parts(model, {"patients": [lesion], "healthy": [healthy]}, 3, "Small.", tmp_path)
    written = pd.read_csv(tmp_path / "parts.csv")
    of_run = ["score", 0.5, 3, 1]
    own = written[(written[list(Setting._fields)] == of_run).all(axis=1)]
    assert set(own["dataset"]) == {"patients", "healthy"}
    assert (own["difference"].dropna() == 0).all()
    measured = table[(table["subject"] == "lesion") & (table[list(Setting._fields)] == of_run).all(axis=1)]
    for metric in ("auprc", "best_dice"):
        found, expected = (of[of["metric"] == metric] for of in (own[own["dataset"] == "patients"], measured))
        assert found["mean"].item() == pytest.approx(expected["value"].item())
    assert (tmp_path / "parts.png").stat().st_size > 10_000
    assert "Small." in (tmp_path / "parts.md").read_text()
