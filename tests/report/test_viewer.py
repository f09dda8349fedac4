import base64
import gzip
import http.client
import io
import json
import re
import socket
import struct
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from scored_results import GRID, METHODS, MISSED, ROLES, brain, scored_results

from patch2loc.data.volumes import read, read_mask, write
from patch2loc.errors import InputError
from patch2loc.metrics.ranking import best_dice
from patch2loc.report import viewer
from patch2loc.report.viewer import PAGE
from patch2loc.report.viewer.folder import file_of, read_index, select_scans, write_viewer
from patch2loc.report.viewer.scan_file import (
    LEVELS,
    Heatmap,
    quantize,
    read_heatmaps,
    scan_file,
    thumbnail,
    viewer_range,
)
from patch2loc.report.viewer.server import serve, server_of
from patch2loc.score.stored_heatmaps import Heatmaps

SUBJECT = "sub 3"


@pytest.fixture
def arguments(tmp_path):
    dataset = scored_results(tmp_path)[0]
    scan = next(scan for scan in dataset.scans if scan.subject == SUBJECT)
    heatmaps = read_heatmaps(dataset.heatmaps, SUBJECT)
    return {"scan": scan, "dataset": "tumors", "heatmaps": heatmaps, "truth": "half"}


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
    levels, step, first = quantize(score, anchor)
    assert step == pytest.approx((score.max() - score.min()) / LEVELS, rel=1e-2)
    thresholds = anchor + step * (first + np.arange(levels.max()))
    assert anchor in thresholds
    assert levels.min() >= 1
    for level, threshold in enumerate(thresholds, start=1):
        assert np.count_nonzero(levels >= level) == np.count_nonzero(score >= threshold)


def test_equal_scores_share_a_level():
    levels, step, _ = quantize(np.full(5, 3.5, np.float32), 3.5)
    assert step > 0
    assert len(set(levels)) == 1


def test_a_scan_file_holds_the_volumes(arguments):
    scan = arguments["scan"]
    found = content(scan_file(**arguments))
    volume, affine = read(scan.volume_path)
    mask, lesion = read_mask(scan.mask_path), read_mask(scan.lesion_path)
    for name, volume_of in {"mask": mask, "lesion": lesion}.items():
        bits = np.unpackbits(bytes_of(found[name]), bitorder="little")[: mask.size]
        assert np.array_equal(bits.reshape(mask.shape, order="F"), volume_of)
    assert found["missed"] == MISSED
    assert found["origin"] == affine[:3, 3].tolist()
    intensity = levels_of(found["scan"]["levels"]).reshape(volume.shape, order="F") * found["scan"]["step"]
    assert np.abs(intensity - volume).max() <= volume.max() / LEVELS
    heatmap = arguments["heatmaps"]["zscore"].score
    method = found["methods"]["zscore"]
    reached = method["anchor"] + method["step"] * (method["first"] + levels_of(method["levels"]) - 1)
    below = heatmap.ravel("F")[mask.ravel("F")] - reached
    assert below.min() >= 0
    assert below.max() < method["step"] * 1.0001


def test_the_threshold_starts_at_the_best_dice_or_at_a_percentile(arguments):
    heatmap, mask = arguments["heatmaps"]["patch2loc"].score, brain()
    lesion = read_mask(arguments["scan"].lesion_path)
    _, best = best_dice(heatmap[mask], lesion[mask], MISSED, return_threshold=True)
    method = content(scan_file(**arguments))["methods"]["patch2loc"]
    assert (method["start"], method["anchor"]) == ("Best Dice", best)
    method = content(scan_file(**arguments | {"truth": None}))["methods"]["patch2loc"]
    assert method["start"] == "99th percentile of this scan"
    assert method["anchor"] == pytest.approx(np.percentile(heatmap[mask], 99))


def test_colors_run_over_the_papers_range_or_over_percentiles():
    score = np.append(np.arange(1001.0), np.nan)
    assert viewer_range("patch2loc", score) == (0, 12)
    assert viewer_range("zscore", score) == pytest.approx((10, 999))
    assert viewer_range("zscore", np.ones(5)) == (1, 2)


