"""Steps from the recipe of the authors' released code to a configuration, one element of it at a time."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, get_args

from patch2loc.configuration.released_code import ELEMENTS, Element, Stage, value_of, with_released
from patch2loc.errors import InputError

METHOD = "patch2loc"
START = "released code"  # name of the first step
# Elements that stay as the configuration has them: another number of trainings would be another comparison, and what
# figures show is in no table.
KEPT = ("folds", "densities")
# What is computed anew by the cheapest change first, so that what is dear is done as seldom as possible.
CHEAPEST_FIRST = tuple(reversed(get_args(Stage)))


class Step(NamedTuple):
    """A step of the waterfall.

    Attributes:
        name: Of the element that is no longer the released code's; START for the first step.
        element: That element; None for the first step.
        config: The whole configuration of the step.
    """

    name: str
    element: Element | None
    config: dict[str, Any]


def waterfall_steps(base: Mapping[str, Any], without: Collection[str] = ()) -> list[Step]:
    """Steps from the released code's recipe on top of a configuration to the configuration itself.

    Elements in which both agree have no step. First come those that change tables alone, last those that change the
    preprocessing; among equals the order is that of `ELEMENTS`.

    Args:
        base: A whole configuration, its defaults filled in.
        without: Names of elements that stay as base has them.

    Returns:
        The steps; the last one has the configuration of base.

    Raises:
        InputError: `without` names no element.
    """
    names = [element.name for element in ELEMENTS]
    if unknown := sorted(set(without) - set(names)):
        raise InputError(f"{', '.join(unknown)}: no such element found, of {', '.join(names)} expected")
    differing = sorted(
        (
            element
            for element in ELEMENTS
            if element.name not in {*KEPT, *without} and value_of(base, element) != element.released
        ),
        key=lambda element: CHEAPEST_FIRST.index(element.needs),
    )
    steps = [Step(START, None, with_released(base, differing))]
    for number, element in enumerate(differing, start=1):
        steps.append(Step(element.name, element, with_released(base, differing[number:])))
    return steps


def step_configuration(step: Step, results: str) -> dict[str, Any]:
    """Configuration by which a step runs: its method alone, in a folder of its own."""
    of_other_methods: dict[str, Any] = {"combinations": {}, "method_settings": {}, "variants": {}}
    return {**step.config, "results": results, "methods": [METHOD], **of_other_methods}
