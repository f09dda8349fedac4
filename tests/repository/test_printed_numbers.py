"""Numbers that pages quote from the paper's Table 1 are those that it prints; and every row's deviations are listed."""

import csv
import re

import pytest
from repository_paths import ROOT

from patch2loc.configuration.method_registry import METHODS, declaration

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
