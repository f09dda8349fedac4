from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Ellipse
from scipy.stats import gaussian_kde

from patch2loc.figures.ellipses import choose_locations, ellipse_figure
from patch2loc.figures.kde import kde_figure, patch_groups, scott_density
from patch2loc.figures.learning_curve import learning_curve
from patch2loc.figures.slices import (
    SliceCase,
    evenly_ranked_subjects,
    evenly_spaced_slices,
    fullest_slice,
    lesion_slice,
    median_subject,
    slice_figure,
)
from patch2loc.figures.style import ABNORMAL, NORMAL, save_figure

SHAPE = (40, 50, 12)


def patches(normal=60, abnormal=30, partial=5, seed=0):
    generator = np.random.default_rng(seed)
    fraction = np.repeat([0.0, 1.0, 0.5], [normal, abnormal, partial])
    error = generator.normal(2 + 4 * fraction, 1)
    variance = generator.normal(1 + 2 * fraction, 0.5)
    return pd.DataFrame(
        {"lesion_fraction": fraction, "log_error": error, "log_variance": variance, "score": error + variance}
    )


def place(subject, x, y, z, fraction, mean=(50.0, 40.0), log_variance=(0.0, 0.0)):
    return {
        "subject": subject,
        "x": x,
        "y": y,
        "z": z,
        "lesion_fraction": fraction,
        "mean_x": mean[0],
        "mean_y": mean[1],
        "log_variance_x": log_variance[0],
        "log_variance_y": log_variance[1],
    }


def curves(axes, color):
    return [line for line in axes.lines if line.get_color() == color and len(line.get_xdata()) > 2]


def test_groups_follow_the_papers_limits():
    table = pd.DataFrame({"lesion_fraction": [0.0, 0.0999, 0.1, 0.9, 0.9001, 1.0]})
    normal, abnormal = patch_groups(table)
    assert normal["lesion_fraction"].tolist() == [0.0, 0.0999]
    assert abnormal["lesion_fraction"].tolist() == [0.9001, 1.0]


def test_kde_panels_integrate_to_one_and_state_their_counts():
    figure = kde_figure([("tumor, T2 (simulated)", patches())])
    axes = figure.axes
    assert len(axes) == 4
    assert axes[0].get_title(loc="left") == "tumor, T2 (simulated)\nn = 60 normal, 30 abnormal"
    for panel in (axes[0], axes[1], axes[3]):
        for color in (NORMAL, ABNORMAL):
            (curve,) = curves(panel, color)
            assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(1, abs=0.003)
            assert max(curve.get_ydata()[[0, -1]]) < 0.01 * max(curve.get_ydata())
    (normal,), (abnormal,) = curves(axes[3], NORMAL), curves(axes[3], ABNORMAL)
    peaks = [curve.get_xdata()[np.argmax(curve.get_ydata())] for curve in (normal, abnormal)]
    assert peaks == pytest.approx([3, 9], abs=1)


@pytest.mark.parametrize("abnormal", [1, 9])
def test_few_abnormal_patches_are_drawn_singly(abnormal):
    figure = kde_figure([("ms", patches(abnormal=abnormal))])
    assert f"{abnormal} abnormal (too few for a density" in figure.axes[0].get_title(loc="left")
    assert not curves(figure.axes[0], ABNORMAL)
    assert sum(line.get_color() == ABNORMAL for line in figure.axes[0].lines) == abnormal
    (points,) = [line for line in figure.axes[2].lines if line.get_color() == ABNORMAL]
    assert len(points.get_xdata()) == abnormal


def test_no_abnormal_patch_invents_nothing():
    figure = kde_figure([("tumor", patches()), ("healthy", patches(abnormal=0))])
    healthy = figure.axes[4:]
    assert "0 abnormal (none is > 90 % lesion)" in healthy[0].get_title(loc="left")
    assert all(line.get_color() != ABNORMAL for line in healthy[0].lines)
    assert figure.axes[0].get_xlim() == healthy[0].get_xlim()


@pytest.mark.parametrize("mixing", [[[1.0]], [[0.02]], [[2.0, 1.0], [0.0, 0.5]]])
def test_the_density_is_that_of_scipy(mixing):
    generator = np.random.default_rng(len(mixing))
    sample = generator.gamma(2, 1, (400, len(mixing))) @ np.array(mixing)
    points = generator.uniform(sample.min(axis=0), sample.max(axis=0), (50, len(mixing)))
    np.testing.assert_allclose(
        scott_density(sample, points), gaussian_kde(sample.T)(points.T), rtol=1e-8, atol=1e-300
    )


def test_kde_survives_constant_and_empty_groups():
    constant = patches(normal=20, abnormal=0).assign(log_error=1.0, log_variance=1.0, score=2.0)
    figure = kde_figure([("constant", constant), ("empty", patches(0, 0, 0))])
    assert "n = 0 normal, 0 abnormal" in figure.axes[4].get_title(loc="left")


