import base64
import gzip
import http.client
import io
import json
import os
import re
import shutil
import threading
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from browser import SIZE, chromium
from matplotlib.image import imread
from scored_results import GRID, METHODS, MISSED, ROLES, brain, scored_results

from patch2loc import viewer
from patch2loc.errors import InputError
from patch2loc.metrics import best_dice
from patch2loc.scans import Scan
from patch2loc.viewer.folder import PAGE, chosen, file_of, link_to, read_index, write_viewer
from patch2loc.viewer.scan_file import LEVELS, colour_range, quantised, scan_file, thumbnail
from patch2loc.viewer.server import server_of
from patch2loc.volumes import read, read_mask, write

SUBJECT = "sub 3"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_viewer(folder / "report", scored_results(folder), 2, 0, "jet")
    return folder


@pytest.fixture(scope="module")
def server(results):
    with server_of(results, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def arguments(tmp_path):
    dataset = scored_results(tmp_path)[0]
    scan = next(scan for scan in dataset.scans if scan.subject == SUBJECT)
    heatmaps = {method: path / f"{SUBJECT}.nii.gz" for method, path in dataset.heatmaps.items()}
    return {"scan": scan, "dataset": "tumours", "heatmaps": heatmaps, "truth": True}


def content(text):
    return json.loads(re.fullmatch(r"patch2loc\.scan\((.*)\);\n", text)[1])


def bytes_of(packed):
    return np.frombuffer(gzip.decompress(base64.b64decode(packed)), np.uint8)


def levels_of(packed):
    low, high = bytes_of(packed).reshape(2, -1).astype(int)
    return low + 256 * high


def test_levels_hold_what_every_threshold_detects():
    score = np.random.default_rng(0).normal(6, 3, 5000).astype(np.float32)
    anchor = float(score[17])
    levels, step, first = quantised(score, anchor)
    assert step == pytest.approx((score.max() - score.min()) / LEVELS, rel=1e-2)
    thresholds = anchor + step * (first + np.arange(levels.max()))
    assert anchor in thresholds
    assert levels.min() >= 1
    for level, threshold in enumerate(thresholds, start=1):
        assert np.count_nonzero(levels >= level) == np.count_nonzero(score >= threshold)


def test_equal_scores_share_a_level():
    levels, step, _ = quantised(np.full(5, 3.5, np.float32), 3.5)
    assert step > 0
    assert len(set(levels)) == 1


def test_a_scan_file_holds_the_volumes(arguments):
    scan = arguments["scan"]
    found = content(scan_file(**arguments))
    volume, affine = read(scan.volume)
    mask, lesion = read_mask(scan.mask), read_mask(scan.lesion)
    for name, volume_of in {"mask": mask, "lesion": lesion}.items():
        bits = np.unpackbits(bytes_of(found[name]), bitorder="little")[: mask.size]
        assert np.array_equal(bits.reshape(mask.shape, order="F"), volume_of)
    assert found["missed"] == MISSED
    assert found["origin"] == affine[:3, 3].tolist()
    intensity = levels_of(found["scan"]["levels"]).reshape(volume.shape, order="F") * found["scan"]["step"]
    assert np.abs(intensity - volume).max() <= volume.max() / LEVELS
    heatmap = read(arguments["heatmaps"]["zscore"])[0]
    method = found["methods"]["zscore"]
    reached = method["anchor"] + method["step"] * (method["first"] + levels_of(method["levels"]) - 1)
    below = heatmap.ravel("F")[mask.ravel("F")] - reached
    assert below.min() >= 0
    assert below.max() < method["step"] * 1.0001


def test_the_threshold_starts_at_the_best_dice_or_at_a_percentile(arguments):
    heatmap, mask = read(arguments["heatmaps"]["patch2loc"])[0], brain()
    lesion = read_mask(arguments["scan"].lesion)
    _, best = best_dice(heatmap[mask], lesion[mask], MISSED, return_threshold=True)
    method = content(scan_file(**arguments))["methods"]["patch2loc"]
    assert (method["best"], method["anchor"]) == (True, best)
    method = content(scan_file(**arguments | {"truth": False}))["methods"]["patch2loc"]
    assert (method["best"], method["anchor"]) == (False, pytest.approx(np.percentile(heatmap[mask], 99)))


def test_colours_run_over_the_papers_range_or_over_percentiles():
    score = np.append(np.arange(1001.0), np.nan)
    assert colour_range("patch2loc", score) == (0, 12)
    assert colour_range("zscore", score) == pytest.approx((10, 999))
    assert colour_range("zscore", np.ones(5)) == (1, 2)


def test_what_does_not_fit_is_named(arguments):
    scan, heatmap = arguments["scan"], arguments["heatmaps"]["zscore"]
    with pytest.raises(InputError, match=r"none\.nii\.gz"):
        scan_file(**arguments | {"heatmaps": {"zscore": heatmap.with_name("none.nii.gz")}})
    write(heatmap, np.full(GRID.shape, np.nan), GRID.affine)
    with pytest.raises(InputError, match=re.escape(str(heatmap))):
        scan_file(**arguments)
    write(scan.volume, np.ones(GRID.shape, np.float32), GRID.affine @ np.diag([-1, 1, 1, 1]))
    with pytest.raises(InputError, match="equal spacing"):
        scan_file(**arguments)
    write(scan.mask, np.ones((3, 4, 5), bool), GRID.affine)
    with pytest.raises(InputError, match=r"mask\.nii\.gz"):
        scan_file(**arguments)


def test_the_scans_to_look_at_follow_the_stated_rule():
    scans = pd.DataFrame(
        {
            "subject": ["a", "b", "c", "d", "e", "f"],
            "auprc": [0.1, 0.5, 0.3, 0.3, 0.9, np.nan],
            "score": [1.0, 2.0, 3.0, 3.0, 5.0, np.nan],
            "lesion_ml": [9.0, 8.0, 1.0, 2.0, 3.0, 0.0],
        }
    )
    assert chosen(scans, "lesion", 4) == {
        "c": "median AUPRC",
        "e": "highest AUPRC",
        "a": "lowest AUPRC, largest lesion",
        "b": "large lesion",
    }
    assert list(chosen(scans, "healthy", 5)) == ["d", "e", "a", "c", "b"]
    assert chosen(scans, "unlabelled", 2) == {"e": "rank 1", "c": "rank 2"}
    assert chosen(scans, "lesion", 0) == {}
    assert chosen(scans[:1], "lesion", 4) == {"a": "only scan"}


def test_the_index_lists_every_scan_and_the_folder_holds_the_chosen(results):
    index = read_index(results / "report")
    scans = index["scans"]
    assert [scan["dataset"] for scan in scans] == [
        name for name, (_, count) in ROLES.items() for _ in range(count)
    ]
    assert index["methods"] == list(METHODS)
    for scan in scans:
        path = results / "report" / file_of(scan["dataset"], scan["subject"])
        assert path.is_file() == scan["written"] == bool(scan["why"])
    assert sum(scan["written"] for scan in scans) == 6
    lesion = [scan for scan in scans if scan["role"] == "lesion"]
    assert max(lesion, key=lambda scan: scan["auprc"])["why"].startswith("highest")
    assert {path.name for path in (results / "report").iterdir()} >= {*PAGE, "index.js"}


def test_the_same_run_gives_the_same_bytes(results, tmp_path):
    write_viewer(tmp_path / "report", scored_results(tmp_path), 2, 0, "jet")
    for path in (results / "report").rglob("*.*"):
        assert (tmp_path / path.relative_to(results)).read_bytes() == path.read_bytes()


def test_no_viewer_is_said(tmp_path):
    with pytest.raises(InputError, match="report_page"):
        viewer.serve(tmp_path, 0, False)


def test_thumbnails_are_in_radiological_convention(arguments):
    scan = arguments["scan"]
    volume = np.where(brain(), 1.0, 0)
    volume[12:15, 16:20] = 40.0  # right, anterior
    write(scan.volume, volume, GRID.affine)
    heatmap = np.where(brain(), 0, np.nan)
    heatmap[5, 4, 6] = 12  # left, posterior, in the slice with the most lesion
    picture = imread(io.BytesIO(thumbnail(scan, heatmap, True, "jet", (0, 12))), format="jpeg")[..., :3] / 255
    height, width = picture.shape[:2]
    bright = np.argwhere(picture[:, : width // 2].min(axis=2) > 0.8).mean(axis=0)
    assert bright[0] < height / 2
    assert bright[1] < width / 4
    red = picture[:, width // 2 :, 0] - picture[:, width // 2 :, 2]
    peak = np.unravel_index(red.argmax(), red.shape)
    assert peak[0] > height / 2
    assert peak[1] > width / 4


def test_pages_name_no_other_place():
    for name in PAGE:
        text = (Path(viewer.__file__).parent / name).read_text(encoding="utf-8")
        assert not re.search(
            r"https?:|//[a-z]+\.|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|sendBeacon", text
        )
    assert "default-src 'none'" in (Path(viewer.__file__).parent / "viewer.html").read_text(encoding="utf-8")


def answer(server, path, host=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("GET", path, headers={"Host": host} if host else {})
    response = connection.getresponse()
    return response.status, response.read()


def test_the_server_answers_this_machine_only(server):
    assert server.server_address[0] == "127.0.0.1"
    assert answer(server, "/report/viewer.html")[0] == 200
    assert answer(server, "/report/viewer.html", f"localhost:{server.server_port}")[0] == 200
    assert answer(server, "/report/viewer.html", "elsewhere.org")[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/heatmaps/patch2loc/tumours/fold0/sub%200.nii.gz",
        "/report/../heatmaps/patch2loc/tumours/fold0/sub%200.nii.gz",
        "/report/%2e%2e/heatmaps/patch2loc/tumours/fold0/sub%200.nii.gz",
        "/report/scans/tumours/../../../secret.js",
        "/report/scans/tumours/nobody.js",
        "/report/scans/",
        "/report/",
    ],
)
def test_the_server_gives_report_and_viewer_only(server, path):
    assert answer(server, path)[0] == 404


def test_the_server_makes_the_files_that_the_folder_has_not(server, results):
    for scan in read_index(results / "report")["scans"]:
        status, body = answer(server, f"/report/{scan['file']}")
        assert status == 200
        assert content(body.decode())["subject"] == scan["subject"]


def test_a_taken_port_is_said(server, results):
    with pytest.raises(InputError, match=f"port {server.server_port}"):
        viewer.serve(results, server.server_port, False)


def shown(page, results, subject, dataset="tumours", more=""):
    """Open the viewer from the disk and wait for a scan."""
    page.open(f"{(results / 'report').as_uri()}/{link_to(dataset, subject)}{more}")
    page.wait_for("document.body.dataset.state === 'ready'")


def number(page, name):
    return page.evaluate(f"Number(document.getElementById('{name}').dataset.value)")


def threshold(page):
    return page.evaluate("thresholdOf(view.method, view.level)")


def written(results, dataset="tumours"):
    return next(
        scan["subject"]
        for scan in read_index(results / "report")["scans"]
        if scan["dataset"] == dataset and scan["written"]
    )


def truth(results, subject, method="patch2loc"):
    scan = Scan(subject, results / "preprocessed/tumours" / subject, "T1")
    heatmap = read(results / f"heatmaps/{method}/tumours/fold0/{subject}.nii.gz")[0]
    mask = read_mask(scan.mask)
    return heatmap[mask], read_mask(scan.lesion)[mask]


def dice_at(score, lesion, threshold):
    found = score.astype(float) >= threshold
    return (
        2 * np.count_nonzero(found & lesion) / (np.count_nonzero(found) + np.count_nonzero(lesion) + MISSED)
    )


def assert_quiet(page, results):
    assert page.complaints == []
    assert page.requests
    assert all(request.startswith(results.as_uri()) for request in page.requests)


def keep(page, name, tmp_path):
    """A picture for people to look at, kept where the environment says."""
    page.screenshot(Path(os.environ.get("SCREENSHOTS", tmp_path)) / name)


@pytest.mark.parametrize("method", METHODS)
def test_the_page_shows_the_dice_of_the_metrics(page, results, tmp_path, method):
    subject = written(results)
    shown(page, results, subject, more=f"&method={method}")
    score, lesion = truth(results, subject, method)
    assert number(page, "dice") == pytest.approx(best_dice(score, lesion, MISSED), abs=1e-12)
    for wanted in (3.5, 7.25):
        shown(page, results, subject, more=f"&method={method}&threshold={wanted}")
        assert threshold(page) == pytest.approx(wanted, abs=0.01)
        found = score >= threshold(page)
        assert number(page, "dice") == pytest.approx(dice_at(score, lesion, threshold(page)), abs=1e-12)
        assert number(page, "sensitivity") == pytest.approx((found & lesion).sum() / (lesion.sum() + MISSED))
        assert number(page, "precision") == pytest.approx((found & lesion).sum() / found.sum())
        assert number(page, "volume") == pytest.approx(found.sum() * GRID.voxel_ml)
    keep(page, f"viewer_{method}.png", tmp_path)
    assert_quiet(page, results)


def test_slider_and_keys_change_the_dice(page, results):
    subject = written(results)
    shown(page, results, subject)
    score, lesion = truth(results, subject)
    before = number(page, "dice"), threshold(page)
    page.evaluate("document.getElementById('threshold').focus()")
    page.press("ArrowLeft", 40)
    page.wait_for(f"thresholdOf(view.method, view.level) < {before[1]} - 30 * view.method.step")
    page.wait_for(f"Number(document.getElementById('dice').dataset.value) !== {before[0]}")
    assert number(page, "dice") < before[0]
    assert number(page, "dice") == pytest.approx(dice_at(score, lesion, threshold(page)), abs=1e-12)
    page.press("b")
    page.wait_for(f"Number(document.getElementById('dice').dataset.value) === {before[0]}")
    assert_quiet(page, results)


def test_a_click_moves_the_cross_to_what_is_there(page, results):
    subject = written(results)
    shown(page, results, subject)
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
    folder = results / "preprocessed/tumours" / subject
    heatmap = read(results / f"heatmaps/patch2loc/tumours/fold0/{subject}.nii.gz")[0]
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
def test_voxels_have_the_colours_of_the_map_at_their_place(page, results, plane):
    name, across, up = plane
    subject = written(results)
    at = [13, 8, 7]
    shown(page, results, subject, more=f"&at={','.join(map(str, at))}")
    heatmap = read(results / f"heatmaps/patch2loc/tumours/fold0/{subject}.nii.gz")[0]
    column, row = page.evaluate(
        f"""(() => {{
          for (const id of ["smooth", "show-brain", "show-lesion", "show-detected", "show-cross"])
            document.getElementById(id).checked = false;
          document.getElementById("opacity").value = 1;
          document.getElementById("colours").value = "viridis";
          return [{across}, {up}].map(axis => view.frame[axis][1] - 1 - view.at[axis]);
        }})()"""
    )
    page.evaluate("show()")
    page.wait_for("!waiting")
    scale = page.evaluate("view.scale")
    colour = page.evaluate(
        f"""[...document.getElementById("{name}").getContext("2d").getImageData(
          Math.round({(column + 0.3) * scale}), Math.round({(row + 0.3) * scale}), 1, 1).data]"""
    )
    expected = mpl.colormaps["viridis"](heatmap[tuple(at)] / 12, bytes=True)
    assert np.abs(np.array(colour, int) - expected).max() <= 3


def test_scans_without_truth_show_no_dice(page, results, tmp_path):
    subject = written(results, "own_scans")
    shown(page, results, subject, "own_scans")
    assert not page.evaluate("document.getElementById('dice').checkVisibility()")
    assert page.evaluate("document.getElementById('volume').checkVisibility()")
    heatmap = read(results / f"heatmaps/patch2loc/own_scans/fold0/{subject}.nii.gz")[0]
    detected = np.count_nonzero(heatmap >= np.nanpercentile(heatmap, 99))
    assert number(page, "volume") == pytest.approx(detected * GRID.voxel_ml)
    keep(page, "viewer_own_scan.png", tmp_path)
    assert_quiet(page, results)


def test_any_scored_scan_is_shown_when_served(page, results, server):
    missing = next(scan for scan in read_index(results / "report")["scans"] if not scan["written"])
    page.open(f"{(results / 'report').as_uri()}/{link_to(missing['dataset'], missing['subject'])}")
    page.wait_for("!document.getElementById('problem').hidden")
    assert "python -m patch2loc view" in page.evaluate("document.getElementById('problem').textContent")
    address = f"http://127.0.0.1:{server.server_port}"
    page.open(f"{address}/report/{link_to(missing['dataset'], missing['subject'])}")
    page.wait_for("document.body.dataset.state === 'ready'")
    assert page.evaluate("view.scan.subject") == missing["subject"]
    assert page.complaints == []
    assert all(request.startswith(address) for request in page.requests)


def test_the_next_scan_and_method_are_a_key_away(page, results):
    shown(page, results, written(results))
    first = page.evaluate("key(entry)")
    page.press("n")
    page.wait_for(f"key(entry) !== '{first}' && document.body.dataset.state === 'ready'")
    page.press("t")
    page.wait_for("view.name === 'zscore'")
    assert page.evaluate("document.getElementById('bar').width") < SIZE[0]
    assert_quiet(page, results)


def test_a_folder_without_its_index_says_so(page, results, tmp_path):
    for name in PAGE:
        shutil.copy(results / "report" / name, tmp_path)
    page.open((tmp_path / "viewer.html").as_uri())
    page.wait_for("!document.getElementById('problem').hidden")
    assert "index.js" in page.evaluate("document.getElementById('problem').textContent")
