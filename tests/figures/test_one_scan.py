import numpy as np
import pytest

from patch2loc.figures.one_scan import scan_figure, select_slices


def test_slices_are_chosen_by_the_stated_rule():
    heatmap = np.full((20, 20, 40), np.nan, np.float32)
    heatmap[2:18, 2:18, 3:34] = 1
    heatmap[8:16, 8:16, 11] = 8  # 64 + 25 of 7,936 voxels
    heatmap[8:13, 8:13, 20] = 9
    slices, peak = select_slices(heatmap)
    assert peak == 11
    assert slices == [8, 11, 13, 18, 23, 28]


@pytest.mark.parametrize(("method", "limits"), [("patch2loc", (0, 12)), ("zscore", (1.0, 3.0))])
def test_the_picture_says_what_it_shows(method, limits):
    rng = np.random.default_rng(0)
    heatmap = np.full((20, 24, 30), np.nan, np.float32)
    heatmap[4:16, 3:20, 2:28] = rng.choice([1.0, 3.0], (12, 17, 26))
    scan = np.where(np.isfinite(heatmap), 5.0, 0).astype(np.float32)
    figure = scan_figure("head.nii.gz", scan, heatmap, spacing=2.0, method=method)
    images = [image for axes in figure.axes for image in axes.images]
    assert len(images) == 2 * len(select_slices(heatmap)[0])
    assert all(image.get_clim() == limits for image in images[len(images) // 2 :])
    text = " ".join(figure.get_supxlabel().split())
    assert "Radiological convention: left of the image is the subject's right" in text
    marks = [text.get_text() for text in figure.axes[0].texts]
    assert marks == ["R", "L"]
