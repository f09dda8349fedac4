"""Layouts of tables as Markdown, LaTeX and HTML, and how numbers are written."""

import numpy as np
import pytest

from patch2loc.tables.formats import escape_latex, to_html, to_latex, to_markdown
from patch2loc.tables.layout import Cell, Emphasis, Layout, interval, number, percent, signed_percent, spread


@pytest.mark.parametrize(
    ("plain", "latex"),
    [
        ("a_b & 5 %", r"a\_b \& 5 \%"),
        ("{x}^~$#", r"\{x\}\textasciicircum{}\textasciitilde{}\$\#"),
        ("\\cmd", r"\textbackslash{}cmd"),
        ("1 ± 2 – 3", r"1 $\pm$ 2 -- 3"),
        ("--cores 8", "-{}-cores 8"),
    ],
)
def test_latex_escapes(plain, latex):
    assert escape_latex(plain) == latex


def test_every_format_escapes_its_own_special_characters():
    layout = Layout(
        number="Table 9",
        title="A|B",
        stub="m",
        groups=[("g<1>", 1)],
        columns=["c_1"],
        rows=[("r*", [Cell("x|y", Emphasis.BEST)])],
    )
    assert "| r\\* | **x\\|y** |" in to_markdown(layout)
    page = to_html(layout)
    assert "g&lt;1&gt;" in page
    assert "<b>x|y</b>" in page
    assert r"c\_1" in to_latex(layout)


def test_a_row_without_cells_is_a_heading():
    layout = Layout(
        number="Table 9",
        title="t",
        stub="m",
        groups=[("g", 2)],
        columns=["a", "b"],
        rows=[("first_part", []), ("  r", [Cell("1"), Cell("2")])],
    )
    assert "| **first\\_part** |  |  |\n| r | 1 | 2 |" in to_markdown(layout)
    assert "\\multicolumn{3}{l}{\\textit{first\\_part}} \\\\\n\\quad r & 1 & 2" in to_latex(layout)
    assert '<tr><th scope="rowgroup" colspan="3">first_part</th></tr>' in to_html(layout)


def test_a_long_latex_table_goes_on_at_a_heading():
    rows = [
        row
        for dataset in range(4)
        for row in [
            (f"dataset {dataset}", []),
            *((f" method {dataset}{n}", [Cell(f"value {dataset}{n}")]) for n in range(19)),
        ]
    ]
    layout = Layout("Table", "Long", "", [("A", 1)], ["b"], rows, [("Scans", [Cell("3")])], "A note.")
    first, second = to_latex(layout).split(r"\end{table}")[:2]
    assert [first.count("value"), second.count("value")] == [38, 38]
    assert r"\textit{dataset 2}" in second
    assert "A note." in first
    assert r"\caption{Long, continued.}" in second
    assert r"\addtocounter{table}{-1}" in second
    assert "Scans" not in first
    assert "Scans" in second


def test_a_long_latex_table_keeps_the_lines_of_a_method_together_and_leaves_room_for_its_note():
    rows = [("part", [])]
    for method in range(30):
        rows += [(f"method {method}", [Cell("1")]), ("  interval", [Cell("2")]), ("  published", [Cell("3")])]
    note = "word " * 200  # 1,000 characters: 12 lines, 4 more than a caption is given
    first, *others = to_latex(Layout("Table", "Long", "", [("A", 1)], ["b"], rows, note=note)).split(
        r"\begin{tabular}"
    )[1:]
    counts = [page.count("published") for page in (first, *others)]
    assert counts == [13, 15, 2]
    assert all(page.count("method") == count for page, count in zip((first, *others), counts, strict=True))
    assert first.index("part") < first.index("method 0")


@pytest.mark.parametrize(
    ("low", "high", "text"), [(0.1, 0.25, "10.0–25.0"), (-0.1, 0.02, "−10.0 to 2.0"), (np.nan, np.nan, "–")]
)
def test_intervals_are_read_as_meant(low, high, text):
    assert interval({"ci_low": low, "ci_high": high}) == text


def test_numbers_that_are_missing_are_dashes():
    assert (percent(0.1234), number(1.25, 0), percent(np.nan), number(np.nan, 3)) == ("12.3", "1", "–", "–")
    assert (number(-1.5, 1), number(-0.01, 1), signed_percent(0.02), signed_percent(-0.02)) == (
        "−1.5",
        "0.0",
        "+2.0",
        "−2.0",
    )
    assert signed_percent(1e-6) == signed_percent(-1e-6) == "0.0"
    assert (spread(0.5, 0.01), spread(0.5, np.nan), spread(np.nan, np.nan)) == ("50.0 ± 1.0", "50.0", "–")