def test_what_does_not_fit_is_named(arguments):
    scan, (path, _) = arguments["scan"], arguments["heatmaps"]["zscore"]
    with pytest.raises(InputError, match=r"none/sub 3\.nii\.gz"):
        read_heatmaps({"zscore": Heatmaps(path.parent / "none")}, SUBJECT)
    empty = Heatmap(path, np.full(GRID.shape, np.nan))
    with pytest.raises(InputError, match=re.escape(str(path))):
        scan_file(**arguments | {"heatmaps": {"zscore": empty}})
    write(scan.volume_path, np.ones(GRID.shape, np.float32), GRID.affine @ np.diag([-1, 1, 1, 1]))
    with pytest.raises(InputError, match="equal spacing"):
        scan_file(**arguments)
    write(scan.mask_path, np.ones((3, 4, 5), bool), GRID.affine)
    with pytest.raises(InputError, match=r"mask\.nii\.gz"):
        scan_file(**arguments)


def test_a_heatmap_is_read_once_for_all_that_is_made_of_it(tmp_path, monkeypatch):
    (dataset, *_), paths = scored_results(tmp_path), []

    def counted(path):
        paths.append(path)
        return read(path)

    monkeypatch.setattr(viewer.scan_file, "read", counted)
    write_viewer(tmp_path / "report", [dataset], count=2, fold=0, color_map="jet")
    heatmaps = [path for path in paths if "heatmaps" in path.parts]
    assert (
        len(heatmaps) == len(set(heatmaps)) == 2 * 2
    )  # of two scans by two methods, one of them calibrated, too
    found = read_heatmaps(dataset.heatmaps, SUBJECT)
    for method, heatmap in found.items():
        np.testing.assert_array_equal(heatmap.score, dataset.heatmaps[method].read(SUBJECT))
    assert not np.array_equal(found["patch2loc"].score, found["patch2loc_calibrated"].score, equal_nan=True)


def test_the_scans_to_look_at_follow_the_stated_rule():
    scans = pd.DataFrame(
        {
            "subject": ["a", "b", "c", "d", "e", "f"],
            "auprc": [0.1, 0.5, 0.3, 0.3, 0.9, np.nan],
            "score": [1.0, 2.0, 3.0, 3.0, 5.0, np.nan],
            "lesion_ml": [9.0, 8.0, 1.0, 2.0, 3.0, 0.0],
        }
    )
    assert select_scans(scans, "lesion", 4) == {
        "c": "median AUPRC",
        "e": "highest AUPRC",
        "a": "lowest AUPRC, largest lesion",
        "b": "large lesion",
    }
    assert list(select_scans(scans, "healthy", 5)) == ["d", "e", "a", "c", "b"]
    assert select_scans(scans, "unlabeled", 2) == {"e": "rank 1", "c": "rank 2"}
    assert select_scans(scans, "lesion", 0) == {}
    assert select_scans(scans[:1], "lesion", 4) == {"a": "only scan"}


def test_the_index_lists_every_scan_and_the_folder_holds_the_chosen(scored_run):
    index = read_index(scored_run / "report")
    scans = index["scans"]
    assert [scan["dataset"] for scan in scans] == [
        name for name, (_, count) in ROLES.items() for _ in range(count)
    ]
    assert index["methods"] == list(METHODS)
    for scan in scans:
        path = scored_run / "report" / file_of(scan["dataset"], scan["subject"])
        assert path.is_file() == scan["written"] == bool(scan["why"])
    assert sum(scan["written"] for scan in scans) == 6
    lesion = [scan for scan in scans if scan["role"] == "lesion"]
    assert max(lesion, key=lambda scan: scan["auprc"])["why"].startswith("highest")
    assert {path.name for path in (scored_run / "report").iterdir()} >= {*PAGE, "index.js"}


def test_the_same_run_gives_the_same_bytes(scored_run, tmp_path):
    write_viewer(tmp_path / "report", scored_results(tmp_path), count=2, fold=0, color_map="jet")
    for path in (scored_run / "report").rglob("*.*"):
        assert (tmp_path / path.relative_to(scored_run)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "text", ["", "patch2loc.index(", "{}", "patch2loc.index([]);", 'patch2loc.index({"scans": [5]});']
)
def test_a_damaged_index_is_named(tmp_path, text):
    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.js").write_text(text)
    with pytest.raises(InputError, match=r"report/index\.js: .* make it again"):
        server_of(tmp_path, 0)


