"""What a method declares of itself, as plain data: planning reads it without the method's code, and without torch.

A method is a package with `METHOD = Declaration(...)` in its `__init__.py` and its code in `model.py`
(`patch2loc.method_interface` says what that offers).
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from patch2loc.errors import InputError

Budget = Literal["smoke", "short", "paper"]
BUDGETS: tuple[Budget, ...] = get_args(Budget)
# Row of the paper's Table 1; compared beside these, not in the paper; Patch2Loc done otherwise, not in the paper;
# a simple score that others must beat to claim anything.
Role = Literal["table1", "addition", "variant", "control"]
# Kind of a value of a state (`model_schema.KINDS`).
StateKind = Literal[
    "array",
    "map",
    "spread",
    "weights",
    "widths",
    "patch",
    "spacing",
    "seed",
    "flag",
    "number",
    "positive",
    "text",
    "dictionary",
]
StateKinds = Mapping[str, StateKind]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """Declaration of a method.

    Jobs get what changes numbers, `settings`, `own_settings` and `as_published`, as parameters: they run again when it
    changes. What is for display (`title`, `role`, `order`, `redesigned`) only makes tables and figures again.

    Attributes:
        title: What tables and figures call the method; "" for its name.
        role: Its place among the others.
        order: Its place in tables and in `methods: all`, ascending; each method of the package has its own.
        redesigned: Built from an abstract alone: a row of the same name in another table is another network.
        network: It runs a network: on a GPU if there is one, with several threads, by the budget.
        locates: It predicts locations: trained by the configuration's `training`, seen by the patch analysis.
        from_patches: It learns from patches: trained by the configuration's `training`, as one that locates is.
        scored_once: Its score of a scan is the same whatever scans it was trained on: folds share its heatmaps.
        needs_lesion: It is given the lesion mask, and compared with no other method.
        calibrated: It has a second row: its score calibrated by healthy scans.
        as_published: It has a second row: with the post-processing of its authors, the arguments erosion and median of
            `score.postprocessing.as_published`. None for no such row.
        settings: Settings of its training for each of `BUDGETS`, {budget: {name: value}}; the configuration's
            `method_settings` changes single ones.
        own_settings: With locates or from_patches: settings besides the configuration's `training`, {name: value}.
        choices: Values that a setting may have, or that its list may hold, {name: values}.
        pretrained: Weights from elsewhere that it can use, keys of the configuration's `pretrained`.
        needs: Methods whose models of the same modality and fold its training takes.
        state: Kind of each value that its state holds; models of other states are refused. None to check none.
        optional_state: Kind of each value that its state may lack, or that may be None.

    Raises:
        InputError: A value is not of its kind.
    """

    title: str = ""
    role: Role = "addition"
    order: float = math.inf
    redesigned: bool = False
    network: bool = True
    locates: bool = False
    from_patches: bool = False
    scored_once: bool = False
    needs_lesion: bool = False
    calibrated: bool = False
    as_published: Mapping[str, int] | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    own_settings: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, Collection[Any]] = field(default_factory=dict)
    pretrained: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    state: StateKinds | None = None
    optional_state: StateKinds = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, holds, expected in self._checks():
            if not holds:
                raise InputError(
                    f"METHOD: {name} = {getattr(self, name)!r} found, {expected} expected; correct it"
                )

    @property
    def by_training(self) -> bool:
        """True for a method that is trained by the configuration's `training`."""
        return self.locates or self.from_patches

    def _checks(self) -> Iterator[tuple[str, bool, str]]:
        """Each field that has bounds, whether its value is within them, and what they are."""
        for each in fields(self):
            if isinstance(each.default, bool):
                yield each.name, isinstance(getattr(self, each.name), bool), "True or False"
        yield "title", isinstance(self.title, str), "text"
        yield "role", self.role in get_args(Role), f"one of {', '.join(get_args(Role))}"
        yield "order", isinstance(self.order, int | float) and not isinstance(self.order, bool), "a number"
        for name in ("pretrained", "needs"):
            yield name, _is_texts(getattr(self, name)), 'a tuple of text, such as ("one", "two"),'
        for name in ("own_settings", "choices", "optional_state"):
            yield name, isinstance(getattr(self, name), Mapping), "a mapping"
        budgets = f"a mapping for each of {', '.join(BUDGETS)}"
        yield "settings", not self.settings or _is_by_budget(self.settings), budgets
        yield "settings", not (self.settings and self.by_training), "own_settings, besides `training`,"
        published = self.as_published is None or set(self.as_published) == {"erosion", "median"}
        yield "as_published", published, "None, or erosion and median"
        kinds = {*(self.state or {}).values(), *self.optional_state.values()}
        yield "state", kinds <= set(get_args(StateKind)), f"kinds among {', '.join(get_args(StateKind))}"


def _is_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, str) for each in value)


def _is_by_budget(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) == set(BUDGETS)
        and all(isinstance(each, Mapping) for each in value.values())
    )
