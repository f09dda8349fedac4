"""Combinations of methods as a configuration declares them: checked, chosen, described."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from patch2loc.configuration.method_names import AS_PUBLISHED_SUFFIX, SUFFIX, TRUTH, evaluated, scored_by
from patch2loc.configuration.method_registry import METHODS
from patch2loc.errors import InputError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SAID = {"rank_average": "average", "rank_product": "product", "rank_fisher": "Fisher's statistic"}


def check_combinations(combinations: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise InputError for a name that cannot be a combination's, or parts that are no methods.

    combinations: {name: {"of": names of evaluated methods, "by": a name of `combination.RULES`}}, as configured.
    """
    for name, declared in combinations.items():
        if not NAME.fullmatch(name) or name.endswith((SUFFIX, AS_PUBLISHED_SUFFIX)):
            raise InputError(
                f"combinations: the name {name!r} found, letters, digits and _ expected, no digit first, and no "
                f"{SUFFIX} or {AS_PUBLISHED_SUFFIX} last, which other rows have; rename it"
            )
        if name in METHODS:
            raise InputError(f"combinations.{name}: a method has this name, another one expected; rename it")
        unknown = [part for part in declared["of"] if part not in evaluated(METHODS) and "." not in part]
        if unknown:
            raise InputError(
                f"combinations.{name}.of: {', '.join(unknown)} found, rows of methods expected: "
                f"{', '.join(evaluated(METHODS))}, or modules of your own; correct the name"
            )
        if TRUTH in declared["of"]:
            raise InputError(
                f"combinations.{name}.of: {TRUTH} found, which is given the lesions, methods that are not expected; "
                "leave it out"
            )
        if len(set(declared["of"])) < 2:
            raise InputError(
                f"combinations.{name}.of: {', '.join(declared['of'])} found, at least two methods expected; add one, "
                "or leave the combination out"
            )


def possible(
    combinations: Mapping[str, Mapping[str, Any]], methods: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """The combinations all of whose parts are of methods that run."""
    return {
        name: declared
        for name, declared in combinations.items()
        if set(map(scored_by, declared["of"])) <= set(methods)
    }


def left_out_note(combinations: Mapping[str, Mapping[str, Any]], methods: Sequence[str]) -> str:
    """What to tell a person of the combinations that are not possible; "" when all are."""
    absent = {
        name: [part for part in combinations[name]["of"] if scored_by(part) not in methods]
        for name in combinations
        if name not in possible(combinations, methods)
    }
    said = "; ".join(f"{name} needs {', '.join(parts)}" for name, parts in absent.items())
    return said and f"Combinations left out, whose methods are not all among `methods`: {said}."


def described(combinations: Mapping[str, Mapping[str, Any]]) -> str:
    """One sentence that says what each combination is made of, for the notes of tables; "" without any."""
    said = "; ".join(
        f"{name}, {SAID[declared['by']]} of {' and '.join(declared['of'])}"
        for name, declared in combinations.items()
    )
    return said and f"Combinations, of a voxel's ranks within its scan: {said}."
