"""The recipe of the authors' released code, an element of it after the other, each by a key of its own.

Their values are in config/released_code.yaml.  What differs besides is in docs/explanation/deviations.md.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from patch2loc.configuration.configuration_file import merged, read_configuration
from patch2loc.configuration.validation import Schema, keys

RECIPE = Path(__file__).resolve().parents[4] / "config/released_code.yaml"

# First stage of a run that a change of an element computes anew; nothing: tables or figures alone.
Stage = Literal["preprocessing", "training", "scoring", "evaluation", "nothing"]


class Element(NamedTuple):
    """An element of the recipe.

    Attributes:
        name: In a few words.
        key: Keys that lead to its value in a configuration, joined by points.
        needs: First stage that is computed anew.
    """

    name: str
    key: str
    needs: Stage

    @property
    def released(self) -> Any:
        """Value by which a run does as the released code."""
        return _value(_recipe(), self.key, None)

    @property
    def default(self) -> Any:
        """Value where a configuration says nothing."""
        return _keys()[self.key]["default"]


@cache
def _recipe() -> dict[str, Any]:
    return read_configuration(RECIPE)


@cache
def _keys() -> dict[str, Schema]:
    return dict(keys())


ELEMENTS = (
    Element("registration", "preprocess.registration", "preprocessing"),
    Element("template", "preprocess.template", "preprocessing"),
    Element("crop", "preprocess.crop", "preprocessing"),
    Element("brain mask", "preprocess.brain_mask", "preprocessing"),
    Element("bias field", "preprocess.bias_field", "preprocessing"),
    Element("smoothing", "preprocess.smoothing", "preprocessing"),
    Element("subject lists", "split", "training"),
    Element("landmarks", "intensities.landmarks", "training"),
    Element("intensity scale", "intensities.scale", "training"),
    Element("unit of locations", "training.location_unit", "training"),
    Element("candidates", "training.candidates", "training"),
    Element("slices of a batch", "training.slices", "training"),
    Element("learning rate", "training.learning_rate", "training"),
    Element("schedule", "training.schedule", "training"),
    Element("averaging", "training.averaging", "training"),
    Element("precision", "precision", "training"),
    Element("epsilon", "score.epsilon", "scoring"),
    Element("filter of healthy scans", "score.median_filter_healthy", "scoring"),
    Element("tiles", "score.tiles", "scoring"),
    Element("lesion mask", "truth", "evaluation"),
    Element("background", "metrics.background", "evaluation"),
    Element("best Dice", "metrics.best_dice", "evaluation"),
    Element("lesion off the grid", "metrics.off_grid", "evaluation"),
    Element("folds", "folds", "nothing"),
    Element("correlation", "tables.correlation", "nothing"),
    Element("densities", "figures.densities", "nothing"),
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
    return _value(config, element.key, element.default)


def _value(config: Mapping[str, Any], key: str, default: Any) -> Any:
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def with_released(config: Mapping[str, Any], elements: Iterable[Element] = ELEMENTS) -> dict[str, Any]:
    """A configuration with the released code's values of some elements."""
    changed = deepcopy(dict(config))
    for element in elements:
        changed = merged(changed, nested(element.key, deepcopy(element.released)))
    return changed
