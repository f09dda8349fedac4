"""The viewer of one scan as a page that opens alone: its styles, its scripts and its scan are in the page itself."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from patch2loc.report.viewer import PAGE

FOLDER = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; base-uri 'none'; form-action 'none'"
)
LINK_TO_REPORT = '<a class="of-run" href="../report.html">&larr; Report</a>\n'


def page_alone(
    *, title: str, index: Mapping[str, Any], scan: Mapping[str, Any], style: str = "", top: str = ""
) -> str:
    """Join the viewer's files, an index of one scan and that scan's file to one HTML page.

    The page asks for nothing: its Content-Security-Policy forbids every address but data:, and every script and style
    but those that are in it now, by their hashes.

    Args:
        title: Of the page, until the viewer has read the scan.
        index: As the viewer's index.js has it, of one scan that is written.
        scan: As that scan's file has it.
        style: CSS for `top`.
        top: HTML to stand above the viewer, without scripts.
    """
    text, *parts = (FOLDER.joinpath(name).read_text(encoding="utf-8") for name in PAGE)
    sources = dict(zip(PAGE[1:], parts, strict=True))
    styles = sources.pop("viewer.css") + style
    replacements = {
        POLICY: f"default-src 'none'; img-src data:; script-src {' '.join(map(source_hash, sources.values()))}; "
        f"style-src {source_hash(styles)}; base-uri 'none'; form-action 'none'",
        "<title>Patch2Loc viewer</title>": f"<title>{html.escape(title)}</title>",
        '<link rel="stylesheet" href="viewer.css">': f"<style>{styles}</style>",
        LINK_TO_REPORT: "",
        "<body>": f'<body class="alone">\n{top}\n{_data("index-of-page", index)}\n{_data("scan-of-page", scan)}',
    }
    for name, source in sources.items():
        replacements[f'<script src="{name}"></script>'] = f"<script>{source}</script>"
    for place, content in replacements.items():
        before, found, after = text.partition(place)
        if not found:
            raise ValueError(f"viewer.html: {place} not found")
        text = before + content + after
    return text


def _data(identifier: str, content: Mapping[str, Any]) -> str:
    """An element that holds JSON, in which nothing can end the element."""
    text = json.dumps(content, allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{identifier}">{text}</script>'


def viewer_style() -> str:
    """Colors, letters and controls of the viewer."""
    return FOLDER.joinpath("viewer.css").read_text(encoding="utf-8")


def source_hash(source: str) -> str:
    """Source expression of a Content-Security-Policy for a script or style in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
