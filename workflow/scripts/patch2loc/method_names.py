"""Names of methods: as they are configured, as they are evaluated, as they are shown."""

from collections.abc import Sequence

# Methods whose score is evaluated twice: as it is, and calibrated, or with the post-processing of their authors.
CALIBRATED = ("patch2loc",)
NATIVE = ("ae", "vae", "dae", "ddpm", "pddpm", "cddpm")
SUFFIX, NATIVE_SUFFIX = "_calibrated", "_native"


def evaluated(methods: Sequence[str]) -> list[str]:
    """The configured methods, and after each of CALIBRATED and NATIVE its second score under a name of its own."""
    suffixes = {name: SUFFIX for name in CALIBRATED} | {name: NATIVE_SUFFIX for name in NATIVE}
    both = [[name, f"{name}{suffixes[name]}"] if name in suffixes else [name] for name in methods]
    return [name for names in both for name in names]


def is_calibrated(name: str) -> bool:
    """Whether an evaluated method is a calibrated score."""
    return name.endswith(SUFFIX)


def is_native(name: str) -> bool:
    """Whether an evaluated method is a score with the post-processing of its authors."""
    return name in [f"{method}{NATIVE_SUFFIX}" for method in NATIVE]


def scored_by(name: str) -> str:
    """The configured method whose heatmaps are those of an evaluated method."""
    return name.removesuffix(NATIVE_SUFFIX) if is_native(name) else name.removesuffix(SUFFIX)


def subfolder(name: str) -> str:
    """Where in a folder of the method's heatmaps those of an evaluated method are; "" for the folder itself."""
    return "native" if is_native(name) else ""


def shown(name: str) -> str:
    """An evaluated method in a table: "patch2loc, calibrated", "ae, native"."""
    if is_native(name):
        return f"{scored_by(name)}, native"
    return f"{scored_by(name)}, calibrated" if is_calibrated(name) else name