def test_locations_are_those_shared_by_most_subjects():
    rows = [place(f"s{number}", 12, 12, 5, 1.0) for number in range(3)]  # abnormal in 3, normal in none
    rows += [place(f"s{number}", 24, 12, 6, 1.0) for number in range(2)]
    rows += [place(f"s{number}", 24, 12, 6, 0.0) for number in (2, 3)]  # 2 against 2: best
    rows += [place(f"s{number}", 24, 12, 7, 1.0) for number in range(2)]  # same x, y: left out
    rows += [place("s0", 36, 12, 5, 0.95), place("s1", 36, 12, 5, 0.05)]  # 1 against 1
    rows += [place("s0", 36, 36, 5, 0.5), place("s1", 36, 36, 5, 0.0)]  # never abnormal
    found = choose_locations(pd.DataFrame(rows), count=4)
    assert found[["x", "y", "z"]].to_numpy().tolist() == [[24, 12, 6], [36, 12, 5], [12, 12, 5]]
    assert found["abnormal"].tolist() == [2, 1, 3]
    assert found["normal"].tolist() == [2, 1, 0]


def test_ellipses_sit_at_the_mean_with_half_axes_of_two_standard_deviations():
    variance = (np.log(4.0), np.log(25.0))  # standard deviations of 2 and 5 percent
    table = pd.DataFrame(
        [place("a", 20, 25, 6, 1.0, (50, 40), variance), place("b", 20, 25, 6, 0.0, (51, 50), (0, 0))]
    )
    figure = ellipse_figure("tumor", table, np.ones(SHAPE, np.float32), "IXI012", patch=8)
    assert figure.get_suptitle() == "tumor\nbehind all panels: healthy scan IXI012"
    normal, abnormal = figure.axes
    (ellipse,) = [patch for patch in abnormal.patches if isinstance(patch, Ellipse)]
    assert ellipse.center == pytest.approx((0.50 * 40, 0.40 * 50))
    assert (ellipse.width, ellipse.height) == pytest.approx((4 * 0.02 * 40, 4 * 0.05 * 50))
    assert normal.get_title() == "1 normal"
    (dot,) = [line for line in abnormal.lines if line.get_marker() == "o"]
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (20, 25)


def test_ellipses_say_so_when_no_patch_is_abnormal():
    table = pd.DataFrame([place("a", 20, 25, 6, 0.2), place("b", 20, 25, 6, 0.0)])
    figure = ellipse_figure("ms (simulated)", table, np.ones(SHAPE), "IXI012", patch=8)
    assert not figure.axes
    assert "no patch of this dataset is more than 90 % lesion" in figure.texts[0].get_text()


def test_at_most_forty_subjects_are_drawn_and_the_title_says_so():
    rows = [place(f"s{number}", 20, 25, 6, 1.0) for number in range(55)]
    figure = ellipse_figure("tumor", pd.DataFrame(rows), np.ones(SHAPE), "IXI012", patch=8)
    assert figure.axes[1].get_title() == "55 abnormal, 40 shown"
    assert sum(isinstance(patch, Ellipse) for patch in figure.axes[1].patches) == 40


