"""From raw scans to the common grid: skull strip, registration, one resampling, bias, quality control."""

from patch2loc.preprocess.released_code import template
from patch2loc.preprocess.scan import (
    Preprocessed,
    preprocess_scan,
    read_transform,
    to_scan_space,
    write_left_out,
    write_preprocessed,
)

__all__ = [
    "Preprocessed",
    "preprocess_scan",
    "read_transform",
    "template",
    "to_scan_space",
    "write_left_out",
    "write_preprocessed",
]
