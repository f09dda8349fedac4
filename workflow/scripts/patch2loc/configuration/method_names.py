"""Names of methods: as they are configured, as they are evaluated, as they are shown."""

from collections.abc import Sequence

# Patch2Loc done otherwise, not in the paper.
VARIANTS = ("patch2loc_robust", "patch2loc_multiscale", "patch2loc_unpadded", "patch2loc_robust_unpadded")
# Methods whose score is evaluated twice: as it is, and calibrated, or with the post-processing of their authors.
CALIBRATED = ("patch2loc", *VARIANTS)
AS_PUBLISHED = ("ae", "vae", "svae", "dae", "fae", "fae_patch2loc", "ra", "phanes", "ddpm", "pddpm", "cddpm")
SUFFIX, AS_PUBLISHED_SUFFIX = "_calibrated", "_as_published"
# Built from an abstract alone: a row of the same name in another table is another network.
REDESIGNED = ("svae",)
# Simple scores that others must beat to claim anything; no rows of the paper.
CONTROLS = ("zscore", "zscore_bright", "zscore_dark", "asymmetry", "random", "oracle")
# The control that is given the truth: it has rows, and no method is held against it.
TRUTH = "oracle"
ALL = "all"  # instead of a list: every method of the package but the variants


def configured(methods: Sequence[str] | str, known: Sequence[str]) -> list[str]:
    """The methods that the configuration's key `methods` names.  known: every method of the package."""
    return [name for name in known if name not in VARIANTS] if methods == ALL else list(methods)


def evaluated(methods: Sequence[str]) -> list[str]:
    """The configured methods, each of CALIBRATED and AS_PUBLISHED followed by the name of its second score."""
    suffixes = {name: SUFFIX for name in CALIBRATED} | {name: AS_PUBLISHED_SUFFIX for name in AS_PUBLISHED}
    both = [[name, f"{name}{suffixes[name]}"] if name in suffixes else [name] for name in methods]
    return [name for names in both for name in names]


def is_calibrated(name: str) -> bool:
    """Whether an evaluated method is a calibrated score."""
    return name in [f"{method}{SUFFIX}" for method in CALIBRATED]


def is_as_published(name: str) -> bool:
    """Whether an evaluated method is a score with the post-processing of its authors."""
    return name in [f"{method}{AS_PUBLISHED_SUFFIX}" for method in AS_PUBLISHED]


def scored_by(name: str) -> str:
    """The configured method whose heatmaps are those of an evaluated method."""
    if is_as_published(name):
        return name.removesuffix(AS_PUBLISHED_SUFFIX)
    return name.removesuffix(SUFFIX) if is_calibrated(name) else name


def subfolder(name: str) -> str:
    """Where in a folder of the method's heatmaps those of an evaluated method are; "" for the folder itself."""
    return "as_published" if is_as_published(name) else ""


def is_control(name: str) -> bool:
    """Whether an evaluated method is a control."""
    return name in CONTROLS


def competing(names: Sequence[str]) -> list[str]:
    """The evaluated methods that are compared with each other: all but the one that is given the truth."""
    return [name for name in names if name != TRUTH]


def shown(name: str) -> str:
    """An evaluated method in a table: "patch2loc, calibrated", "svae, re-design, as published", "zscore, control"."""
    method = scored_by(name)
    words = {
        "re-design": method in REDESIGNED,
        "as published": is_as_published(name),
        "calibrated": is_calibrated(name),
        "control": is_control(name),
    }
    return ", ".join([method, *(word for word, so in words.items() if so)])
