"""Names of methods: as they are configured, as they are evaluated, as they are shown."""

from collections.abc import Sequence

CALIBRATED = ("patch2loc",)  # methods whose score is evaluated twice: as it is, and calibrated
SUFFIX = "_calibrated"


def evaluated(methods: Sequence[str]) -> list[str]:
    """The configured methods, and after each of CALIBRATED its calibrated score under a name of its own."""
    both = [[method, f"{method}{SUFFIX}"] if method in CALIBRATED else [method] for method in methods]
    return [name for names in both for name in names]


def is_calibrated(name: str) -> bool:
    """Whether an evaluated method is a calibrated score."""
    return name.endswith(SUFFIX)


def scored_by(name: str) -> str:
    """The configured method whose heatmaps are those of an evaluated method."""
    return name.removesuffix(SUFFIX)


def shown(name: str) -> str:
    """An evaluated method in a table: "patch2loc, calibrated"."""
    return f"{scored_by(name)}, calibrated" if is_calibrated(name) else name
