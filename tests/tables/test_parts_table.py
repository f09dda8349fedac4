from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from patch2loc.figures.parts import parts_figure
from patch2loc.metrics.parts import EDGE_DISTANCES, EDGE_HIGHEST, EDGE_SCORE, Setting
from patch2loc.metrics.resampling import bootstrap_interval
from patch2loc.tables.formats import to_html, to_latex, to_markdown
from patch2loc.tables.parts import COLUMNS, parts_layout, parts_table, shown_settings

OWN = Setting("score", 0.5, 3, 1)
OWNS = {"tumors": OWN, "healthy": OWN._replace(median_filter=1)}
DATASETS = {
    "tumors": {"title": "tumors", "modality": "T2", "simulated": False, "role": "lesion"},
    "healthy": {"title": "healthy", "modality": "T2", "simulated": True, "role": "healthy"},
}
EPSILONS, FILTERS, STRIDES = (1e-10, 0.5), (1, 3), (1, 4)
GAIN = {"score": 0.0, "log_error": -0.1, "log_variance": -0.2}  # in AUPRC
SCANS = 6


def settings():
    epsilons = [*(("score", each) for each in EPSILONS), *(("log_error", each) for each in EPSILONS)]
    return [
        Setting(part, epsilon, size, stride)
        for part, epsilon in [*epsilons, ("log_variance", np.nan)]
        for size in FILTERS
        for stride in STRIDES
    ]


def measures(fold, healthy):
    """A table of one fold, in which parts and settings differ by known amounts."""
    rows = []
    for scan in range(SCANS):
        base = 0.5 + 0.03 * scan + 0.01 * fold
        for setting in settings():
            cost = {"seconds": 8.0 / setting.stride**2 + scan, "patches": 1600 // setting.stride**2}
            about = {
                "subject": f"s{scan}",
                **setting._asdict(),
                **cost,
                "device": "cpu",
                "precision": "float32",
            }
            value = base + GAIN[setting.part] - 0.01 * scan * (setting.stride > 1)
            if healthy:
                wider = -0.05 * (setting.median_filter > 1)
                bins = pairwise(EDGE_DISTANCES)
                rows += [
                    {**about, "metric": metric, "low": low, "high": high, "value": value - low + wider}
                    for low, high in bins
                    for metric in (EDGE_SCORE, EDGE_HIGHEST)
                ]
            else:
                rows += [
                    {**about, "metric": metric, "low": np.nan, "high": np.nan, "value": value * factor}
                    for metric, factor in (("auprc", 1.0), ("best_dice", 0.5))
                ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table():
    folds = {name: [measures(fold, name == "healthy") for fold in range(2)] for name in DATASETS}
    return parts_table(
        {("patch2loc", name): tables for name, tables in folds.items()}, DATASETS, OWNS, seed=3
    )


def row_of(table, metric, setting, low=None):
    rows = table[table["metric"] == metric].set_index([*Setting._fields, "low"]).sort_index()
    return rows.loc[(*setting, np.nan if low is None else low)]


def test_a_mean_is_that_over_folds_of_scans_with_its_difference_from_the_whole_score(table):
    assert list(table.columns) == COLUMNS
    assert len(table) == 20 * (2 + 2 * (len(EDGE_DISTANCES) - 1))
    values = np.array([[0.5 + 0.03 * scan + 0.01 * fold for fold in range(2)] for scan in range(SCANS)])
    own = row_of(table, "auprc", OWN)
    assert own["mean"] == pytest.approx(values.mean())
    assert (own["ci_low"], own["ci_high"]) == pytest.approx(bootstrap_interval(values, 3))
    assert own["difference"] == own["difference_ci_low"] == own["difference_ci_high"] == 0
    error = row_of(table, "auprc", OWN._replace(part="log_error"))
    assert error["mean"] == pytest.approx(values.mean() - 0.1)
    for column in ("difference", "difference_ci_low", "difference_ci_high"):  # the same in every scan
        assert error[column] == pytest.approx(-0.1)
    assert (error["n_subjects"], error["n_folds"], error["simulated"]) == (SCANS, 2, 0)


def test_differences_are_paired(table):
    coarse = row_of(table, "best_dice", OWN._replace(stride=4))
    each = np.tile(-0.005 * np.arange(SCANS)[:, None], 2)
    assert coarse["difference"] == pytest.approx(each.mean())
    low, high = bootstrap_interval(each, 3)
    assert (coarse["difference_ci_low"], coarse["difference_ci_high"]) == pytest.approx((low, high))
    assert high - low < coarse["ci_high"] - coarse["ci_low"]


def test_cost_stands_beside_accuracy(table):
    fine, coarse = (row_of(table, "auprc", OWN._replace(stride=stride)) for stride in STRIDES)
    assert (fine["seconds"], fine["patches"]) == (8 + 2.5, 1600)
    assert (coarse["seconds"], coarse["patches"]) == (0.5 + 2.5, 100)


def test_bins_of_healthy_scans_are_rows_of_their_own(table):
    rows = table[(table["dataset"] == "healthy") & (table["metric"] == EDGE_SCORE)]
    near = rows[(rows["part"] == "log_variance") & (rows["low"] == 6)]
    assert len(near) == 4  # filters and strides
    assert near["epsilon"].isna().all()
    assert near["difference"].min() < near["difference"].max() <= -0.2 + 1e-9
    assert (near["simulated"] == 1).all()


def test_a_score_is_compared_with_what_the_run_evaluates_in_its_dataset(table):
    scores = table[(table["part"] == "score") & (table["epsilon"] == OWN.epsilon) & (table["stride"] == 1)]
    rows = scores[(scores["dataset"] == "healthy") & (scores["metric"] == EDGE_SCORE)]
    of_filters = rows.groupby("median_filter")["difference"].mean()
    assert of_filters.to_dict() == pytest.approx({1: 0.0, 3: -0.05})


def test_the_table_for_people_changes_one_setting_at_a_time(table):
    shown = shown_settings(table, OWN)
    assert shown[:3] == [OWN._replace(part=part) for part in ("score", "log_error", "log_variance")]
    assert len(shown) == 3 + 2 + 3 + 3
    assert len(set(shown)) == len(shown)
    layout = parts_layout(table, DATASETS, OWNS, "Protocol.")
    headings = [label for label, cells in layout.rows if not cells]
    assert headings == ["tumors, T2: 6 scans"]
    assert len(layout.rows) == 1 + len(shown)
    texts = {label: [cell.text for cell in cells] for label, cells in layout.rows}
    assert texts["  log-error"][6] == "−10.0"  # AUPRC comes after Dice, as in Table 1
    assert texts["  log-variance, stride 4"][-2:] == ["3.00", "100"]
    for text in (to_markdown(layout), to_latex(layout), to_html(layout)):
        assert "cpu, float32" in text


def test_the_figure_has_three_panels_for_each_dataset(table):
    figure = parts_figure(table, DATASETS, OWNS)
    assert len(figure.axes) == 3 * len(DATASETS)
    by_epsilon, by_filter, by_seconds, *_, highest = figure.axes
    for panel, part in zip(by_epsilon.lines, GAIN, strict=False):  # the run's setting is drawn after these
        np.testing.assert_allclose(panel.get_ydata(), [0.58 + GAIN[part]] * 2)
    assert len(by_filter.lines) == 3 + 1
    means = [line.get_ydata() for line in by_seconds.lines]
    assert [len(values) for values in means] == [len(STRIDES)] * 3
    assert means[0][0] - means[1][0] == pytest.approx(0.1)
    assert len(highest.lines) == 3 + 1  # and what is expected without an edge
