"""A table layout as Markdown, LaTeX (booktabs) and HTML."""

import html
from pathlib import Path

import pandas as pd

from patch2loc.files import write_csv, write_text
from patch2loc.tables.layout import Emphasis, Layout, Row

PAGE_ROWS = 45  # rows that a page of LaTeX holds, with a caption of CAPTION_LINES
CAPTION_LINES = 8
LINE = 80  # characters
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "–": "--",
    "−": "$-$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "ρ": r"$\rho$",
}


def to_markdown(layout: Layout) -> str:
    """The table as GitHub Markdown; each column header repeats its group."""
    group_of = [label for label, span in layout.groups for _ in range(span)]
    headers = [f"{group}: {column}" for group, column in zip(group_of, layout.columns, strict=True)]
    lines = [
        f"**{layout.number}: {_markdown_text(layout.title)}**",
        "",
        _markdown_row([_markdown_text(text) for text in [layout.stub, *headers]]),
        _markdown_row([":--", *["--:"] * len(headers)]),
    ]
    marks = {Emphasis.NONE: "{}", Emphasis.BEST: "**{}**", Emphasis.SECOND: "<u>{}</u>"}
    for label, cells in layout.rows + layout.footer:
        texts = [marks[cell.emphasis].format(_markdown_text(cell.text)) for cell in cells]
        name = _markdown_text(label.strip())
        lines.append(_markdown_row([name, *texts] if cells else [f"**{name}**", *[""] * len(headers)]))
    return "\n".join([*lines, "", layout.note]).rstrip() + "\n"


def to_latex(layout: Layout) -> str:
    """The table as LaTeX table environments, one per page; needs the packages booktabs and graphicx.

    A table with more rows than a page holds continues in another environment, which starts at a heading.
    """
    pages = _pages(layout.rows, PAGE_ROWS - max(0, len(layout.note) // LINE - CAPTION_LINES))
    lines = [r"% needs \usepackage{booktabs,graphicx}"]
    for number, rows in enumerate(pages):
        caption = f"{layout.title}. {layout.note}" if number == 0 else f"{layout.title}, continued."
        lines += [
            r"\begin{table}",
            *([r"\addtocounter{table}{-1}"] if number else []),
            r"\centering",
            rf"\caption{{{escape_latex(caption)}}}",
            r"\medskip",
            *_latex_tabular(layout, [rows, layout.footer if number == len(pages) - 1 else []]),
            r"\end{table}",
        ]
    return "\n".join(lines) + "\n"


def _pages(rows: list[Row], first_page: int) -> list[list[Row]]:
    """Rows in parts of at most PAGE_ROWS, `first_page` in the first, where headings and subordinate rows allow it.

    A part after the first starts with a heading or with a row that is not subordinate.
    """
    pages: list[list[Row]] = [[]]
    for group in _kept_together(rows):
        if pages[-1] and len(pages[-1]) + len(group) > (PAGE_ROWS if len(pages) > 1 else first_page):
            pages.append([])
        pages[-1] += group
    return pages


def _kept_together(rows: list[Row]) -> list[list[Row]]:
    """Rows with those that are subordinate to them; a heading with the group that follows it."""
    groups: list[list[Row]] = []
    for label, cells in rows:
        follows_heading = bool(groups) and not groups[-1][-1][1]
        if groups and (label.startswith(" ") or follows_heading):
            groups[-1].append((label, cells))
        else:
            groups.append([(label, cells)])
    return groups


def _latex_tabular(layout: Layout, parts: list[list[Row]]) -> list[str]:
    """Lines of a tabular that is at most as wide as the page, its parts set off by rules."""
    marks = {Emphasis.NONE: "{}", Emphasis.BEST: r"\textbf{{{}}}", Emphasis.SECOND: r"\underline{{{}}}"}
    lines = [
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * len(layout.columns)}}}",
        r"\toprule",
    ]
    spans = [rf"\multicolumn{{{span}}}{{c}}{{{escape_latex(label)}}}" for label, span in layout.groups]
    lines.append(" & ".join(["", *spans]) + r" \\")
    start = 2
    for _, span in layout.groups:
        lines.append(rf"\cmidrule(lr){{{start}-{start + span - 1}}}")
        start += span
    lines.append(" & ".join(escape_latex(text) for text in [layout.stub, *layout.columns]) + r" \\")
    for rows in filter(None, parts):
        lines.append(r"\midrule")
        for label, cells in rows:
            if not cells:
                heading = rf"\textit{{{escape_latex(label)}}}"
                lines.append(rf"\multicolumn{{{len(layout.columns) + 1}}}{{l}}{{{heading}}} \\")
                continue
            texts = [marks[cell.emphasis].format(escape_latex(cell.text)) for cell in cells]
            indent = r"\quad " if label.startswith(" ") else ""
            lines.append(" & ".join([indent + escape_latex(label.strip()), *texts]) + r" \\")
    return [*lines, r"\bottomrule", r"\end{tabular}}"]


