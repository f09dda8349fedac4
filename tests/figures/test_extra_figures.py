import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from patch2loc.configuration.method_names import base_method
from patch2loc.configuration.method_registry import VARIANTS
from patch2loc.figures.cost import cost_figure, cost_table, devices_line, training_seconds
from patch2loc.figures.curves import DatasetCurves, curves_figure
from patch2loc.figures.fold_spread import fold_means, folds_figure
from patch2loc.figures.method_styles import method_styles
from patch2loc.figures.style import save_figure
from patch2loc.figures.subject_scatter import (
    rank_correlation,
    running_median,
    subject_points,
    subjects_figure,
)
from patch2loc.metrics.curves import COLUMNS, RECALLS, SHARES, curve_table, dice_above, precision_at_recalls
from patch2loc.metrics.ranking import rank

METHODS = ["patch2loc", "patch2loc_calibrated", "zscore"]
MANY = [*METHODS, *(name + end for name in VARIANTS for end in ("", "_calibrated", "_zscore_fisher"))]
NO_HISTORY = pd.DataFrame(columns=["patches", "patches_per_second"])


def metrics(auprc, lesion_ml=None, seconds=2.0):
    auprc = np.array(auprc, float)
    return pd.DataFrame(
        {
            "subject": [f"sub-{number:03}" for number in range(len(auprc))],
            "auprc": auprc,
            "best_dice": auprc * 1.5,
            "prevalence": 0.01,
            "lesion_ml": np.where(np.isnan(auprc), 0, 10.0) if lesion_ml is None else lesion_ml,
            "seconds": seconds,
        }
    )


def curves(scans, seed=0, signal=1.5):
    generator = np.random.default_rng(seed)
    rankings = []
    for _ in range(scans):
        lesion = generator.random(3000) < 0.05
        rankings.append(rank(generator.normal(signal * lesion), lesion))
    thresholds = np.quantile(generator.normal(size=20_000), 1 - SHARES)
    return curve_table(
        [precision_at_recalls(ranking) for ranking in rankings],
        [dice_above(ranking, thresholds) for ranking in rankings],
    )


def every_figure(methods, scans):
    """Each figure with random results of some methods and scans, the first scan without lesion."""
    generator = np.random.default_rng(0)
    volumes = [0.0, *generator.uniform(1, 90, scans)]
    by_method = {
        method: [metrics([np.nan, *generator.uniform(0.1, 0.5, scans)], volumes) for _ in range(2)]
        for method in methods
    }
    title = "Tumors, T2 (simulated)"
    tables = {method: curves(scans, seed) for seed, method in enumerate(methods)}
    costs = cost_table(by_method, {base_method(method): [30.0, 40.0] for method in methods})
    return {
        "curves": curves_figure([DatasetCurves(title, tables, 0.05)], methods),
        "subjects": subjects_figure([(title, by_method)], methods),
        "folds": folds_figure([(title, by_method)], methods),
        "cost": cost_figure([(title, costs)], methods, "Trained on cpu: patch2loc"),
    }


def lines(panel, style):
    return [line for line in panel.lines if line.get_color() == style.color]


def test_methods_differ_in_color_or_line_and_in_marker():
    names = [f"method{number}" for number in range(28)]
    styles = method_styles(names).values()
    assert len({(style.color, style.line) for style in styles}) == 28
    assert len({(style.color, style.marker) for style in styles}) == 28
    paper = method_styles(METHODS)
    assert paper["patch2loc"].width > paper["zscore"].width
    assert paper["patch2loc_calibrated"].label == "patch2loc, calibrated"


