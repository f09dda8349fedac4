import base64
import io
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import chromium
from matplotlib.image import imread, imsave
from scored_results import scored_results

from patch2loc.errors import InputError
from patch2loc.report.page import MOST_SCANS, ReportFigure, ScanQuality, write_report
from patch2loc.report.viewer.folder import read_index, write_viewer

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results with a viewer, and without a report."""
    folder = tmp_path_factory.mktemp("results")
    write_viewer(folder / "report", scored_results(folder), count=2, fold=0, color_map="jet")
    return folder


@pytest.fixture
def arguments(folder, picture):
    metrics = pd.DataFrame(
        {
            "method": ["patch2loc", "patch2loc", "patch2loc"],
            "dataset": "tumors",
            "fold": ["0", "0", "1"],
            "subject": ["sub 0", "sub 1", "sub 1"],
            "auprc": [0.12345, 0.5, np.nan],
            "auroc": np.nan,
            "lesion_ml": [100.0, 2.0, 2.0],
            "lesion_ml_outside": [4.0, 0.0, 0.0],
            "seconds": [12.5, 1234.0, 1235.2],
        }
    )
    datasets = [
        {
            "name": name,
            "title": title,
            "modality": "T1",
            "role": role,
            "simulated": True,
            "published_name": None,
        }
        for name, title, role in [
            ("tumors", "Tumors & more", "lesion"),
            ("healthy", "Healthy", "healthy"),
            ("own_scans", "Own scans", "unlabeled"),
        ]
    ]
    return {
        "title": "Patch2Loc <demo>",
        "tables": [
            f"<table><tbody><tr><td>Table {number} here</td></tr></tbody></table>" for number in (1, 2)
        ],
        "metrics": metrics,
        "figures": [
            ReportFigure("Figure 3", "Densities & counts.", picture),
            ReportFigure("Figure 4", "Slices.", picture, main=True),
        ],
        "learning_curves": [],
        "quality": [
            ScanQuality("tumors", "sub 0", picture),
            ScanQuality("tumors", "sub 1", picture, "lesion outside the grid"),
            ScanQuality("tumors", "sub 9", picture.with_name("none.png"), "no brain found", left_out=True),
        ],
        "run": {"Folds": 1, "Grid": "96 x 96 x 50"},
        "datasets": datasets,
        "provenance": {"Version": "0.1.0", "Packages": {"numpy": "2", "torch": {"device": "<cpu>"}}},
        "viewer": folder / "report",
    }


def written(tmp_path, arguments):
    path = tmp_path / "report.html"
    write_report(path, **arguments)
    return path.read_text()


def part(page, name):
    """A section of the page, from its heading to the next one."""
    return re.search(rf'<h[23] id="{name}">(.*?)(?=<h[23] id=|$)', page, re.DOTALL)[1]


def test_report_is_one_file_that_asks_nothing_of_a_network(tmp_path, arguments):
    page = re.sub(r"base64,[^\"]*", "base64,", written(tmp_path, arguments))
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<link|<iframe", page)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith(("data:image/", "#", "report/viewer.html#scan=")) for source in sources)
    assert "default-src 'none'" in page


def test_every_link_inside_the_page_has_its_target(tmp_path, arguments):
    page = written(tmp_path, arguments)
    targets = set(re.findall(r'href="#([^"]*)"', page))
    assert targets == set(re.findall(r'<h[23] id="([^"]*)"', page))


def test_tags_balance(tmp_path, arguments):
    parser = Balance()
    parser.feed(written(tmp_path, arguments))
    assert parser.open == []


def test_figures_are_embedded_unchanged(tmp_path, arguments, picture):
    page = written(tmp_path, arguments)
    embedded = re.findall(r"data:image/png;base64,([^\"]*)", page)
    assert [base64.b64decode(data) for data in embedded] == [picture.read_bytes()] * 2
    assert "<b>Figure 3.</b> Densities &amp; counts." in page


def test_more_figures_have_a_section_of_their_own_where_there_are_any(tmp_path, arguments, picture):
    assert "more-figures" not in written(tmp_path, arguments)
    arguments["more_figures"] = [ReportFigure("Curves", "Precision & recall.", picture)]
    page = written(tmp_path, arguments)
    assert "<b>Curves.</b> Precision &amp; recall." in part(page, "more-figures")
    assert "Curves" not in part(page, "figures")
    assert '<a href="#more-figures">' in page


def test_the_summary_has_main_table_main_figure_and_warnings(tmp_path, arguments):
    page = written(tmp_path, arguments)
    summary = part(page, "summary")
    assert "Table 1 here" in summary
    assert "Table 2 here" in part(page, "tables")
    assert "<b>Figure 4.</b>" in summary
    assert "<b>Figure 3.</b>" in part(page, "figures")
    warnings = re.findall("<li>(.*?)</li>", summary)
    assert len(warnings) == 2
    assert warnings[0].startswith("1 of 3 scans: could not be preprocessed")
    assert warnings[1].startswith("1 of 3 scans: flagged")


def test_lesions_that_no_method_can_find_are_warned_of(tmp_path, arguments):
    arguments["metrics"].loc[0, "lesion_ml_outside"] = 51.0
    summary = part(written(tmp_path, arguments), "summary")
    assert "Tumors &amp; more: 50% of the lesion volume is outside brain mask or grid" in summary


def test_subjects_are_averaged_over_folds_and_linked_to_the_viewer(tmp_path, arguments):
    section = part(written(tmp_path, arguments), "tumors")
    assert '<td data-key="0.5">0.500</td>' in section
    assert '<td data-key="1234.6">1235</td>' in section
    assert "AUROC" not in section  # nobody has a value
    assert (
        '<td data-key="sub 0"><a href="report/viewer.html#scan=tumors/sub%200&amp;method=patch2loc">sub 0</a></td>'
        in section
    )
    assert f'<td data-key="{(0.12345 + 0.5) / 2!r}">0.312</td>' in section  # the mean over subjects


def test_scans_worth_a_look_are_shown_with_the_reason(tmp_path, arguments, folder):
    section = part(written(tmp_path, arguments), "tumors")
    entries = [
        entry
        for entry in read_index(folder / "report")["scans"]
        if entry["dataset"] == "tumors" and entry["why"]
    ]
    assert len(re.findall("<figure", section)) == len(entries) == 2
    for entry in entries:
        assert f"{entry['subject']}<br>{entry['why']}, AUPRC {entry['auprc']:.3f}" in section


def test_own_scans_are_ranked_by_score(tmp_path, arguments, folder):
    section = part(written(tmp_path, arguments), "own_scans")
    scores = {
        (entry["dataset"], entry["subject"]): entry["score"]
        for entry in read_index(folder / "report")["scans"]
    }
    own = {subject: score for (dataset, subject), score in scores.items() if dataset == "own_scans"}
    healthy = [score for (dataset, _), score in scores.items() if dataset == "healthy"]
    ranked = sorted(own, key=own.get, reverse=True)
    assert re.findall(r'scan=own_scans/[^"]*">(sub \d)</a>', section) == ranked
    above = [sum(own[subject] > score for score in healthy) for subject in ranked]
    assert re.findall(r"<td>(\d of 3)</td>", section) == [f"{count} of 3" for count in above]
    assert section.count('class="thumbnail"') == 2


def test_the_page_opens_without_a_complaint_and_leads_to_the_viewer(folder, tmp_path_factory, arguments):
    write_report(folder / "report.html", **arguments)
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        browser.open((folder / "report.html").as_uri())
        order = (
            "[...document.querySelectorAll('#tumors ~ details tbody tr')].map(row => row.cells[1].innerText)"
        )
        before = browser.evaluate(order)
        browser.evaluate("document.querySelectorAll('#tumors ~ details th')[1].click()")
        browser.evaluate("document.querySelectorAll('#tumors ~ details th')[1].click()")
        assert browser.evaluate(order) == before[::-1]
        assert browser.complaints == []
        assert browser.requests == [(folder / "report.html").as_uri()]
        browser.screenshot(Path(os.environ.get("SCREENSHOTS", folder)) / "report.png")
        browser.evaluate("document.querySelector('#tumors ~ .sheet a').click()")
        browser.wait_for("document.body && document.body.dataset.state === 'ready'")
        assert browser.evaluate("view.scan.dataset") == "tumors"
        assert browser.complaints == []
        assert all(request.startswith(folder.as_uri()) for request in browser.requests)


def test_numbers_are_rounded_for_reading_and_sorted_exactly(tmp_path, arguments):
    page = written(tmp_path, arguments)
    assert '<td data-key="0.12345">0.123</td>' in page
    assert ">AUPRC</th>" in page
    arguments["metrics"].loc[0, "auprc"] = np.nan
    assert '<td data-key=""></td>' in written(tmp_path, arguments)


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
        dataset | {"simulated": flag} for dataset, flag in zip(arguments["datasets"], flags, strict=False)
    ]
    page = written(tmp_path, arguments)
    assert ('class="banner"' in page) == (banner is not None)
    if banner:
        assert banner in page


def test_flagged_scans_come_first_and_all_are_counted(tmp_path, arguments):
    picture = tmp_path / "small.png"
    imsave(picture, np.zeros((20, 40, 3)))
    arguments["quality"] = [
        ScanQuality("d", f"sub-{number}", picture, "bad" if number >= 70 else "") for number in range(71)
    ]
    arguments["quality"].append(ScanQuality("d", "sub-71", Path("none.png"), "no brain found", left_out=True))
    page = written(tmp_path, arguments)
    text = re.sub("<.*?>", "", page)
    assert f"72 scans: 1 left out of all tables and figures, 1 flagged; {MOST_SCANS} are shown" in text
    page = part(page, "quality")
    assert page.index("no brain found") < page.index("data:image/jpeg")
    shown = re.findall(r'data:image/jpeg;base64,[^"]*" alt="d, (sub-\d+)"', page)
    assert shown == ["sub-70"] + [f"sub-{number}" for number in range(MOST_SCANS - 2)]


def test_quality_pictures_are_reduced_and_keep_their_colors(tmp_path, arguments):
    page = written(tmp_path, arguments)
    embedded = re.findall(r"data:image/jpeg;base64,([^\"]*)", part(page, "quality"))[0]
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
    with pytest.raises(InputError, match=r"index\.js"):
        written(tmp_path, arguments | {"viewer": tmp_path})
    assert not (tmp_path / "report.html").exists()