def test_no_viewer_is_said(tmp_path):
    with pytest.raises(InputError, match="report_page"):
        serve(tmp_path, 0, False)


def test_thumbnails_are_in_radiological_convention(arguments):
    scan = arguments["scan"]
    volume = np.where(brain(), 1.0, 0)
    volume[12:15, 16:20] = 40.0  # right, anterior
    write(scan.volume_path, volume, GRID.affine)
    heatmap = np.where(brain(), 0, np.nan)
    heatmap[5, 4, 6] = 12  # left, posterior, in the slice with the most lesion
    jpeg = thumbnail(scan, heatmap, truth="half", color_map="jet", score_range=(0, 12))
    picture = imread(io.BytesIO(jpeg), format="jpeg")[..., :3] / 255
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


@pytest.mark.parametrize("path", ["/", "/report/index.js", "/report/viewer.html"])
@pytest.mark.parametrize(
    ("site", "destination", "status"),
    [
        ("cross-site", "script", 403),
        ("cross-site", "iframe", 403),
        ("cross-site", "empty", 403),
        ("same-site", "script", 403),  # a server on another port of this machine
        ("cross-site", "document", 200),  # a link that somebody clicked
        ("same-origin", "script", 200),
        ("none", "document", 200),  # an address that somebody typed
    ],
)
def test_a_page_of_another_site_loads_nothing(server, path, site, destination, status):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("GET", path, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Dest": destination})
    response = connection.getresponse()
    response.read()
    assert response.status == status
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'self'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/heatmaps/patch2loc/tumors/fold0/sub%200.nii.gz",
        "/report/../heatmaps/patch2loc/tumors/fold0/sub%200.nii.gz",
        "/report/%2e%2e/heatmaps/patch2loc/tumors/fold0/sub%200.nii.gz",
        "/report/scans/tumors/../../../secret.js",
        "/report/scans/tumors/nobody.js",
        "/report/scans/",
        "/report/",
    ],
)
def test_the_server_gives_report_and_viewer_only(server, path):
    assert answer(server, path)[0] == 404


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /report/%00.js HTTP/1.1",
        b"HEAD /report/%00 HTTP/1.1",
        b"GET /report/scans/%00.js HTTP/1.1",
        b"GET /report/%ed%a0%80.js HTTP/1.1",
        b"GET /report/\xff%zz%.js HTTP/1.1",
        b"GET http://[::1/ HTTP/1.1",
        b"GET //[/report/x HTTP/1.1",
    ],
)
def test_a_path_that_no_file_can_have_is_not_found(server, request_line, capfd):
    host = f"Host: 127.0.0.1:{server.server_port}".encode()
    with socket.create_connection(server.server_address) as connection:
        connection.sendall(b"\r\n".join([request_line, host, b"Connection: close", b"", b""]))
        with connection.makefile("rb") as reply:
            assert reply.readline().split()[1] == b"404"
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("path", ["viewer.js", "none.js", "scans/tumors/sub%203.js", "%00", ""])
def test_a_browser_that_hangs_up_is_no_error(server, path, capfd, monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(
        server,
        "shutdown_request",
        lambda request: (type(server).shutdown_request(server, request), ended.set()),
    )
    request = f"GET /report/{path} HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
    with socket.create_connection(server.server_address) as connection:
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )  # end without a word
        connection.sendall(f"{request}\r\n".encode() if path else request.encode())
    assert ended.wait(30)
    assert "Traceback" not in capfd.readouterr().err
    assert answer(server, "/report/viewer.html")[0] == 200


def test_the_server_makes_the_files_that_the_folder_has_not(server, scored_run):
    for scan in read_index(scored_run / "report")["scans"]:
        status, body = answer(server, f"/report/{scan['file']}")
        assert status == 200
        assert content(body.decode())["subject"] == scan["subject"]


def test_a_taken_port_is_said(server, scored_run):
    with pytest.raises(InputError, match=f"port {server.server_port}"):
        serve(scored_run, server.server_port, False)