def test_curves_show_what_the_tables_hold():
    table, other = curves(6), curves(6, seed=1, signal=0.0)
    row = DatasetCurves("WMH, T1 (simulated)", {"patch2loc": table, "zscore": other}, prevalence=0.05)
    precision, dice = curves_figure([row], ["patch2loc", "zscore"]).axes
    styles = method_styles(["patch2loc", "zscore"])
    assert precision.get_title(loc="left") == "WMH, T1 (simulated), 6 scans"
    for panel, name in ((precision, "precision_recall"), (dice, "dice_threshold")):
        for method, shown in row.curves.items():
            (line,) = lines(panel, styles[method])
            expected = shown[shown["curve"] == name]
            np.testing.assert_array_equal(line.get_xdata(), expected["x"])
            np.testing.assert_array_equal(line.get_ydata(), expected["mean"])
    band = precision.collections[0].get_paths()[0].vertices
    own = table[table["curve"] == "precision_recall"]
    assert (band[:, 1].min(), band[:, 1].max()) == (own["lower"].min(), own["upper"].max())
    (random,) = [
        line for line in precision.lines if line.get_linestyle() == ":" and len(line.get_xdata()) == 2
    ]
    assert random.get_ydata() == [0.05, 0.05]
    assert dice.get_xscale() == "log"
    assert dice.get_xlim() == pytest.approx((SHARES[0], SHARES[-1]))
    assert dice.xaxis.get_major_formatter()(0.001, 0) == "0.1 %"


def test_curves_leave_out_what_has_no_place():
    table = pd.DataFrame(
        [
            ["precision_recall", 0.5, np.nan, np.nan, np.nan, 1],
            ["precision_recall", 1.0, 0.2, 0.2, 0.2, 1],
            ["dice_threshold", 0.0, 0.3, 0.3, 0.3, 1],
            ["dice_threshold", 0.1, 0.4, 0.4, 0.4, 1],
            ["dice_threshold", 0.01, 0.6, 0.6, 0.6, 1],
        ],
        columns=COLUMNS,
    )
    precision, dice = curves_figure([DatasetCurves("one", {"zscore": table}, 0.1)], ["zscore"]).axes
    assert precision.get_title(loc="left") == "one, 1 scan"
    assert precision.lines[0].get_xdata().tolist() == [1.0]
    assert dice.lines[0].get_xdata().tolist() == [0.01, 0.1]
    assert dice.lines[0].get_ydata().tolist() == [0.6, 0.4]


def test_a_dataset_without_a_lesion_says_so():
    nothing = curve_table([np.full(RECALLS.size, np.nan)], [np.full(SHARES.size, np.nan)])
    healthy = {"zscore": [metrics([np.nan, np.nan])]}
    costs = cost_table(healthy, {"zscore": [3.0]})
    for figure in (
        curves_figure([DatasetCurves("none", {"zscore": nothing}, np.nan)], ["zscore"]),
        subjects_figure([("none", healthy)], ["zscore"]),
        folds_figure([("none", healthy)], ["zscore"]),
        cost_figure([("none", costs)], ["zscore"], "Trained on cpu: zscore"),
    ):
        assert [[text.get_text() for text in panel.texts] for panel in figure.axes] == [
            ["no scan with lesion"]
        ] * 2


def test_subjects_are_means_over_folds_without_those_that_have_no_lesion():
    volumes = [30.0, 0.0, 5.0]
    points = subject_points([metrics([0.2, np.nan, 0.6], volumes), metrics([0.4, np.nan, 0.8], volumes)])
    assert points.index.tolist() == ["sub-002", "sub-000"]
    assert points["lesion_ml"].tolist() == [5.0, 30.0]
    np.testing.assert_allclose(points["auprc"], [0.7, 0.3])
    np.testing.assert_allclose(points["best_dice"], [1.05, 0.45])


def test_the_running_median_is_over_five_neighbors_or_a_fifth():
    few = pd.DataFrame({"lesion_ml": np.arange(1.0, 9), "auprc": [0, 9, 1, 8, 2, 7, 3, 6.0]})
    trend = running_median(few, "auprc")
    assert trend["lesion_ml"].tolist() == [3, 4, 5, 6]
    assert trend["auprc"].tolist() == [2, 7, 3, 6]
    assert len(running_median(pd.concat([few] * 10), "auprc")) == 80 - 16 + 1


