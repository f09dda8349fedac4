"""The recipe of the authors' released code, an element of it after the other, each by a key of its own.

Together they are config/released_code.yaml.  What differs besides and has no key is in docs/explanation/deviations.md.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, Literal, NamedTuple

from patch2loc.configuration.configuration_file import merged

# First stage of a run that a change of an element computes anew; nothing: tables or figures alone.
Stage = Literal["preprocessing", "training", "scoring", "evaluation", "nothing"]


class Element(NamedTuple):
    """An element of the recipe.

    Attributes:
        name: In a few words.
        key: Keys that lead to its value in a configuration, joined by points.
        released: Value by which a run does as the released code.
        default: Value where a configuration says nothing.
        needs: First stage that is computed anew.
    """

    name: str
    key: str
    released: Any
    default: Any
    needs: Stage


ELEMENTS = (
    Element("registration", "preprocess.registration", "affine", "affine", "preprocessing"),
    Element("template", "preprocess.template", "T1", "same-contrast", "preprocessing"),
    Element("crop", "preprocess.crop", "brain", "atlas", "preprocessing"),
    Element("brain mask", "preprocess.brain_mask", "any", "half", "preprocessing"),
    Element("bias field", "preprocess.bias_field", "full", "coarse", "preprocessing"),
    Element("smoothing", "preprocess.smoothing", "curvature-flow", "none", "preprocessing"),
    Element("subject lists", "split", "published", "clean", "training"),
    Element("landmarks", "intensities.landmarks", "box", "brain", "training"),
    Element("intensity scale", "intensities.scale", "range", "percentile", "training"),
    Element("unit of locations", "training.location_unit", "percent", "standardized", "training"),
    Element("candidates", "training.candidates", 4, None, "training"),
    Element("slices of a batch", "training.slices", "in-turn", "independent", "training"),
    Element("learning rate", "training.learning_rate", 0.01, 0.001, "training"),
    Element("schedule", "training.schedule", "constant", "constant", "training"),
    Element("averaging", "training.averaging", 0, 0, "training"),
    Element("precision", "precision", "float32", "auto", "training"),
    Element("epsilon", "score.epsilon", 1e-10, 0.5, "scoring"),
    Element("filter of healthy scans", "score.median_filter_healthy", 1, None, "scoring"),
    Element("tiles", "score.tiles", "from-edge", "whole", "scoring"),
    Element("lesion mask", "truth", "any", "half", "evaluation"),
    Element("background", "metrics.background", "zero", "left-out", "evaluation"),
    Element("best Dice", "metrics.best_dice", "bisection", "exact", "evaluation"),
    Element("lesion off the grid", "metrics.off_grid", "ignored", "missed", "evaluation"),
    Element("folds", "folds", [0, 1, 2, 3], [0, 1, 2, 3, 4], "nothing"),
    Element("correlation", "tables.correlation", "all", "both", "nothing"),
    Element("densities", "figures.densities", "clipped", "whole", "nothing"),
)


def nested(key: str, value: Any) -> dict[str, Any]:
    """A configuration that sets one key, whose parts are joined by points."""
    *groups, last = key.split(".")
    configuration: dict[str, Any] = {last: value}
    for group in reversed(groups):
        configuration = {group: configuration}
    return configuration


def value_of(config: Mapping[str, Any], element: Element) -> Any:
    """Value of an element in a configuration; its default where that says nothing."""
    value: Any = config
    for part in element.key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return element.default
        value = value[part]
    return value


def with_released(config: Mapping[str, Any], elements: Iterable[Element] = ELEMENTS) -> dict[str, Any]:
    """A configuration with the released code's values of some elements."""
    changed = deepcopy(dict(config))
    for element in elements:
        changed = merged(changed, nested(element.key, deepcopy(element.released)))
    return changed
