import base64
import gzip
import json
import os
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from answers import GRID, HOSTILE, LONG, THRESHOLD, healthy_answer, lesion_answer, write_answer

from patch2loc.disclaimer import DISCLAIMER
from patch2loc.errors import InputError
from patch2loc.files import write_json
from patch2loc.own_scan.page import write_index, write_page
from patch2loc.own_scan.wording import SIMULATED

VOID = ("meta", "link", "input", "br", "img", "line", "path", "circle")
ADDRESSES = ("src", "href", "action", "data", "poster", "srcset", "xlink:href", "formaction", "ping")


class Page(HTMLParser):
    """What a browser reads: text by element, addresses, scripts, policy."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.addresses, self.scripts, self.policy, self.attributes = (
            [],
            [],
            [],
            [],
            "",
            [],
        )
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.attributes.append((tag, found))
        self.addresses += [found[name] for name in ADDRESSES if found.get(name)]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]
        if tag == "script":
            self.scripts.append([found.get("type"), found.get("id"), ""])
        if tag not in VOID:
            self.open.append((tag, found.get("class"), found.get("id")))

    def handle_startendtag(self, tag, attributes):
        assert tag in VOID
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "script":
            self.scripts[-1][2] += data
        elif self.open and self.open[-1][0] != "style":
            self.texts.append((data.strip(), tuple(self.open)))

    def within(self, tag=None, kind=None):
        """Texts inside an element of a tag or class."""
        return [
            text
            for text, around in self.texts
            if text and any((tag in (None, name)) and (kind in (None, each)) for name, each, _ in around)
        ]

    def data(self, identifier):
        (found,) = (text for _, name, text in self.scripts if name == identifier)
        return json.loads(found)


@pytest.fixture
def page(tmp_path):
    def written(answer):
        write_page(tmp_path / "report.html", answer)
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    return written


def levels(packed, shape):
    low, high = np.frombuffer(gzip.decompress(base64.b64decode(packed)), np.uint8).reshape(2, -1).astype(int)
    found = low + 256 * high
    return found if shape is None else found.reshape(shape, order="F")


def test_the_answer_is_on_top_with_its_warnings(page):
    answer = lesion_answer(warnings=["The scan is a T2 scan.", "Few healthy scans."])
    found = page(answer)
    texts = [text for text, _ in found.texts if text]
    assert found.within(kind="warnings") == [
        "2 warnings: read these first",
        *(w.message for w in answer.warnings),
    ]
    assert found.within(kind="sentence") == [answer.sentence]
    assert texts.index("Few healthy scans.") < texts.index(answer.sentence) < texts.index("At the crosshair")
    assert texts.index(answer.title) < texts.index("The scan is a T2 scan.")
    assert sum(text.count(DISCLAIMER) for text in texts) == 1
    assert SIMULATED not in texts


def test_without_warnings_there_is_no_box(page):
    found = page(healthy_answer())
    assert found.within(kind="warnings") == []
    assert found.within(tag="td") == []
    assert any(text.startswith("No candidate") for text in found.within(tag="section"))


def test_a_scan_that_cannot_be_judged_shows_no_volume_and_no_threshold(page):
    found = page(healthy_answer(judged=False, sentence="This scan cannot be judged."))
    assert ("section", {"id": "answer", "class": "not-judged"}) in found.attributes
    answer = [text for text, around in found.texts if ("section", "not-judged", "answer") in around]
    assert not [text for text in answer if re.search("threshold,|[0-9] ml", text)]
    assert answer.count("Brain: found by the atlas.") == 1
    hidden = [each.get("id") for _, each in found.attributes if each.get("class") == "volume"]
    assert "curve" in hidden
    assert found.within(tag="dt", kind="volume") == ["volume above threshold", "of the brain"]


def test_a_simulated_model_is_said_first(page):
    found = page(lesion_answer(simulated=True, warnings=["One."]))
    texts = [text for text, _ in found.texts if text]
    assert found.within(kind="simulated")[0] == SIMULATED
    assert texts.index(SIMULATED) < texts.index("One.")


def test_rows_of_candidates_lead_to_their_places(page):
    answer = lesion_answer()
    found = page(answer)
    links = [each["href"] for tag, each in found.attributes if tag == "a" and each["href"].startswith("#at=")]
    assert len(links) == len(answer.candidates) == 2
    for link, label in zip(links, answer.candidates["label"], strict=True):
        assert answer.labels[tuple(int(index) for index in link.removeprefix("#at=").split(","))] == label
    first = found.within(tag="tr")
    assert f"{answer.candidates['volume_ml'][0]:.1f} ml" in first
    assert "left, white matter" in first
    assert "1 in 320,000" in first  # 10**5.5


def test_the_page_asks_for_nothing(page):
    answer = lesion_answer(title=f"{HOSTILE} https://elsewhere.org/x.js", warnings=[HOSTILE])
    found = page(answer)
    assert all(address.startswith("#") for address in found.addresses)
    assert "default-src 'none'" in found.policy
    assert "unsafe" not in found.policy
    assert "http" not in found.policy
    assert len(re.findall(r"'sha256-", found.policy)) == 4  # three scripts and the style


def test_names_of_files_are_text_and_nothing_else(page):
    answer = lesion_answer(title=HOSTILE, sentence=HOSTILE, warnings=[HOSTILE])
    found, plain = page(answer), page(lesion_answer(warnings=["-"]))
    assert [kind for kind, *_ in found.scripts] == [kind for kind, *_ in plain.scripts]
    assert [tag for tag, _ in found.attributes] == [tag for tag, _ in plain.attributes]
    assert found.within(tag="h1") == found.within(kind="sentence") == [HOSTILE]
    assert found.data("index-of-page")["scans"][0]["title"] == HOSTILE


def test_the_viewer_has_the_scan_its_maps_and_the_candidates(page):
    answer = lesion_answer()
    maps = {"joined": answer.rarity, "patch2loc": answer.rarity / 2, "zscore": answer.rarity / 3}
    found = page(lesion_answer(maps=maps))
    assert found.data("index-of-page")["methods"] == list(maps)
    assert found.data("index-of-page")["labels"] == ["Patch2Loc and z-score joined", "Patch2Loc", "z-score"]
    scan = found.data("scan-of-page")
    assert scan["truth"] is False
    assert np.array_equal(levels(scan["labels"], GRID.shape), answer.labels)
    assert answer.labels[tuple(scan["at"])] == 1
    for name, rarity in maps.items():
        method = scan["methods"][name]
        assert method["anchor"] == THRESHOLD
        assert method["rarity"]
        assert method["range"] == [2, 5]
        stored = method["anchor"] + method["step"] * (method["first"] + levels(method["levels"], None) - 1)
        below = rarity.ravel("F")[answer.mask.ravel("F")] - stored
        assert below.min() >= 0
        assert below.max() < method["step"] * 1.001


def test_a_page_of_one_map_has_that_one(page):
    assert page(lesion_answer(map_name="zscore")).data("index-of-page")["methods"] == ["zscore"]


def test_the_index_ranks_the_scans(tmp_path):
    write_answer(tmp_path / "b", healthy_answer(), percentile=20.0)
    write_answer(tmp_path / "a", lesion_answer(warnings=["A T2 scan.", HOSTILE]), percentile=95.0)
    write_answer(tmp_path / "no letters #1", lesion_answer(), percentile=95.0, abnormal_ml=1000)
    write_json(tmp_path / "scored/summary.json", {"method": "patch2loc"})  # of `score`: no answer
    write_index(tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    found = Page(text)
    links = [each["href"] for tag, each in found.attributes if tag == "a"]
    assert links[::2] == links[1::2] == ["no%20letters%20%231/report.html", "a/report.html", "b/report.html"]
    assert found.within(kind="warnings") == ["A T2 scan.", HOSTILE]
    pictures = [each["src"] for tag, each in found.attributes if tag == "img"]
    assert len(set(pictures)) >= 2
    assert all(address.startswith("data:image/jpeg;base64,") for address in pictures)
    assert set(found.addresses) == {*links, *pictures}
    assert "unsafe" not in found.policy
    assert found.scripts == []


def damaged(folder, damage):
    """Damage a result of detect in a folder."""
    write_answer(folder, healthy_answer())
    path, content = damage
    if content is None:
        (folder / path).unlink()
    else:
        (folder / path).write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        ("summary.json", b""),
        ("summary.json", b'{"answer": "x"'),
        ("summary.json", b"[]"),
        ("summary.json", b'{"answer": "of another program"}'),
        ("summary.json", b"[" * 200_000),
        ("preprocessed/T1.nii.gz", None),
        ("heatmap_atlas.nii.gz", b"cut"),
    ],
)
def test_the_index_passes_over_damaged_results_and_names_them(tmp_path, damage):
    write_answer(tmp_path / "a", healthy_answer())
    damaged(tmp_path / "b", damage)
    notices = []
    write_index(tmp_path, notify=notices.append)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "a/report.html" in text
    assert "b/report.html" not in text
    (notice,) = notices
    assert notice.startswith(str(tmp_path / "b"))
    assert notice.endswith("it is left out of index.html")


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_the_index_links_to_names_that_are_not_utf8(tmp_path):
    write_answer(tmp_path / os.fsdecode(b"sub\xe9"), healthy_answer())
    write_index(tmp_path)
    assert 'href="sub%E9/report.html"' in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_an_index_of_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"summary\.json"):
        write_index(tmp_path)


def test_long_names_are_whole(page):
    assert page(lesion_answer(title=LONG)).within(tag="h1") == [LONG]