def test_subjects_and_slices_are_chosen_by_rule():
    metrics = pd.DataFrame({"subject": list("edcba"), "auprc": [0.5, 0.1, np.nan, 0.4, 0.3]})
    assert median_subject(metrics) == "a"  # lower one of the middle two of 0.1, 0.3, 0.4, 0.5
    assert evenly_ranked_subjects(metrics, "auprc", 2) == ["d", "b"]
    assert evenly_ranked_subjects(metrics, "auprc", 9) == ["d", "a", "b", "e"]
    for scans in range(1, 30):  # an odd number of rows has the one of Figure 4 in its middle
        table = pd.DataFrame({"subject": [f"s{n:02d}" for n in range(scans)], "auprc": np.arange(scans)})
        ranked = evenly_ranked_subjects(table, "auprc", 5)
        assert len(ranked) == len(set(ranked)) == min(scans, 5)
        if len(ranked) % 2:
            assert ranked[len(ranked) // 2] == median_subject(table)
    with pytest.raises(ValueError, match="no subject has a value"):
        median_subject(metrics.assign(auprc=np.nan))
    volume = np.zeros(SHAPE)
    volume[:3, 0, 4] = volume[:3, 0, 7] = 1
    volume[0, 0, 8] = 1
    assert fullest_slice(volume) == 4
    assert lesion_slice(np.zeros(SHAPE), volume) == 4
    assert lesion_slice(volume, volume[..., ::-1]) == 4
    assert evenly_spaced_slices(volume, 3) == [5, 6, 7]


def case(lesion=True):
    mask = np.zeros(SHAPE, bool)
    mask[10:30, 12:40] = True
    heatmap = np.where(mask, 3.0, np.nan)
    heatmap[25, 35] = 11.0  # on the right, anterior
    truth = np.zeros(SHAPE, bool)
    truth[25, 35] = True
    return SliceCase("tumor", "sub-1", mask * 100.0, heatmap, z=6, lesion=truth if lesion else None)


def test_slices_keep_left_on_the_left_and_gray_outside_the_mask():
    figure = slice_figure([case()])
    _, heat, truth = figure.axes[:3]
    picture = heat.images[0]
    assert picture.origin == "lower"
    assert picture.get_clim() == (0, 12)
    shown = picture.get_array()
    row, column = np.argwhere(shown == 11.0)[0]
    assert (column, row) == (25 - 6, 35 - 8)  # the frame starts four voxels before the mask
    assert shown.mask[0, 0]
    assert tuple(picture.cmap(np.ma.masked_all(1))[0]) == to_rgba("0.55")
    assert truth.images[0].get_array()[row, column] == 1.0
    assert any("subject's right" in text.get_text() for text in [figure._supxlabel])
    assert figure.axes[-1].get_yticks().tolist() == [0, 3, 6, 9, 12]


def test_a_row_says_which_slice_it_shows_and_how_the_scan_was_scored():
    figure = slice_figure([replace(case(), auprc=0.456), case()])
    assert figure.axes[0].get_ylabel() == "tumor\nsub-1\nslice z 6\nAUPRC 0.456"
    assert figure.axes[3].get_ylabel() == "tumor\nsub-1\nslice z 6"


def test_healthy_slices_have_no_truth_and_take_another_color_map():
    figure = slice_figure([case(lesion=False)], color_map="viridis", score_range=(0, 1))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["scan", "heatmap"]
    assert "ground truth" not in titles
    assert figure.axes[1].images[0].get_clim() == (0, 1)
    assert figure.axes[1].images[0].cmap.name == "viridis"


def test_learning_curve_marks_the_step_whose_weights_are_kept():
    history = pd.DataFrame(
        {
            "step": [10, 20, 30, 40],
            "patches": [100, 200, 300, 400],
            "training_loss": [4.0, 3.0, 2.0, 1.0],
            "validation_loss": [np.nan, 2.5, 2.0, 4.0],
            "validation_nll": [np.nan, 6.5, 7.0, 8.0],
            "validation_error": [np.nan, 12.5, 11.0, 10.0],
            "validation_error_mm": [np.nan, 24.0, 21.0, 19.0],
            "validation_log_variance": [np.nan, 4.0, 3.5, 3.0],
            "learning_rate": [1e-3, 1e-3, 1e-4, 1e-4],
            "patches_per_second": [10.0, 1200.0, 1300.0, 1400.0],
        }
    )
    loss, nll, error, variance, rate, speed = learning_curve("T1, fold 0", history).axes
    assert loss.get_title() == "400 patches seen"
    assert nll.get_title() == "kept: step 20"
    assert error.get_title() == "24.0 mm, 12.5 % of the grid"
    assert error.get_ylabel() == "mean location error [mm]"
    assert variance.lines[0].get_ydata().tolist() == [4.0, 3.5, 3.0]
    assert speed.lines[0].get_ydata().tolist() == [10.0, 1200.0, 1300.0, 1400.0]
    assert rate.get_yscale() == "log"
    unvalidated = history.assign(validation_nll=np.nan, validation_error=np.nan)
    assert learning_curve("no validation", unvalidated).axes[2].get_title() == ""


def test_saved_figures_are_repeatable_and_carry_no_date(tmp_path):
    contents = []
    for run in ("first", "second"):
        paths = [tmp_path / run / "fig.png", tmp_path / run / "fig.pdf"]
        save_figure(kde_figure([("tumor", patches())]), paths)
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    assert contents[0][0].startswith(b"\x89PNG")
    assert b"CreationDate" not in contents[0][1]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["fig.pdf", "fig.png"]


def test_the_files_of_a_figure_are_laid_out_once_and_alike(tmp_path, monkeypatch):
    layouts = []
    execute = ConstrainedLayoutEngine.execute
    monkeypatch.setattr(
        ConstrainedLayoutEngine, "execute", lambda *arguments: [layouts.append(1), execute(*arguments)]
    )
    figure = kde_figure([("tumor", patches())])
    save_figure(figure, [tmp_path / "fig.png"])
    places = [axes.get_position().bounds for axes in figure.axes]
    save_figure(figure, [tmp_path / "fig.pdf"])
    assert layouts == [1]
    assert [axes.get_position().bounds for axes in figure.axes] == places


def test_figures_leave_the_global_style_alone():
    import matplotlib as mpl

    before = mpl.rcParams["font.size"]
    assert isinstance(kde_figure([("tumor", patches())]), Figure)
    assert mpl.rcParams["font.size"] == before


def test_clipped_densities_end_at_the_percentiles_of_each_group():
    table = patches(normal=400, abnormal=300)
    table.loc[0, "score"] = 1000.0  # one patch far off in the normal group
    whole, clipped = kde_figure([("tumor", table)]), kde_figure([("tumor", table)], densities="clipped")
    assert whole.axes[3].get_xlim()[1] > 1000
    normal, abnormal = patch_groups(table)
    low, high = normal["score"].quantile(0.01), abnormal["score"].quantile(0.99)
    left, right = clipped.axes[3].get_xlim()
    assert low - 3 < left < low
    assert high < right < high + 3
    assert clipped.axes[0].get_title(loc="left") == "tumor\nn = 400 normal, 300 abnormal"