def test_rank_correlation_needs_eight_subjects_that_differ():
    volumes = np.geomspace(1, 50, 8)
    falling = pd.DataFrame({"lesion_ml": volumes, "auprc": 1 / volumes, "best_dice": 0.5})
    assert rank_correlation(falling, "auprc") == pytest.approx(-1)
    assert np.isnan(rank_correlation(falling, "best_dice"))
    assert np.isnan(rank_correlation(falling[:7], "auprc"))


def test_the_scatter_has_each_subject_once_and_states_the_correlation():
    volumes = np.geomspace(2, 64, 9)
    rows = [
        ("Strokes, T1 (simulated)", {"patch2loc": [metrics(volumes / 100, volumes)]}),
        ("One", {"patch2loc": [metrics([0.3], [8.0])]}),
    ]
    figure = subjects_figure(rows, ["patch2loc"])
    auprc, dice, single, _ = figure.axes
    assert auprc.get_title(loc="left").splitlines() == [
        "Strokes, T1 (simulated)",
        "9 scans with lesion; patch2loc: ρ = 1.00",
    ]
    assert single.get_title(loc="left").splitlines() == ["One", "1 scan with lesion"]
    style = method_styles(["patch2loc"])["patch2loc"]
    points, trend = lines(auprc, style)
    np.testing.assert_allclose(points.get_xdata(), volumes)
    np.testing.assert_allclose(points.get_ydata(), volumes / 100)
    assert len(trend.get_xdata()) == 5
    assert len(lines(single, style)) == 1  # one subject has no trend
    random = auprc.lines[-1]
    assert random.get_ydata().tolist() == [0.01] * 9
    assert len(dice.lines) == 2
    assert auprc.get_xscale() == "log"
    assert len({panel.get_xlim() for panel in figure.axes}) == 1  # datasets are compared at the same volume


def test_a_crowded_panel_keeps_the_markers_of_patch2loc_and_all_medians():
    volumes = np.geomspace(1, 100, 151)
    by_method = {method: [metrics(volumes / 200, volumes)] for method in ("patch2loc", "zscore")}
    auprc, _ = subjects_figure([("Strokes", by_method)], ["patch2loc", "zscore"]).axes
    styles = method_styles(["patch2loc", "zscore"])
    assert [len(line.get_xdata()) for line in lines(auprc, styles["patch2loc"])] == [151, 122]
    assert [len(line.get_xdata()) for line in lines(auprc, styles["zscore"])] == [122]


def test_training_time_is_that_of_the_job_or_of_all_batches_if_that_is_longer():
    history = pd.DataFrame({"patches": [1000, 2000, 4000], "patches_per_second": [100.0, 50.0, 200.0]})
    last_start, whole = (
        {"started": "2026-01-01T23:59:50+00:00", "finished": f"2026-01-02T00:00:{seconds}+00:00"}
        for seconds in ("02", "45")
    )
    assert training_seconds(last_start, history) == 10 + 20 + 10
    assert training_seconds(whole, history) == 55
    slices = history.rename(columns=lambda name: name.replace("patches", "slices"))
    assert training_seconds(last_start, slices) == 40
    assert training_seconds(last_start, NO_HISTORY) == 12
    assert training_seconds(last_start, history[["patches"]]) == 12  # of a method from outside


def test_cost_by_hand():
    by_method = {
        "patch2loc": [metrics([0.2, np.nan, 0.4], seconds=8.0), metrics([0.4, np.nan, 0.6], seconds=12.0)],
        "patch2loc_calibrated": [metrics([0.5, np.nan, 0.5], seconds=10.0)],
    }
    table = cost_table(by_method, {"patch2loc": [100.0, 300.0]}).set_index("method")
    assert table.loc["patch2loc", "mean"] == pytest.approx(0.4)
    assert (table.loc["patch2loc", ["ci_low", "ci_high"]]).tolist() == pytest.approx([0.2, 0.6])
    assert table["training_seconds"].tolist() == [200, 200]
    assert table["scoring_seconds"].tolist() == [10, 10]


