"""Rows of the table `ablations`, as planning hands them to it."""

from collections.abc import Mapping
from typing import Any, TypedDict


class AblationRow(TypedDict):
    """What a row changes."""

    base: str  # the row that it is compared with; its own name for that one
    changes: Mapping[str, Any]  # {setting: value}, {} for the row that others are compared with
    patch_mm: float | None  # width of its patches; None for a combination
    subjects: int  # number of its training scans
