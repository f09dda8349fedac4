import numpy as np
import pytest

from patch2loc.figures.method_maps import ScanMaps, method_maps_figure, row_label


@pytest.fixture
def scan():
    brain = np.zeros((20, 24, 6), bool)
    brain[4:16, 5:19, 1:5] = True
    lesion = np.zeros_like(brain)
    lesion[6:9, 8:12, 3] = True
    random = np.random.default_rng(0)
    heatmaps = {
        name: np.where(brain, scale * random.random(brain.shape), np.nan).astype(np.float32)
        for name, scale in {"patch2loc": 12.0, "zscore": 1.0}.items()
    }
    heatmaps["constant"] = np.where(brain, 0.5, np.nan).astype(np.float32)
    return ScanMaps("MS, T2 (simulated)", "ms_001", 3, volume=brain * 0.7, lesion=lesion, heatmaps=heatmaps)


def test_every_method_has_a_panel_of_every_scan_with_colors_of_its_own_range(scan):
    methods = list(scan.heatmaps)
    figure = method_maps_figure([scan, scan], methods)
    assert len(figure.axes) == 2 * (2 + len(methods))
    shown = [panel.images[0] for panel in figure.axes[::2]]  # the first scan: axes run along rows
    labels = [panel.get_ylabel() for panel in figure.axes[::2]]
    assert labels == ["scan", "ground truth", "patch2loc", "zscore, control", "constant"]
    # The brain with a margin of 4 voxels, seen from below: rows are y.
    frame = np.s_[0:20, 1:23, 3]
    np.testing.assert_array_equal(np.asarray(shown[1].get_array()).T == 1.0, scan.lesion[frame])
    for picture, method in zip(shown[2:], methods, strict=True):
        heatmap = scan.heatmaps[method]
        np.testing.assert_array_equal(picture.get_array().filled(np.nan).T, heatmap[frame])
        low, high = np.nanpercentile(heatmap, (1, 99))
        assert picture.get_clim() == pytest.approx((low, max(high, low + 1e-6)))


def test_the_column_names_scan_and_slice(scan):
    figure = method_maps_figure([scan], ["zscore"])
    assert figure.axes[0].get_title() == "MS, T2 (simulated)\nms_001\nslice z 3"


def test_long_names_are_broken_between_words():
    assert row_label("robust_unpadded_zscore_fisher") == "robust_unpadded_\nzscore_fisher"
    assert row_label("patch2loc_robust, calibrated") == "patch2loc_robust,\ncalibrated"
    assert row_label("zscore, control") == "zscore, control"
