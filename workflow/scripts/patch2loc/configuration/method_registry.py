"""The methods there are, in the order of tables, and who of them is what by its declaration."""

from patch2loc.method_interface import declaration, is_outside, methods_of_the_package, module_name
from patch2loc.provenance.code import module_file


def _in_order(name: str) -> tuple[float, str]:
    return declaration(name).order, name


# Methods of the package, as tables list them.
METHODS = tuple(sorted(methods_of_the_package(), key=_in_order))
VARIANTS = tuple(name for name in METHODS if declaration(name).role == "variant")
CONTROLS = tuple(name for name in METHODS if declaration(name).role == "control")
NETWORKS = tuple(name for name in METHODS if declaration(name).network)
LOCATING = tuple(name for name in METHODS if declaration(name).locates)
FROM_PATCHES = tuple(name for name in METHODS if declaration(name).by_training)
CALIBRATED = tuple(name for name in METHODS if declaration(name).calibrated)
AS_PUBLISHED = tuple(name for name in METHODS if declaration(name).as_published)


def is_method(name: str) -> bool:
    """True for a method of the package, and for a module from outside that Python finds."""
    return module_file(name) is not None if is_outside(name) else name in METHODS


def locates(name: str) -> bool:
    """True for a method that predicts locations, of the package or from outside, by its declaration."""
    return declaration(name).locates


def from_patches(name: str) -> bool:
    """True for a method that is trained by the configuration's `training`: those that locate, and others on patches."""
    return declaration(name).by_training


def runs_network(name: str) -> bool:
    """True for a method that computes where networks do."""
    return declaration(name).network


def scoring_modules(name: str) -> list[str]:
    """Modules whose code, with all that they import, is behind the scores of a method."""
    parts = ("job", "patch_predictions") if locates(name) else ("job",)
    return [*(f"patch2loc.score.{part}" for part in parts), module_name(name)]