def test_the_cost_figure_places_methods_at_their_times_and_names_the_device():
    table = cost_table(
        {"patch2loc": [metrics([0.2, 0.4], seconds=8.0)], "zscore": [metrics([0.3, 0.3], seconds=0.0)]},
        {"patch2loc": [500.0], "zscore": [4.0]},
    )
    line = devices_line({"patch2loc": "cuda", "thresh": "cpu", "zscore": "cpu"})
    assert line == "Trained on cpu: thresh, zscore; cuda: patch2loc"
    figure = cost_figure([("Tumors, T2 (simulated)", table)], ["patch2loc", "zscore"], line)
    training, scoring = figure.axes
    styles = method_styles(["patch2loc", "zscore"])
    for panel, expected in ((training, [500, 4]), (scoring, [8, 0.01])):  # a clock of two digits
        places = [lines(panel, styles[method])[-1].get_xdata()[0] for method in ("patch2loc", "zscore")]
        assert places == pytest.approx(expected)
        low, high = panel.get_xlim()
        assert low < min(expected) < max(expected) < high
        assert panel.get_xscale() == "log"
    shown = [tick.get_text() for tick in training.get_xticklabels()]
    assert shown == ["1 s", "10 s", "1 min", "10 min", "1 h"]
    assert figure.get_supxlabel() == line


def test_fold_means_are_over_the_subjects_that_have_a_value():
    by_method = {"patch2loc": [metrics([0.2, np.nan, 0.4]), metrics([0.5, np.nan, 0.7])]}
    np.testing.assert_allclose(fold_means(by_method, "auprc"), [[0.3, 0.6]])
    dice, auprc = folds_figure([("Tumors", by_method)], ["patch2loc"]).axes
    assert auprc.patches[0].get_width() == pytest.approx(0.45)
    np.testing.assert_allclose(auprc.lines[0].get_xdata(), [0.3, 0.6])
    assert dice.patches[0].get_width() == pytest.approx(0.675)
    assert [label.get_text() for label in dice.get_yticklabels()] == ["patch2loc"]
    assert dice.patches[0].get_facecolor() == to_rgba(method_styles(["patch2loc"])["patch2loc"].color, 0.3)


def test_the_same_results_give_the_same_bytes(tmp_path):
    contents = []
    for run in ("first", "second"):
        contents.append({})
        for name, figure in every_figure(METHODS, 9).items():
            paths = [tmp_path / run / f"{name}.{kind}" for kind in ("png", "pdf")]
            save_figure(figure, paths)
            contents[-1][name] = [path.read_bytes() for path in paths]
    assert contents[0] == contents[1]
    assert all(png.startswith(b"\x89PNG") and pdf.startswith(b"%PDF") for png, pdf in contents[0].values())


@pytest.mark.parametrize(
    ("methods", "scans"), [(["zscore"], 1), (["patch2loc"], 1), (METHODS, 70), (MANY, 5)]
)
def test_panels_do_not_overlap_with_few_or_many(methods, scans):
    for name, figure in every_figure(methods, scans).items():
        figure.draw_without_rendering()
        panels = [panel.get_tightbbox() for panel in figure.axes]
        legend = figure.legends[0].get_window_extent()
        assert panels[0].x1 <= panels[1].x0, name
        assert max(panel.y1 for panel in panels) <= legend.y0 + 1, name
        for part in (*panels, legend):
            assert part.x0 >= -1, name
            assert part.y0 >= -1, name
            assert part.x1 <= figure.bbox.x1 + 1, name
