"""The viewer in a headless Chromium."""

import os
import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from browser import SIZE, chromium
from scored_results import GRID, METHODS, MISSED

from patch2loc.data.scans import Scan
from patch2loc.data.volumes import read, read_mask
from patch2loc.metrics.ranking import best_dice
from patch2loc.report.viewer import PAGE
from patch2loc.report.viewer.folder import link_to, read_index
from patch2loc.score.stored_heatmaps import heatmaps_of


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def shown(page, scored_run, subject, dataset="tumors", more=""):
    """Open the viewer from the disk and wait for a scan."""
    page.open(f"{(scored_run / 'report').as_uri()}/{link_to(dataset, subject)}{more}")
    page.wait_for("document.body.dataset.state === 'ready'")


def number(page, name):
    return page.evaluate(f"Number(document.getElementById('{name}').dataset.value)")


def threshold(page):
    return page.evaluate("thresholdOf(view.method, view.level)")


def written(scored_run, dataset="tumors"):
    return next(
        scan["subject"]
        for scan in read_index(scored_run / "report")["scans"]
        if scan["dataset"] == dataset and scan["written"]
    )


def truth(scored_run, subject, method="patch2loc"):
    scan = Scan(subject, scored_run / "preprocessed/tumors" / subject, "T1")
    heatmap = heatmaps_of(scored_run, method, "tumors", "T1", fold=0).read(subject)
    mask = read_mask(scan.mask_path)
    return heatmap[mask], read_mask(scan.lesion_path)[mask]


def dice_at(score, lesion, threshold):
    found = score.astype(float) >= threshold
    return (
        2 * np.count_nonzero(found & lesion) / (np.count_nonzero(found) + np.count_nonzero(lesion) + MISSED)
    )


def assert_quiet(page, scored_run):
    assert page.complaints == []
    assert page.requests
    assert all(request.startswith(scored_run.as_uri()) for request in page.requests)


def keep(page, name, tmp_path):
    """A picture for people to look at, kept where the environment says."""
    page.screenshot(Path(os.environ.get("SCREENSHOTS", tmp_path)) / name)


@pytest.mark.parametrize("method", METHODS)
def test_the_page_shows_the_dice_of_the_metrics(page, scored_run, tmp_path, method):
    subject = written(scored_run)
    shown(page, scored_run, subject, more=f"&method={method}")
    score, lesion = truth(scored_run, subject, method)
    assert number(page, "dice") == pytest.approx(best_dice(score, lesion, MISSED), abs=1e-12)
    for wanted in np.quantile(score, [0.7, 0.98]):
        shown(page, scored_run, subject, more=f"&method={method}&threshold={wanted}")
        assert threshold(page) == pytest.approx(wanted, abs=0.01)
        found = score >= threshold(page)
        assert number(page, "dice") == pytest.approx(dice_at(score, lesion, threshold(page)), abs=1e-12)
        assert number(page, "sensitivity") == pytest.approx((found & lesion).sum() / (lesion.sum() + MISSED))
        assert number(page, "precision") == pytest.approx((found & lesion).sum() / found.sum())
        assert number(page, "volume") == pytest.approx(found.sum() * GRID.voxel_ml)
    keep(page, f"viewer_{method}.png", tmp_path)
    assert_quiet(page, scored_run)


def test_slider_and_keys_change_the_dice(page, scored_run):
    subject = written(scored_run)
    shown(page, scored_run, subject)
    score, lesion = truth(scored_run, subject)
    before = number(page, "dice"), threshold(page)
    page.evaluate("document.getElementById('threshold').focus()")
    page.press("ArrowLeft", 40)
    page.wait_for(f"thresholdOf(view.method, view.level) < {before[1]} - 30 * view.method.step")
    page.wait_for(f"Number(document.getElementById('dice').dataset.value) !== {before[0]}")
    assert number(page, "dice") < before[0]
    assert number(page, "dice") == pytest.approx(dice_at(score, lesion, threshold(page)), abs=1e-12)
    page.press("b")
    page.wait_for(f"Number(document.getElementById('dice').dataset.value) === {before[0]}")
    assert_quiet(page, scored_run)


