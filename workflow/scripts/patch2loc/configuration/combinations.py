"""Combinations of methods as a configuration declares them: checked, selected, described."""

import re
from collections.abc import Mapping, Sequence

from patch2loc.configuration.keys import Combination, Rule
from patch2loc.configuration.method_names import (
    AS_PUBLISHED_SUFFIX,
    CALIBRATED_SUFFIX,
    base_method,
    needs_truth,
    table_rows,
)
from patch2loc.configuration.method_registry import METHODS
from patch2loc.errors import InputError
from patch2loc.method_interface import MARK, method_of

MOST_LETTERS = 60  # of a name, which folders and files have with others
NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{MOST_LETTERS - 1}}}")
RULE_NAMES: dict[Rule, str] = {
    "rank_average": "average",
    "rank_product": "product",
    "rank_fisher": "Fisher's statistic",
}


def check_combinations(combinations: Mapping[str, Combination], variants: Sequence[str] = ()) -> None:
    """Raise InputError for a name that cannot be a combination's, or parts that are no rows or do not go together."""
    ablated = [*dict.fromkeys(map(method_of, variants)), *variants]
    for name, combination in combinations.items():
        parts = combination["of"]
        if not NAME.fullmatch(name) or name.endswith((CALIBRATED_SUFFIX, AS_PUBLISHED_SUFFIX)):
            raise InputError(
                f"combinations: the name {name[:80]!r} found, letters, digits and _ expected, at most {MOST_LETTERS}, "
                f"no digit first, and no {CALIBRATED_SUFFIX} or {AS_PUBLISHED_SUFFIX} last, which other rows have; "
                "rename it"
            )
        if name in METHODS:
            raise InputError(f"combinations.{name}: a method has this name, another one expected; rename it")
        known = {*table_rows(METHODS), *variants}
        unknown = [part for part in parts if part not in known and (MARK in part or "." not in part)]
        if unknown:
            raise InputError(
                f"combinations.{name}.of: {', '.join(unknown)} found, rows of methods expected: "
                f"{', '.join([*table_rows(METHODS), *variants])}, or modules of your own; correct the name"
            )
        others = [part for part in parts if part not in ablated]
        if others and any(MARK in part for part in parts):
            raise InputError(
                f"combinations.{name}.of: {', '.join(others)} found beside a variant, rows of the table `ablations` "
                f"expected: {', '.join(ablated)}; leave the one or the other out"
            )
        for part in filter(needs_truth, parts):
            raise InputError(
                f"combinations.{name}.of: {part} found, which is given the lesions, methods that are not expected; "
                "leave it out"
            )
        if len(set(parts)) < 2:
            raise InputError(
                f"combinations.{name}.of: {', '.join(parts)} found, at least two methods expected; add one, "
                "or leave the combination out"
            )


def available_combinations(
    combinations: Mapping[str, Combination], methods: Sequence[str]
) -> dict[str, Combination]:
    """The combinations all of whose parts are rows of methods that run."""
    return {
        name: combination
        for name, combination in combinations.items()
        if set(map(base_method, combination["of"])) <= set(methods)
    }


def left_out_note(combinations: Mapping[str, Combination], methods: Sequence[str]) -> str:
    """A warning of the combinations that are not available and not optional; "" without any."""
    absent = {
        name: [part for part in combinations[name]["of"] if base_method(part) not in methods]
        for name, combination in combinations.items()
        if name not in available_combinations(combinations, methods) and not combination.get("optional")
    }
    needs = "; ".join(f"{name} needs {', '.join(parts)}" for name, parts in absent.items())
    return needs and f"Combinations left out, whose methods are not all among `methods`: {needs}."


def combinations_note(combinations: Mapping[str, Combination]) -> str:
    """One sentence on the parts of each combination, for the notes of tables; "" without any."""
    parts = "; ".join(
        f"{name}, {RULE_NAMES[combination['by']]} of {' and '.join(combination['of'])}"
        for name, combination in combinations.items()
    )
    return parts and f"Combinations, of a voxel's ranks within its scan: {parts}."
