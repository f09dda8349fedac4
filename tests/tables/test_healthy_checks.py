import numpy as np
import pandas as pd
import pytest

from patch2loc.figures.healthy_checks import healthy_checks_figure
from patch2loc.figures.method_styles import method_styles
from patch2loc.tables.formats import to_html, to_latex, to_markdown
from patch2loc.tables.healthy_checks import COLUMNS, healthy_checks_layout, healthy_checks_table

SHAPE, MIDLINE = (200, 200, 50), 48.0
DATASETS = {
    "ixi": {"title": "IXI", "modality": "T1", "simulated": False, "role": "healthy", "published_name": None},
    "kirby": {
        "title": "Kirby",
        "modality": "T1",
        "simulated": False,
        "role": "healthy",
        "published_name": None,
    },
}
KEYS = ["method", "dataset", "check", "quantity", "low", "high"]


def patches(subjects, scale=1.0, seed=0, count=400):
    """Patches of scans, {subject: error along x of all its patches, or None for normal ones}."""
    generator = np.random.default_rng(seed)
    tables = []
    for subject, shift in subjects.items():
        true = np.stack([generator.choice([30.0, 70.0], count), generator.uniform(10, 90, count)], axis=1)
        error = 3 * scale * generator.normal(size=(count, 2))
        if shift is not None:
            error = np.tile([shift, 0.0], (count, 1))
        variance = np.log(9) + generator.normal(0, 1e-3, (count, 2))
        tables.append(
            pd.DataFrame(
                {
                    "subject": subject,
                    "x": 2 * true[:, 0],
                    "y": 2 * true[:, 1],
                    "brain_fraction": 1.0,
                    "edge_distance": generator.uniform(-5, 30, count),
                    "mean_x": true[:, 0] + error[:, 0],
                    "mean_y": true[:, 1] + error[:, 1],
                    "log_variance_x": variance[:, 0],
                    "log_variance_y": variance[:, 1],
                    "location_error": np.linalg.norm(error, axis=1),
                    "log_error": np.log((error**2).sum(axis=1) + 0.5),
                    "log_variance": variance.mean(axis=1),
                    "score": np.log((error**2).sum(axis=1) + 0.5) + variance.mean(axis=1),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def table_of(patches_by_key):
    return healthy_checks_table(patches_by_key, DATASETS, SHAPE, midline=MIDLINE, seed=1)


@pytest.fixture(scope="module")
def table():
    scans = dict.fromkeys(["a", "b", "c"])
    return table_of(
        {
            ("patch2loc", "ixi"): [patches(scans, seed=0), patches(scans, seed=1)],
            ("patch2loc", "kirby"): [patches({"k": None}, 2.0), patches({"k": None}, 2.0, seed=3)],
            ("patch2loc_robust", "ixi"): [patches(scans, 3.0), patches(scans, 3.0, seed=1)],
            ("patch2loc_robust", "kirby"): [patches({"k": None}), patches({"k": None}, seed=3)],
        }
    )


def test_a_row_is_the_mean_over_folds_of_the_means_over_scans():
    """Errors of known size: 0, 3 and 6 percent at a standard deviation of 3, and 0, 6, 9 in the other fold."""
    folds = [patches({"a": 0.0, "b": 3.0, "c": 6.0}), patches({"a": 0.0, "b": 6.0, "c": 9.0}, count=200)]
    found = table_of({("patch2loc", "ixi"): folds})
    assert list(found.columns) == COLUMNS
    assert not found.duplicated(KEYS).any()
    rows = found.set_index(["check", "quantity", "low", "high"]).sort_index()
    inside = rows.loc[("coverage", "x", 0.0, 0.95)]
    assert inside["mean"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert inside["sd"] == pytest.approx(np.std([2 / 3, 1 / 3], ddof=1))
    assert (inside["n_subjects"], inside["n_folds"], inside["n_patches"]) == (3, 2, 900)
    assert 0 <= inside["ci_low"] < inside["mean"] < inside["ci_high"] <= 1
    squares = rows.loc[("squared_z", "x")].iloc[0]
    assert squares["mean"] == pytest.approx(((0 + 1 + 4) / 3 + (0 + 4 + 9) / 3) / 2, rel=0.01)
    assert squares["expected"] == 1


def test_a_bin_that_one_fold_lacks_is_that_of_the_other():
    near, far = patches({"a": 3.0}), patches({"a": 3.0})
    near["edge_distance"], far["edge_distance"] = 2.0, 20.0
    rows = table_of({("patch2loc", "ixi"): [near, far]}).set_index(["check", "quantity", "low", "high"])
    assert rows.loc[("edge_distance", "location_error", 0.0, 4.0), "mean"] == pytest.approx(3)
    assert rows.loc[("edge_distance", "location_error", 16.0, 24.0), "mean"] == pytest.approx(3)
    assert ("edge_distance", "location_error", 24.0, np.inf) not in rows.index


def test_the_layout_sets_methods_side_by_side_under_each_dataset(table):
    layout = healthy_checks_layout(table, DATASETS, MIDLINE)
    lines = to_markdown(layout).splitlines()
    assert "| **IXI, T1: 3 scans, 1,200 patches** |  |  |  |" in lines
    assert "| **Kirby, T1: 1 scan, 400 patches** |  |  |  |" in lines
    assert layout.columns == ["", "patch2loc", "patch2loc_robust"]
    assert "48.0 %" in layout.note
    rows = dict(layout.rows[1 : len(layout.rows) // 2])
    right, wide = (float(cell.text.split()[0]) for cell in rows["  in the region of 95 % [%], along x"][1:])
    assert right == pytest.approx(95, abs=1.5)
    assert wide == pytest.approx(48.6, abs=3)  # within 1.96 / 3 standard deviations
    assert rows["  in the region of 95 % [%], along x"][0].text == "95"
    assert " to " in rows["  mean squared z, x"][1].text
    # One scan has no interval, and no patch of a check no row.
    assert all("(" not in cell.text for _, cells in layout.rows[len(layout.rows) // 2 :] for cell in cells)
    assert "predicted sd along x, if on the other side" in to_html(layout)
    assert "IXI, T1: 3 scans" in to_latex(layout)


def test_the_figure_draws_what_the_table_holds(table):
    styles = method_styles(["patch2loc", "zscore", "patch2loc_robust"])
    figure = healthy_checks_figure(table, DATASETS, list(styles))
    assert len(figure.axes) == 2 * 6
    coverage, histogram, spread, sides, location_error, _ = figure.axes[:6]
    assert coverage.get_title(loc="left") == "IXI, T1: 3 scans"
    assert figure.axes[6].get_title(loc="left") == "Kirby, T1: 1 scan"
    rows = table.query("method == 'patch2loc_robust' and dataset == 'ixi'")
    color = styles["patch2loc_robust"].color

    def drawn(panel):
        return next(line for line in panel.lines if line.get_color() == color)

    levels = rows.query("check == 'coverage' and quantity == 'both'")
    assert drawn(coverage).get_ydata() == pytest.approx(100 * levels["mean"])
    assert drawn(coverage).get_xdata() == pytest.approx(100 * levels["high"])
    # The open bins, beyond 5 standard deviations, are not drawn; the rest is a density.
    width = np.diff(drawn(histogram).get_xdata())
    z = rows.query("check == 'z' and quantity == 'both'")
    assert width == pytest.approx(0.5)
    assert drawn(histogram).get_ydata().sum() * 0.5 == pytest.approx(z["mean"].iloc[1:-1].sum())
    assert np.mean(drawn(spread).get_ydata() / drawn(spread).get_xdata()) == pytest.approx(3, rel=0.1)
    share = rows.query("check == 'opposite_side' and quantity == 'share' and low >= 10 and high < inf")
    assert [label.get_text() for label in sides.get_xticklabels()] == ["10 to 20", "20 to 30"]
    assert drawn(sides).get_ydata() == pytest.approx(100 * share["mean"])
    errors = rows.query("check == 'edge_distance' and quantity == 'location_error'")["mean"]
    assert drawn(location_error).get_ydata() == pytest.approx(errors)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["patch2loc", "patch2loc_robust"]