def test_a_click_moves_the_cross_to_what_is_there(page, scored_run):
    subject = written(scored_run)
    shown(page, scored_run, subject)
    box = page.evaluate(
        "JSON.parse(JSON.stringify(document.getElementById('axial').getBoundingClientRect()))"
    )
    page.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 3)
    x, y, z = at = page.evaluate("view.at")
    # The subject's right and front: high x and y.
    assert x > GRID.shape[0] / 2
    assert y > GRID.shape[1] / 2
    page.wait_for(f"document.getElementById('voxel').textContent === '{x}, {y}, {z}'")
    position = page.evaluate("document.getElementById('position').textContent")
    expected = (GRID.affine @ [*at, 1])[:3]
    assert [float(value) for value in position.removesuffix(" mm").split(", ")] == pytest.approx(expected)
    folder = scored_run / "preprocessed/tumors" / subject
    heatmap = read(scored_run / f"heatmaps/patch2loc/tumors/fold0/{subject}.nii.gz")[0]
    assert float(page.evaluate("document.getElementById('score').textContent")) == pytest.approx(
        heatmap[x, y, z], abs=0.006
    )
    intensity = read(folder / "T1.nii.gz")[0][x, y, z]
    assert float(page.evaluate("document.getElementById('intensity').textContent")) == pytest.approx(
        intensity, abs=0.15
    )
    page.press("ArrowRight")
    assert page.evaluate("view.at") == [x - 1, y, z]
    page.press("PageUp")
    assert page.evaluate("view.at") == [x - 1, y, z + 1]


@pytest.mark.parametrize("plane", [("axial", 0, 1), ("coronal", 0, 2), ("sagittal", 1, 2)])
def test_voxels_have_the_colors_of_the_map_at_their_place(page, scored_run, plane):
    name, across, up = plane
    subject = written(scored_run)
    at = [13, 8, 7]
    shown(page, scored_run, subject, more=f"&at={','.join(map(str, at))}")
    heatmap = read(scored_run / f"heatmaps/patch2loc/tumors/fold0/{subject}.nii.gz")[0]
    column, row = page.evaluate(
        f"""(() => {{
          for (const id of ["smooth", "show-brain", "show-lesion", "show-detected", "show-cross"])
            document.getElementById(id).checked = false;
          document.getElementById("opacity").value = 1;
          document.getElementById("colors").value = "viridis";
          return [{across}, {up}].map(axis => view.frame[axis][1] - 1 - view.at[axis]);
        }})()"""
    )
    page.evaluate("show()")
    page.wait_for("!waiting")
    scale = page.evaluate("view.scale")
    color = page.evaluate(
        f"""[...document.getElementById("{name}").getContext("2d").getImageData(
          Math.round({(column + 0.3) * scale}), Math.round({(row + 0.3) * scale}), 1, 1).data]"""
    )
    expected = mpl.colormaps["viridis"](heatmap[tuple(at)] / 12, bytes=True)
    assert np.abs(np.array(color, int) - expected).max() <= 3


def test_scans_without_truth_show_no_dice(page, scored_run, tmp_path):
    subject = written(scored_run, "own_scans")
    shown(page, scored_run, subject, "own_scans")
    assert not page.evaluate("document.getElementById('dice').checkVisibility()")
    assert page.evaluate("document.getElementById('volume').checkVisibility()")
    heatmap = read(scored_run / f"heatmaps/patch2loc/own_scans/fold0/{subject}.nii.gz")[0]
    detected = np.count_nonzero(heatmap >= np.nanpercentile(heatmap, 99))
    assert number(page, "volume") == pytest.approx(detected * GRID.voxel_ml)
    keep(page, "viewer_own_scan.png", tmp_path)
    assert_quiet(page, scored_run)


def test_any_scored_scan_is_shown_when_served(page, scored_run, server):
    missing = next(scan for scan in read_index(scored_run / "report")["scans"] if not scan["written"])
    page.open(f"{(scored_run / 'report').as_uri()}/{link_to(missing['dataset'], missing['subject'])}")
    page.wait_for("!document.getElementById('problem').hidden")
    assert "python -m patch2loc view" in page.evaluate("document.getElementById('problem').textContent")
    address = f"http://127.0.0.1:{server.server_port}"
    page.open(f"{address}/report/{link_to(missing['dataset'], missing['subject'])}")
    page.wait_for("document.body.dataset.state === 'ready'")
    assert page.evaluate("view.scan.subject") == missing["subject"]
    assert page.complaints == []
    assert all(request.startswith(address) for request in page.requests)


def test_the_next_scan_and_method_are_a_key_away(page, scored_run):
    shown(page, scored_run, written(scored_run))
    first = page.evaluate("key(entry)")
    page.press("n")
    page.wait_for(f"key(entry) !== '{first}' && document.body.dataset.state === 'ready'")
    page.press("t")
    page.wait_for(f"view.name === '{METHODS[1]}'")
    assert (
        page.evaluate("document.getElementById('method').selectedOptions[0].text") == "patch2loc, calibrated"
    )
    assert page.evaluate("document.getElementById('bar').width") < SIZE[0]
    assert_quiet(page, scored_run)


def test_a_folder_without_its_index_says_so(page, scored_run, tmp_path):
    for name in PAGE:
        shutil.copy(scored_run / "report" / name, tmp_path)
    page.open((tmp_path / "viewer.html").as_uri())
    page.wait_for("!document.getElementById('problem').hidden")
    assert "index.js" in page.evaluate("document.getElementById('problem').textContent")
