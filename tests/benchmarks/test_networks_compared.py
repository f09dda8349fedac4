"""Benchmarks that train networks or compare rows of a run: what their tables are made of."""

import numpy as np
import pandas as pd
import pytest


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
            row(CONTROLLED, "texture", 0.045, "", 0.03, 0.06),
            row(CONTROLLED, "texture", 0.02, "zscore", 0.01, 0.03),
            row(CONTROLLED, "texture", 0.03, "asymmetry", 0.005, 0.05),
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
    names = ("lesions", "changes", "controlled", "healthy")
    marks = [f"<!-- beyond: {name} -->\n<!-- end -->" for name in names]
    page = with_tables("\n\nbetween\n\n".join([*marks, "the end"]), table)
    assert page.count("between") == 4
    assert page.endswith("the end")
    lines = [line for line in page.splitlines() if line.startswith("| a")]
    assert [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines] == [
        ["12.3"],
        ["4.5 (3.0 to 6.0)"],
        ["**+3.0 (0.5 to 5.0)**", "+1.5 (-0.5 to 2.0)"],
        ["5.0", "", "20.0", "1.50", "1,234", "2.0"],
    ]
    assert with_tables(page, table) == page
    with pytest.raises(ValueError, match=r"marks of beyond: healthy missing"):
        with_tables("\n".join(marks[:3]), table)
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
