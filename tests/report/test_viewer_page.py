"""The viewer in a headless Chromium: of a run, and on the page of an answer."""

import json
import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import matplotlib as mpl
import numpy as np
import pytest
from answers import HOSTILE, healthy_answer, lesion_answer, write_answer
from browser import SIZE, chromium
from scored_results import GRID, METHODS, MISSED

from patch2loc.data.scans import Scan
from patch2loc.data.volumes import read, read_mask
from patch2loc.errors import InputError
from patch2loc.metrics.ranking import best_dice
from patch2loc.own_scan.page import write_index, write_page
from patch2loc.own_scan.places import voxel_of
from patch2loc.report.viewer import PAGE
from patch2loc.report.viewer.folder import link_to, read_index
from patch2loc.report.viewer.server import serve, server_of
from patch2loc.score.stored_heatmaps import heatmaps_of


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def shown(page, scored_run, subject, dataset="tumors", more=""):
    """Open the viewer from the disk and wait for a scan."""
    page.open(f"{(scored_run / 'report').as_uri()}/{link_to(dataset, subject)}{more}")
    page.wait_for("document.body?.dataset.state === 'ready'")


def number(page, name):
    return page.evaluate(f"Number(document.getElementById('{name}').dataset.value)")


def threshold(page):
    return page.evaluate("thresholdOf(view.method, view.level)")


def test_the_viewer_opens_with_the_lesion_of_median_auprc(page, scored_run):
    page.open((scored_run / "report/viewer.html").as_uri())
    page.wait_for("document.body?.dataset.state === 'ready'")
    scans = [scan for scan in read_index(scored_run / "report")["scans"] if scan["written"]]
    auprcs = sorted(scan["auprc"] for scan in scans if scan["auprc"] is not None)
    assert len(auprcs) >= 2
    assert page.evaluate("entry.auprc") == auprcs[len(auprcs) // 2]
    assert page.evaluate("view.at.join() === largestLesionSlice(view.scan).join()")


def test_a_phone_shows_the_page_without_scrolling_sideways(page, scored_run):
    page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    try:
        shown(page, scored_run, written(scored_run))
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    finally:
        width, height = SIZE
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )


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
    assert "patch2loc view" in page.evaluate("document.getElementById('problem').textContent")
    address = f"http://127.0.0.1:{server.server_port}"
    page.open(f"{address}/report/{link_to(missing['dataset'], missing['subject'])}")
    page.wait_for("document.body?.dataset.state === 'ready'")
    assert page.evaluate("view.scan.subject") == missing["subject"]
    assert page.complaints == []
    assert all(request.startswith(address) for request in page.requests)


def test_the_next_scan_and_method_are_a_key_away(page, scored_run):
    shown(page, scored_run, written(scored_run))
    first = page.evaluate("key(entry)")
    page.press("n")
    page.wait_for(f"key(entry) !== '{first}' && document.body?.dataset.state === 'ready'")
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


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """An answer with warnings and a hostile name, three maps, and its page, alone in a folder."""
    path = tmp_path_factory.mktemp("answered") / "report.html"
    rarity = lesion_answer().rarity
    maps = {"joined": rarity, "patch2loc": rarity / 2, "zscore": np.minimum(rarity, 2.5)}
    answer = lesion_answer(title=HOSTILE, warnings=["The scan is a T2 scan.", HOSTILE], maps=maps)
    write_page(path, answer)
    return answer, path


