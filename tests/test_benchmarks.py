"""The benchmarks of speed run on a small grid, and their tables say what they have to say."""

import sys

import numpy as np
import pandas as pd
import pytest
from repository_paths import ROOT
from torch import nn


@pytest.fixture
def benchmarks(monkeypatch):
    """The folder of the benchmarks, whose modules import each other by name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    known = set(sys.modules)
    yield ROOT / "benchmarks"
    folder = str(ROOT / "benchmarks")
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(folder):
            del sys.modules[name]


@pytest.mark.thorough
def test_what_to_measure_first_on_a_gpu_runs_on_a_processor_and_leaves_out_what_only_a_gpu_has(
    benchmarks, tmp_path, capsys, monkeypatch
):
    import first_gpu
    from comparison import read_rows

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    first_gpu.main(["--device", "cpu", "--case", "tiny", "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    for name in ("synchronizations", "deterministic_mode"):
        assert f"{name}: left out, as it needs a GPU" in printed
    assert "Error" not in printed
    first = {row["task"] for row in read_rows(tmp_path / "first_gpu_cpu.csv")}
    assert first == {"prediction", "first convolution", "gradient of its weights", "same voxels"}

    rows = read_rows(tmp_path / "engine_tiny_cpu.csv")
    assert (tmp_path / "engine_tiny_cpu.png").stat().st_size > 10_000
    compared = {(row["task"], row["way"], row["against"]) for row in rows}
    for task in ("same voxels", "volume, background skipped", "scan to heatmap", "training"):
        assert (task, "engine", "released") in compared
        assert (task, "unpadded", "engine") in compared
    for row in rows:
        assert row["machine"]
        assert row["date"]
        if row["ratio"]:
            assert 0 < float(row["ratio_low"]) <= float(row["ratio"]) <= float(row["ratio_high"])
        if row["share_of_peak"]:
            assert float(row["share_of_peak"]) > 0
        if row["task"].startswith("difference") and row["precision"] == "float32":
            assert float(row["value"]) < 1e-5


def test_the_operations_counted_are_those_that_are_executed(benchmarks):
    from brains import Source
    from engine import CASES
    from executed_operations import executed_operations
    from ways import ENGINE, RELEASED

    tiny = CASES["tiny"]
    source = Source(tiny.grid, 0)
    slice_voxels = np.argwhere(np.ones((*tiny.grid[:2], 1), bool))
    counts = {
        way: executed_operations(way, tiny, source, slice_voxels, device="cpu", precision="float32")
        for way in (RELEASED, ENGINE)
    }
    from patch2loc.network.location import encoder

    def met(size, kernel, stride, padding):
        """Pairs of a place and a kernel's row that meets the map, along one axis."""
        places = range((size + 2 * padding - kernel) // stride + 1)
        rows = [place * stride - padding + row for place in places for row in range(kernel)]
        return sum(0 <= row < size for row in rows)

    # By hand, of the released way: every product of every kernel, but for the zeros of padding.
    maps = {"conv1": 12, "layer1": 4, "layer2": 4, "layer3": 2, "layer4": 1}  # voxels that a layer is given
    expected = 0
    for place, layer in encoder(tiny.widths).named_modules():
        if isinstance(layer, nn.Conv2d):
            size, kernel, stride = maps[place.partition(".")[0]], layer.kernel_size[0], layer.stride[0]
            if "layer" in place and not place.endswith(("0.conv1", "downsample.0")):
                size = 1 if place.startswith(("layer3", "layer4")) else 4 if place.startswith("layer1") else 2
            expected += (
                layer.in_channels * layer.out_channels * met(size, kernel, stride, layer.padding[0]) ** 2
            )
    latent = tiny.widths[-1]
    heads = 2 * (latent * latent + latent * 128 + 128 * 64 + 64 * 32 + 32 * 2)
    assert counts[RELEASED] == 2 * (expected + heads)
    assert counts[ENGINE] < counts[RELEASED]


def test_the_released_batches_keep_every_accepted_candidate_and_no_other(benchmarks):
    import torch
    from brains import brain
    from straightforward import CANDIDATES, training_steps

    torch.manual_seed(0)
    volume = np.ones((40, 40, 12), np.float32)
    everywhere, nowhere = np.ones(volume.shape, bool), np.zeros(volume.shape, bool)
    sizes = {"patch": 12, "widths": (8, 8, 8, 8)}
    assert next(training_steps([(volume, everywhere)] * 2, 16, "cpu", **sizes)) == CANDIDATES * 16
    _, mask = brain((40, 40, 12))
    steps = training_steps([(volume, mask), (volume, nowhere)], 64, "cpu", **sizes)
    assert 0 < np.mean([next(steps) for _ in range(5)]) < CANDIDATES * 64 / 2


def test_brains_differ_from_each_other_and_from_slice_to_slice(benchmarks):
    from brains import brain

    masks = [brain((96, 96, 50), number)[1] for number in range(3)]
    for mask in masks:
        counts = mask.sum(axis=(0, 1))
        assert 0.2 < mask.mean() < 0.5
        assert len(np.unique(counts)) > 40
        assert (mask != mask[::-1]).mean() > 0.01
        assert (mask != mask[:, :, ::-1]).mean() > 0.01
    assert (masks[0] != masks[1]).mean() > 0.01
    assert (masks[0] != masks[2]).mean() > 0.01


def test_preprocessed_scans_are_taken_from_their_folder(benchmarks, tmp_path):
    from brains import brain, load, sources

    from patch2loc.data.scans import Scan
    from patch2loc.data.volumes import write

    volume, mask = brain((40, 40, 12))
    for subject in ("a", "b"):
        scan = Scan(subject, tmp_path / subject, "T2")
        scan.folder.mkdir()
        write(scan.volume_path, 300 * volume, np.eye(4))
        write(scan.mask_path, mask, np.eye(4))
    (tmp_path / "c").mkdir()  # left out by preprocessing
    found = sources((192, 192, 100), 3, tmp_path)
    assert [(source.folder.name, source.grid) for source in found] == [("a", mask.shape), ("b", mask.shape)]
    loaded, loaded_mask = load(found[0])
    assert (loaded_mask == mask).all()
    assert np.percentile(loaded[mask], 98) == pytest.approx(1, abs=1e-5)
    with pytest.raises(SystemExit, match="a folder of preprocessed scans expected"):
        sources((192, 192, 100), 3, tmp_path / "c")


def test_a_row_is_of_medians_and_its_ratio_of_values_of_the_same_turn(benchmarks):
    from comparison import compared, key

    ours, other = ("engine", "float32"), ("released", "float32")
    turns = [{key(*ours): time, key(*other): 4 * time + step} for step, time in enumerate((1.0, 2.0, 30.0))]
    row = compared("x", ours, other, turns, "s")
    assert (row["value"], row["against_value"], row["ratio"]) == (2.0, 9.0, 4.0 + 2 / 30)
    assert (row["ratio_low"], row["ratio_high"]) == (
        pytest.approx(4 + 1 / 30),
        pytest.approx(4.283, abs=1e-3),
    )
    assert compared("x", ours, other, turns, "1/s", more_is_faster=True)["ratio"] == pytest.approx(
        1 / (4 + 2 / 30)
    )


def test_peers_that_are_not_installed_are_named_and_the_others_measured(benchmarks, capsys, monkeypatch):
    import peers
    from brains import Source

    for package in ("torchio", "ants"):
        monkeypatch.setitem(sys.modules, package, None)
    rows = peers.measured_peers([Source((40, 40, 12), 0)], 1)
    assert [row["task"] for row in rows] == ["average precision"]
    printed = capsys.readouterr().out
    assert "torchio: not installed" in printed
    assert "pip install antspyx" in printed


def test_the_tables_on_the_page_are_those_that_are_stored(benchmarks):
    import engine_page

    page = engine_page.PAGE.read_text(encoding="utf-8")
    assert engine_page.with_tables(page) == page, "run python benchmarks/engine_page.py"
    ratio = next(line for line in page.splitlines() if line.startswith("| volume, background skipped"))
    assert engine_page.with_tables(page.replace(ratio, ratio.replace("|", "| 99", 1))) == page


def test_kept_predictions_give_the_heatmap_and_the_location_error_of_a_scan(benchmarks):
    import torch
    from brains import brain
    from site_predictions import heatmap, location_error

    from patch2loc.heatmap import score_volume
    from patch2loc.network.inference import DenseNetwork
    from patch2loc.network.location import LocationNetwork
    from patch2loc.network.prediction import predict
    from patch2loc.score.postprocessing import median_filtered, widened

    torch.manual_seed(0)
    volume, mask = brain((32, 40, 6))
    network = LocationNetwork((4, 4, 4, 8)).eval()
    ready = DenseNetwork(network, 12)
    kept = np.concatenate(predict(volume, np.argwhere(widened(mask, 1)), ready), axis=1)
    expected = median_filtered(lambda region: score_volume(volume, region, network, 12)["score"], mask, 3)
    np.testing.assert_allclose(heatmap(kept, mask, 3), expected, rtol=1e-4, atol=1e-4)

    patches = np.array([[53, 54, 0, 0, 16, 20, 3], [25, 50, 0, 0, 8, 20, 3]], np.float32)
    assert location_error(patches, (32, 40, 6)) == pytest.approx((5 + 0) / 2)  # of 3 and 4, and of none


def test_several_networks_predict_the_mean_and_the_variance_of_their_mixture(benchmarks):
    from site_predictions import mixture

    one, other = np.array([[10, 20, 0, np.log(4), 7]]), np.array([[14, 20, np.log(3), np.log(2), 7]])
    # Of x: variances 1 and 3, 2 on average, and means 2 from the middle: 4.  Of y: 4 and 2.
    np.testing.assert_allclose(mixture([one, other]), [[12, 20, np.log(6), np.log(3), 7]], rtol=1e-6)
    np.testing.assert_allclose(mixture([one]), one, rtol=1e-6)
    rng = np.random.default_rng(0)
    draws = np.concatenate([rng.normal(10, 1, 100_000), rng.normal(14, 3**0.5, 100_000)])
    assert np.exp(mixture([one, other])[0, 2]) == pytest.approx(draws.var(), rel=0.02)


def test_false_positives_at_left_out_sites_are_told_as_multiples_of_those_at_home(benchmarks):
    import pandas as pd
    from left_out_sites import KEYS, by_site, differences

    def rows(trained_on, site, left_out, errors, false_ml):
        about = dict(zip(KEYS, (trained_on, "patch2loc", 512, 0.99, "1", ""), strict=True))
        return [
            about
            | {"site": site, "left_out": left_out, "subject": f"{site}{number}", "location_error": error}
            | {"false_positive_ml": ml, "false_positive_ml_highest": ml / 2}
            for number, (error, ml) in enumerate(zip(errors, false_ml, strict=True))
        ]

    table = pd.DataFrame(
        rows("ixi", "a", 0, [4, 6], [10, 30])
        + rows("ixi", "b", 1, [8, 10, 9], [40, 40, 70])
        + rows("ixi_c", "a", 0, [4, 6], [5, 5])
        + rows("ixi_c", "b", 1, [7, 9, 8], [20, 20, 35])[::-1]
    )
    told = by_site(table).set_index(["trained_on", "site"])
    assert told.loc[("ixi", "b"), "location_error"] == 9
    assert told.loc[("ixi", "b"), "false_positive_times_home"] == 2.5  # 50 ml, of 20 at home
    assert told.loc[("ixi_c", "b"), "false_positive_times_home"] == 5
    (changed,) = differences(table, "trained_on").to_dict("records")
    assert (changed["before"], changed["now"], changed["site"]) == ("ixi", "ixi_c", "b")
    assert changed["location_error"] == changed["error_low"] == changed["error_high"] == -1
    assert changed["false_positives"] == changed["false_low"] == changed["false_high"] == 0.5
    assert differences(table, "row").empty


def test_a_table_of_rows_beyond_the_paper_turns_pairs_and_compares_with_home(benchmarks):
    from beyond import detection, false_positives, patients, places

    about = {"dataset": "strokes", "metric": "auprc", "simulated": 1}
    table1 = pd.DataFrame(
        [
            {**about, "method": name, "mean": mean, "ci_low": mean - 0.1, "ci_high": mean + 0.1}
            for name, mean in (("patch2loc", 0.2), ("covered", 0.5), ("zscore", np.nan))
        ]
    )
    comparison = pd.DataFrame(
        [
            {**about, "method": "patch2loc", "other": "covered", "difference": -0.3, "ci_low": -0.4, "ci_high": -0.1},
            {**about, "method": "covered", "other": "third", "difference": 0.3, "ci_low": 0.1, "ci_high": 0.4},
        ]
    )  # fmt: skip
    found = detection(table1, comparison, set()).set_index(["method", "against"])[
        ["mean", "ci_low", "ci_high"]
    ]
    assert set(found.index) == {("patch2loc", ""), ("covered", ""), ("covered", "patch2loc")}
    assert found.loc[("covered", "patch2loc")].tolist() == [0.3, 0.1, 0.4]
    assert detection(table1, comparison, {"strokes"}).empty

    cases = pd.DataFrame({"method": "a", "simulated": [0, 0, 0, 1], "auprc": [0.2, 0.4, np.nan, 1.0]})
    assert patients(cases)["mean"].tolist() == pytest.approx([0.3])

    shift = pd.DataFrame(
        {"method": "a", "dataset": ["home", "home", "away", "sick"], "simulated": 0}
        | {"role": ["healthy"] * 3 + ["lesion"], "location_error": [4.0, 6.0, 9.0, 1.0]}
    )
    assert dict(zip(places(shift)["dataset"], places(shift)["mean"], strict=True)) == {"home": 5, "away": 9}
    thresholds = pd.DataFrame(
        {"method": "a", "dataset": ["home", "away", "sick"], "kind": "healthy quantile", "quantile": 0.99}
        | {
            "metric": "false_positive_ml",
            "mean": [20.0, 30.0, 50.0],
            "ci_low": 1,
            "ci_high": 2,
            "simulated": 0,
        }
    )
    told = false_positives(thresholds, shift, "home").set_index(["measure", "dataset"])["mean"]
    assert told.to_dict() == {
        ("false positives, ml", "home"): 20,
        ("false positives, ml", "away"): 30,
        ("false positives, times home", "away"): 1.5,
    }


def test_tables_of_rows_beyond_the_paper_take_the_nearest_control_and_mark_what_is_above_it(benchmarks):
    from beyond import CONTROLLED, HOME, LOCATION, SCAN, TIMES, TRAINING, with_tables

    def row(measure, dataset, mean, against="", low=np.nan, high=np.nan):
        values = {"mean": mean, "ci_low": low, "ci_high": high}
        return {"method": "a", "measure": measure, "dataset": dataset, "against": against, **values}

    table = pd.DataFrame(
        [
            row("auprc", "strokes", 0.123),
            row("auprc", "strokes", 0.9, "zscore"),
            row(CONTROLLED, "texture", 0.02, "zscore", 0.01, 0.03),
            row(CONTROLLED, "texture", 0.015, "asymmetry", 0.005, 0.02),
            row(CONTROLLED, "texture", 0.001, "unchanged", -0.01, 0.02),
            row(CONTROLLED, "thick_cortex", 0.015, "zscore", -0.005, 0.02),
            row(LOCATION, "home", 5.04),
            row(HOME, "home", 20.0),
            row(HOME, "away", 30.0),
            row(TIMES, "away", 1.5),
            row(TRAINING, "", 1234.4),
            row(SCAN, "", 2.0),
        ]
    )
    names = ("lesions", "controlled", "healthy")
    marks = [f"<!-- beyond: {name} -->\n<!-- end -->" for name in names]
    page = with_tables("\n\nbetween\n\n".join([*marks, "the end"]), table)
    assert page.count("between") == 3
    assert page.endswith("the end")
    lines = [line for line in page.splitlines() if line.startswith("| a")]
    assert [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines] == [
        ["12.3"],
        ["**+1.5 (0.5 to 2.0)**", "+1.5 (-0.5 to 2.0)"],
        ["5.0", "", "20.0", "1.50", "1,234", "2.0"],
    ]
    assert with_tables(page, table) == page
    with pytest.raises(ValueError, match=r"marks of beyond: healthy missing"):
        with_tables("\n".join(marks[:2]), table)
    with pytest.raises(
        ValueError, match=r"marks of beyond: lesions missing"
    ):  # its end, not that of the next part
        with_tables("\n".join(marks).replace("<!-- end -->", "", 1), table)


def test_one_network_for_two_contrasts_sees_each_as_its_model_does(benchmarks, tmp_path):
    from brains import brain
    from one_network import METHOD, Contrast, Together, leveling_of, measured

    from patch2loc.data.scans import Scan, intensity_percentiles
    from patch2loc.data.volumes import write
    from patch2loc.files import write_json
    from patch2loc.method_interface import method
    from patch2loc.standardize import StandardizedScans, fit_landmarks

    def contrast(modality, exponent):
        scans = []
        for number in range(3):
            volume, mask = brain((32, 32, 12), number)
            scan = Scan(f"{modality}_{number}", tmp_path / f"{modality}_{number}", modality)
            scan.folder.mkdir()
            volume = np.where(mask, 100 * volume**exponent + 1, 0).astype(np.float32)
            write(scan.volume_path, volume, np.eye(4))
            write(scan.mask_path, mask, np.eye(4))
            lesion = mask & (np.indices(mask.shape)[0] < 12)
            write(scan.lesion_path, lesion, np.eye(4))
            write_json(scan.qc_path, {"intensity_percentiles": intensity_percentiles(volume[mask])})
            scans.append(scan)
        configuration = {
            "grid": {"shape": [32, 32, 12], "spacing": 4.0},
            "patch": 8,
            "score": {"median_filter": 3},
            "training": {
                "widths": [8, 8, 8, 8],
                "batch": 16,
                "learning_rate": 0.001,
                "schedule": "constant",
                "validation_patches": 32,
                "validations": 2,
            },
            "datasets": {"healthy": {"role": "healthy"}, "patients": {"role": "lesion"}},
        }
        landmarks = fit_landmarks(scans[:2])
        training, validation = (StandardizedScans(part, landmarks) for part in (scans[:2], scans[2:]))
        leveling = leveling_of(training, {"leveled": True, "spacing": 4.0})
        tested = {"healthy": scans[2:], "patients": scans[2:]}
        return Contrast(configuration, "healthy", training, validation, tested, leveling)

    contrasts = {"T1": contrast("T1", 1.0), "T2": contrast("T2", 3.0)}
    trained = Together([each.inputs()[0] for each in contrasts.values()])
    assert len(trained) == len([*trained]) == 4
    # What is trained on is what the model of a contrast, its leveling among the state, makes of a standardized scan.
    seen = [*trained]
    for place, each in zip((0, 2), contrasts.values(), strict=True):
        volume, mask = next(iter(each.training))
        assert np.array_equal(seen[place][0], method(METHOD).network_input(each.leveling, volume, mask))

    rows = {network: measured(network, contrasts, 64) for network in ("T2 alone", "both")}
    assert [(row["modality"], row["dataset"]) for row in rows["T2 alone"]] == [
        ("T2", "healthy"),
        ("T2", "patients"),
    ]
    assert {row["patches"] for row in rows["both"]} == {128}
    assert [row["modality"] for row in rows["both"]] == ["T1", "T1", "T2", "T2"]
    for row in rows["both"]:
        assert 0 < row["location_error"] < 100
        # The one validation scan is tested, too: the threshold is its own.
        assert row["share_above"] == pytest.approx(0.01, abs=0.002)
        assert ("auprc" in row) == (row["dataset"] == "patients")