def to_html(layout: Layout) -> str:
    """The table as an HTML fragment with a caption; emphasis as <b> and <u>."""
    marks = {Emphasis.NONE: "{}", Emphasis.BEST: "<b>{}</b>", Emphasis.SECOND: "<u>{}</u>"}
    groups = "".join(
        f'<th scope="colgroup" colspan="{span}">{html.escape(label)}</th>' for label, span in layout.groups
    )
    columns = "".join(f'<th scope="col">{html.escape(label)}</th>' for label in layout.columns)
    parts = [
        "<table>",
        f"<caption>{html.escape(layout.number)}: {html.escape(layout.title)}</caption>",
        f'<thead><tr><th rowspan="2" scope="col">{html.escape(layout.stub)}</th>{groups}</tr>',
        f"<tr>{columns}</tr></thead>",
    ]
    for tag, rows in (("tbody", layout.rows), ("tfoot", layout.footer)):
        lines = []
        for label, cells in rows:
            if not cells:
                span = len(layout.columns) + 1
                lines.append(f'<tr><th scope="rowgroup" colspan="{span}">{html.escape(label)}</th></tr>')
                continue
            texts = (marks[cell.emphasis].format(html.escape(cell.text)) for cell in cells)
            body = "".join(f"<td>{text}</td>" for text in texts)
            lines.append(f'<tr><th scope="row">{html.escape(label)}</th>{body}</tr>')
        if lines:
            parts.append(f"<{tag}>{''.join(lines)}</{tag}>")
    return "\n".join([*parts, "</table>", f'<p class="note">{html.escape(layout.note)}</p>'])


def escape_latex(text: str) -> str:
    """Plain text as LaTeX source: every special character escaped, two hyphens not joined to a dash."""
    return "".join(
        LATEX_ESCAPES.get(character, character) for character in text.replace("--", "-\0-")
    ).replace("\0", "{}")


def _markdown_text(text: str) -> str:
    for special in ("\\", "|", "*", "_", "<"):
        text = text.replace(special, "\\" + special)
    return text


def _markdown_row(texts: list[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def write_table(
    table: pd.DataFrame,
    layout: Layout | None,
    *,
    csv: str | Path,
    markdown: str | Path,
    latex: str | Path | None = None,
    html: str | Path | None = None,
) -> None:
    """Write a long table as CSV, and its layout as Markdown, LaTeX and a fragment of HTML.

    Without a layout, the table itself is written as Markdown.
    """
    write_csv(csv, table)
    if layout is None:
        write_text(markdown, table.to_markdown(index=False, floatfmt=".3f") + "\n")
        return
    write_text(markdown, to_markdown(layout))
    if latex:
        write_text(latex, to_latex(layout))
    if html:
        write_text(html, to_html(layout))