@contextmanager
def served(folder):
    """The address at which a folder is served meanwhile."""
    with server_of(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def open_answer(page, path, more=""):
    page.open(f"{path.as_uri()}{more}")
    page.wait_for("document.body?.dataset.state === 'ready'")


def is_seen(page, selector):
    """True if an element is in the window and nothing lies over its middle."""
    return page.evaluate(
        f"""(() => {{
          const element = document.querySelector("{selector}"), box = element.getBoundingClientRect();
          const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
          return box.top >= 0 && box.bottom <= innerHeight && element.checkVisibility() && element.contains(top);
        }})()"""
    )


def test_the_page_of_an_answer_opens_alone_with_its_warnings(page, answered, tmp_path):
    answer, path = answered
    open_answer(page, path)
    assert is_seen(page, ".warnings")
    assert is_seen(page, ".sentence")
    for warning in answer.warnings:
        assert warning.message in page.evaluate("document.querySelector('.warnings').innerText")
    assert (
        page.evaluate("document.querySelector('h1').textContent")
        == page.evaluate("document.title")
        == HOSTILE
    )
    assert page.complaints == []
    assert page.requests == [path.as_uri()]
    keep(page, "answer.png", tmp_path)
    for name in ("previous", "scan", "next"):  # of a run
        assert not page.evaluate(f"document.getElementById('{name}').checkVisibility()")


def test_the_page_of_an_answer_starts_at_its_threshold_and_first_candidate(page, answered):
    answer, path = answered
    open_answer(page, path)
    assert threshold(page) == answer.threshold
    assert page.evaluate("document.getElementById('threshold-value').value") == "3.000"
    assert page.evaluate("document.getElementById('to-start').textContent") == "Threshold of the answer"
    assert answer.labels[tuple(page.evaluate("view.at"))] == 1
    assert number(page, "volume") == pytest.approx(answer.abnormal_ml)
    assert page.evaluate("document.getElementById('score').textContent") == "5.50 (1 in 320,000)"
    assert page.evaluate("document.getElementById('tissue').textContent") == "candidate 1, brain"
    assert page.evaluate("document.getElementById('outline-name').textContent") == "candidates"
    assert page.evaluate("document.getElementById('show-lesion').checkVisibility()")
    assert not page.evaluate("document.getElementById('dice').checkVisibility()")
    page.evaluate("document.getElementById('threshold').focus()")
    page.press("ArrowLeft", 40)
    page.wait_for(f"thresholdOf(view.method, view.level) < {answer.threshold}")
    page.press("b")
    page.wait_for(f"thresholdOf(view.method, view.level) === {answer.threshold}")
    # Nothing of the third map reaches the threshold, and the slider starts there all the same.
    page.press("t")
    page.wait_for("view.name === 'patch2loc'")
    page.press("t")
    page.wait_for("view.name === 'zscore' && Number(document.getElementById('volume').dataset.value) === 0")
    assert threshold(page) == answer.threshold
    assert page.complaints == []


def test_a_click_on_a_candidate_moves_the_cross_to_it(page, answered, tmp_path):
    answer, path = answered
    open_answer(page, path)
    for row in (2, 1):
        page.evaluate("window.scrollTo(0, 0)")
        cell = json.loads(
            page.evaluate(
                f"""JSON.stringify(document.querySelector(
                  "tbody tr:nth-child({row}) td:nth-child(4)").getBoundingClientRect())"""
            )
        )
        page.click(cell["x"] + cell["width"] / 2, cell["y"] + cell["height"] / 2)
        place = list(voxel_of(answer, answer.candidates.iloc[row - 1]))
        page.wait_for(f"view.at.join() === '{','.join(map(str, place))}'")
        page.wait_for(f"document.getElementById('tissue').textContent === 'candidate {row}, brain'")
        page.wait_for("document.getElementById('planes').getBoundingClientRect().top < innerHeight / 2")
    keep(page, "answer_candidate.png", tmp_path)
    assert page.complaints == []
    assert page.requests == [path.as_uri()]


def test_a_healthy_brain_is_gray_on_its_page(page, tmp_path):
    write_page(tmp_path / "report.html", healthy_answer())
    open_answer(page, tmp_path / "report.html")
    assert page.evaluate("document.querySelectorAll('.warnings, tbody').length") == 0
    for name in ("show-brain", "show-cross", "show-detected", "smooth"):
        page.evaluate(f"document.getElementById('{name}').click()")
    page.wait_for("!waiting")
    colored = page.evaluate(
        """(() => {
          const canvas = document.getElementById("axial");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let count = 0;
          for (let i = 0; i < data.length; i += 4)
            if (Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 12) count++;
          return 4 * count / data.length;
        })()"""
    )
    assert 0 < colored < 0.03  # one voxel in a hundred is among the rarest one in a hundred
    assert page.complaints == []


@pytest.mark.parametrize("name", ["", "/report.html"])
def test_view_opens_the_page_of_an_answer_and_serves_nothing_else(page, answered, name):
    _, path = answered
    for other in ("heatmap.nii.gz", "summary.json"):
        path.with_name(other).write_text("{}")
    with served(f"{path.parent}{name}") as address:
        page.open(address)
        page.wait_for("document.body?.dataset.state === 'ready'")
        assert page.complaints == []
        assert page.requests == [address]
        for other in ("heatmap.nii.gz", "summary.json", "../report.html", "none.html", "."):
            with pytest.raises(HTTPError, match="404"):
                urlopen(f"{address}{other}", timeout=30)


def test_view_opens_the_index_of_several_scans(page, tmp_path):
    for name, answer in {
        "healthy": healthy_answer(),
        "#1 lesion": lesion_answer(warnings=["A T2 scan."]),
    }.items():
        write_answer(tmp_path / name, answer)
    write_index(tmp_path)
    with served(tmp_path) as address:
        page.open(address)
        assert page.evaluate("document.querySelector('article h2').innerText") == "1. #1 lesion"
        assert is_seen(page, ".warnings")
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 100)")
        page.evaluate("document.querySelector('article h2 a').click()")
        page.wait_for("document.body?.dataset.state === 'ready'")
        assert is_seen(page, ".warnings")
        assert page.complaints == []


def test_a_folder_without_a_page_is_said(tmp_path):
    with pytest.raises(InputError, match="patch2loc detect"):
        serve(tmp_path, 0, False)
