"""Numbers on pages are those of the files that they are read from, and of the paper's Table 1."""

import csv
import re
from functools import cache

import numbers_on_pages
import pytest
import yaml
from numbers_on_pages import BRACED, NUMBER
from repository_paths import ROOT

from patch2loc.configuration.method_registry import METHODS
from patch2loc.method_interface import declaration

PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
QUOTE = re.compile(r"Dice ([\d.]+) and AUPRC ([\d.]+) \((\w+), (\w+)\)")
TWO_DECIMALS = re.compile(r"\b\d+\.\d\d\b")  # as Table 1 has them


def printed_numbers():
    """Mean by row, dataset and metric, as it is printed, percent."""
    with (ROOT / "config" / "published" / "table1.csv").open(encoding="utf-8") as file:
        return {
            (row["method"], row["dataset"], row["metric"]): row["mean_percent"]
            for row in csv.DictReader(file)
        }


def misquoted(text):
    """Numbers in paragraphs and rows about Table 1 that it does not print, or that cannot be checked by their form."""
    printed, wrong = printed_numbers(), []
    for paragraph in re.split(r"\n\s*\n|\n(?=\|)", text):
        line = " ".join(paragraph.split())
        if "Table 1" not in line:
            continue
        for dice, auprc, row, dataset in QUOTE.findall(line):
            expected = tuple(printed.get((row, dataset, metric)) for metric in ("dice", "auprc"))
            if (dice, auprc) != expected:
                wrong.append(f"{row}, {dataset}: {dice} and {auprc}, printed: {expected}")
        wrong += [
            f"{number} is not quoted as the others are"
            for number in TWO_DECIMALS.findall(QUOTE.sub("", line))
        ]
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_numbers_of_table_1_are_quoted_as_it_prints_them(page):
    assert misquoted(page.read_text(encoding="utf-8")) == []


def test_wrong_quotes_are_noticed():
    quoted = [QUOTE.findall(" ".join(page.read_text(encoding="utf-8").split())) for page in PAGES]
    assert sum(map(len, quoted)) >= 5
    right = "Table 1 prints Dice 16.75 and\nAUPRC 9.98 (RA, BraTS21).\n\nElsewhere it was 0.12."
    assert misquoted(right) == []
    for wrong in (
        right.replace("BraTS21", "MSLUB"),
        right.replace("16.75 and\nAUPRC 9.98", "9.98 and\nAUPRC 16.75"),
        right.replace("(RA, BraTS21)", "(RA)"),
        "Table 1 prints 16.75 (BraTS21) and 9.98 (MSLUB).",
    ):
        assert misquoted(wrong) != [], wrong


def test_every_row_of_table_1_has_its_deviations_on_the_page_of_deviations():
    text = (ROOT / "docs" / "explanation" / "deviations.md").read_text(encoding="utf-8")
    linked = re.findall(r"\| \[(\w+)\]\(\.\./reference/methods/\1\.md\) \|$", text, re.MULTILINE)
    rows = [name for name in METHODS if declaration(name).role == "table1" and name != "patch2loc"]
    assert sorted(linked) == sorted(rows)
    assert len(rows) == 11


TABLE = yaml.safe_load((ROOT / "docs/numbers_on_pages.yaml").read_text(encoding="utf-8"))
ENTRIES = [(page, entry) for page, entries in TABLE.items() for entry in entries]
# Pages on which every number is in the table; on the others it is every number with a unit of a measurement.
WHOLE = [page for page in TABLE if not page.startswith("docs/")]
UNIT = re.compile(r"\d[\d.,]* (?:GB|MB|ml|seconds?|minutes?|hours?|%)(?!\w)")
# Numbers that nobody measured: names, versions, settings that the reader writes, and what a word would do for.
NAMES = re.compile(
    r"\bT[12]\b|\bBraTS\d*_?\d*|TCGA-FG-\d+|patient\d+|ds0\d+|SRI24|t1-2mm|MNI152|Colin27|Kirby21|ICBM152 2009a"
    r"|Figures? \d+(?: to \d+)?|Tables? \d+(?: and \d+)?|Python 3\.\d+|x86-64|CC BY-SA 3\.0|CC BY 4\.0|PDDL 1\.0|CC0"
    r"|arXiv:[\d.]+|AISTATS 20\d\d|\(?Brockmeier,? 20\d\d|rarity \d|\d mm|3 T\b|3D|epsilon \d"
)


def unquoted(text):
    """A page without targets of links and signs of quotation."""
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"^> ", "", text, flags=re.MULTILINE))


def plain(page):
    """Prose and tables of a page on one line, without code blocks, headings, quotes and targets of links."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return " ".join(unquoted(re.sub(r"^#.*$", "", text, flags=re.MULTILINE)).split())


@cache
def names():
    return numbers_on_pages.names()


def values(entry):
    """Values of the entry's expressions."""
    return eval(f"[{entry['values']}]", dict(names()))


def decimals(number):
    return len(number.partition(".")[2])


@pytest.mark.parametrize(
    ("page", "entry"), ENTRIES, ids=[f"{page}-{entry['text'][:40]}" for page, entry in ENTRIES]
)
def test_a_printed_number_is_that_of_its_file(page, entry):
    text = BRACED.sub(lambda match: match[1], entry["text"])
    prose = " ".join(unquoted((ROOT / page).read_text(encoding="utf-8")).split())
    assert " ".join(text.split()) in prose
    if "by_hand" in entry:
        assert len(entry["by_hand"]) > 10
        return
    printed, computed = BRACED.findall(entry["text"]), values(entry)
    assert len(printed) == len(computed)
    for number, value in zip(printed, computed, strict=True):
        stated = float(number.replace(",", ""))
        if entry.get("about"):
            assert stated / 1.5 <= float(value) <= stated * 1.5, f"{number} stated, {value} computed"
        else:
            assert stated == pytest.approx(round(float(value), decimals(number))), (
                f"{number} stated, {value} computed"
            )


def unlisted(page, text=None):
    """Numbers of the page that its entries do not have."""
    rest = plain(page) if text is None else text
    for entry in TABLE[page]:
        listed = " ".join(
            re.sub(r"\]\([^)]*\)", "]", BRACED.sub(lambda match: match[1], entry["text"])).split()
        )
        rest = rest.replace(listed, " ")
    card = names()["card"]
    for path in (card.README, card.CARD):
        if path == ROOT / page:
            for table in card.tables(path):
                rest = rest.replace(" ".join(table.split()), " ")
    rest = NAMES.sub(" ", re.sub(r"`[^`]+`", "`", rest))
    return NUMBER.findall(rest) if page in WHOLE else UNIT.findall(rest)


@pytest.mark.parametrize("page", TABLE)
def test_every_number_of_a_page_is_in_the_table(page):
    assert unlisted(page) == []


def test_a_number_without_an_entry_is_noticed():
    assert unlisted("README.md", "It marks 7.5 ml of T1 scans in 20 people.") == ["7.5", "20"]
    assert unlisted("docs/how-to/install.md", "It takes 9 GB and two of 3 ways.") == ["9 GB"]


@pytest.mark.parametrize("page", ["README", "CARD"])
def test_measured_tables_are_those_of_the_measurements(page):
    card = names()["card"]
    path = getattr(card, page)
    text = path.read_text(encoding="utf-8")
    assert card.with_tables(text, path) == text, "run python benchmarks/card_tables.py"
    table = card.tables(path)[0]
    assert card.with_tables(text.replace(table, table.replace(" 0.", " 9.")), path) == text
