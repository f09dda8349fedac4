import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread, imsave

from patch2loc.errors import InputError
from patch2loc.report import MOST_SCANS, ReportFigure, ScanQuality, write_report

VOID = {"meta", "img", "br"}


class Balance(HTMLParser):
    """Fails on tags that are closed in the wrong order or never."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    imsave(path, np.tile(np.array([0.0, 0.0, 0.5]), (500, 1000, 1)))
    return path


@pytest.fixture
def arguments(picture):
    metrics = pd.DataFrame(
        {
            "method": ["patch2loc", "patch2loc"],
            "dataset": "phantom_ms",
            "fold": 0,
            "subject": ["sub-1", "sub-2"],
            "auprc": [0.12345, np.nan],
            "seconds": [12.5, 1234.6],
        }
    )
    return {
        "title": "Patch2Loc <demo>",
        "tables": ["<table><tbody><tr><td>Table 1 here</td></tr></tbody></table>"],
        "metrics": metrics,
        "figures": [ReportFigure("Figure 3", "Densities & counts.", picture)],
        "learning_curves": [],
        "quality": [
            ScanQuality("phantom_ms", "sub-1", picture),
            ScanQuality("phantom_ms", "sub-2", picture, "lesion outside the grid"),
            ScanQuality(
                "phantom_ms", "sub-3", picture.with_name("none.png"), "no brain found", left_out=True
            ),
        ],
        "run": {"Folds": 1, "Grid": "96 x 96 x 50"},
        "datasets": [{"dataset": "phantom_ms", "modality": "T2", "simulated": True, "published_name": None}],
        "provenance": {"Version": "0.1.0", "Packages": {"numpy": "2", "torch": {"device": "<cpu>"}}},
    }


def written(tmp_path, arguments):
    path = tmp_path / "report.html"
    write_report(path, **arguments)
    return path.read_text()


def test_report_is_one_file_that_asks_nothing_of_a_network(tmp_path, arguments):
    page = written(tmp_path, arguments)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<link|<iframe", page)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith(("data:image/", "#")) for source in sources)


def test_every_link_inside_the_page_has_its_target(tmp_path, arguments):
    page = written(tmp_path, arguments)
    targets = set(re.findall(r'href="#([^"]*)"', page))
    assert targets == set(re.findall(r'<h2 id="([^"]*)"', page))


def test_tags_balance(tmp_path, arguments):
    parser = Balance()
    parser.feed(written(tmp_path, arguments))
    assert parser.open == []


def test_figures_are_embedded_unchanged(tmp_path, arguments, picture):
    page = written(tmp_path, arguments)
    (embedded,) = re.findall(r"data:image/png;base64,([^\"]*)", page)
    assert base64.b64decode(embedded) == picture.read_bytes()
    assert "<b>Figure 3.</b> Densities &amp; counts." in page


def test_numbers_are_rounded_for_reading_and_sorted_exactly(tmp_path, arguments):
    page = written(tmp_path, arguments)
    assert '<td data-key="0.12345">0.123</td>' in page
    assert '<td data-key=""></td>' in page
    assert '<td data-key="1234.6">1235</td>' in page
    assert ">AUPRC</th>" in page


def test_text_is_escaped_and_tables_are_not(tmp_path, arguments):
    page = written(tmp_path, arguments)
    assert "<h1>Patch2Loc &lt;demo&gt;</h1>" in page
    assert "device: &lt;cpu&gt;" in page
    assert "<td>Table 1 here</td>" in page


@pytest.mark.parametrize(
    ("flags", "banner"),
    [([True], "All scans of this run are simulated"), ([True, False], "Some datasets"), ([False], None)],
)
def test_banner_says_what_is_simulated(tmp_path, arguments, flags, banner):
    arguments["datasets"] = [
        {"dataset": f"d{number}", "simulated": flag} for number, flag in enumerate(flags)
    ]
    page = written(tmp_path, arguments)
    assert ('class="banner"' in page) == (banner is not None)
    if banner:
        assert banner in page


def test_flagged_scans_come_first_and_all_are_counted(tmp_path, arguments, picture):
    arguments["quality"] = [
        ScanQuality("d", f"sub-{number}", picture, "bad" if number >= 70 else "") for number in range(71)
    ]
    arguments["quality"].append(ScanQuality("d", "sub-71", Path("none.png"), "no brain found", left_out=True))
    page = written(tmp_path, arguments)
    text = re.sub("<.*?>", "", page)
    assert f"72 scans: 1 left out, which no table or figure holds, 1 flagged; {MOST_SCANS} are shown" in text
    assert page.index("no brain found") < page.index("data:image/jpeg")
    shown = re.findall(r'data:image/jpeg;base64,[^"]*" alt="d, (sub-\d+)"', page)
    assert shown == ["sub-70"] + [f"sub-{number}" for number in range(MOST_SCANS - 2)]


def test_quality_pictures_are_reduced_and_keep_their_colours(tmp_path, arguments):
    page = written(tmp_path, arguments)
    embedded = re.findall(r"data:image/jpeg;base64,([^\"]*)", page)[0]
    shown = imread(io.BytesIO(base64.b64decode(embedded)), format="jpeg")
    assert shown.shape == (250, 500, 3)
    assert shown.reshape(-1, 3).mean(axis=0) == pytest.approx([0, 0, 127], abs=3)


def test_the_same_run_gives_the_same_bytes(tmp_path, arguments):
    assert written(tmp_path, arguments) == written(tmp_path, arguments)


def test_missing_and_broken_pictures_are_named(tmp_path, arguments):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    arguments["quality"] = [ScanQuality("d", "s", broken)]
    with pytest.raises(InputError, match=r"broken\.png"):
        written(tmp_path, arguments)
    arguments["figures"] = [ReportFigure("f", "c", tmp_path / "none.png")]
    with pytest.raises(InputError, match=r"none\.png"):
        written(tmp_path, arguments)
    assert not (tmp_path / "report.html").exists()
