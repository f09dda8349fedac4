"""Names of methods: as they are configured, as rows of tables, as they are displayed.

A method has a row of its name, and a second one where it calibrated or has its authors' post-processing
(as_published): "patch2loc_calibrated", "ae_as_published".
"""

from collections.abc import Sequence

from patch2loc.configuration.method_registry import METHODS
from patch2loc.method_interface import declaration

CALIBRATED_SUFFIX, AS_PUBLISHED_SUFFIX = "_calibrated", "_as_published"
ALL = "all"  # instead of a list: every method of the package but the variants


def configured(methods: Sequence[str] | str) -> list[str]:
    """The methods that the configuration's key `methods` names."""
    if methods == ALL:
        return [name for name in METHODS if declaration(name).role != "variant"]
    return list(methods)


def table_rows(methods: Sequence[str]) -> list[str]:
    """The rows of configured methods, each followed by its second ones."""
    return [row for method in methods for row in (method, *_second_rows(method))]


def _second_rows(method: str) -> list[str]:
    declared = declaration(method)
    suffixes = {
        CALIBRATED_SUFFIX: declared.calibrated,
        AS_PUBLISHED_SUFFIX: declared.as_published is not None,
    }
    return [f"{method}{suffix}" for suffix, declares in suffixes.items() if declares]


def is_calibrated(row: str) -> bool:
    """True for a row of a calibrated score."""
    return row.endswith(CALIBRATED_SUFFIX) and declaration(row.removesuffix(CALIBRATED_SUFFIX)).calibrated


def is_as_published(row: str) -> bool:
    """True for a row with the post-processing of the method's authors."""
    return (
        row.endswith(AS_PUBLISHED_SUFFIX)
        and declaration(row.removesuffix(AS_PUBLISHED_SUFFIX)).as_published is not None
    )


def base_method(row: str) -> str:
    """The configured method whose heatmaps are those of a row."""
    if is_as_published(row):
        return row.removesuffix(AS_PUBLISHED_SUFFIX)
    return row.removesuffix(CALIBRATED_SUFFIX) if is_calibrated(row) else row


def subfolder(row: str) -> str:
    """Folder of a row's heatmaps within those of its method; "" for the folder itself."""
    return "as_published" if is_as_published(row) else ""


def is_of_table1(row: str) -> bool:
    """True for a row of the paper's Table 1, under the common protocol: the configured method itself."""
    return row in METHODS and declaration(row).role == "table1"


def is_control(row: str) -> bool:
    """True for a row of a control."""
    return declaration(base_method(row)).role == "control"


def needs_truth(row: str) -> bool:
    """True for a row of a method that is given the lesions: it has rows, and no method is held against it."""
    return declaration(base_method(row)).needs_lesion


def competing(rows: Sequence[str]) -> list[str]:
    """The rows that are compared with each other: all but those of methods that are given the lesions."""
    return [row for row in rows if not needs_truth(row)]


def display_name(row: str) -> str:
    """A row as tables show it: "patch2loc, calibrated", "svae, re-design, as published", "zscore, control"."""
    declared = declaration(base_method(row))
    remarks = {
        "re-design": declared.redesigned,
        "as published": is_as_published(row),
        "calibrated": is_calibrated(row),
        "control": is_control(row),
    }
    return ", ".join([declared.title, *(remark for remark, applies in remarks.items() if applies)])
