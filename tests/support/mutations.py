"""A campaign of mutations: input that is damaged at random, and what may come of it.

A mutation is refused, or flagged, or changes nothing that matters.  Anything else is a failure: a result that differs
without a word, an exception that is not for users, a message that names nothing, a file that the attempt had no
business with.  All mutations of a campaign are tried before it fails, so that its counts are whole.
"""

import os
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import hypothesis
from hypothesis import strategies as some

from patch2loc.errors import InputError

COUNT = int(os.environ.get("MUTATIONS", "100"))  # of all groups together
SEED = os.environ.get("CHAOS_SEED")  # of a campaign; without it the mutations are the same in every run
SHARES = {
    "voxels": 0.23,
    "heads": 0.02,
    "fine scans": 0.02,
    "headers": 0.19,
    "series": 0.07,
    "models of zscore": 0.09,
    "models of patch2loc": 0.07,
    "models of a detector": 0.11,
    "tables": 0.1,
    "configurations": 0.1,
}
SECONDS = 30  # that one attempt may take
OUTPUT = "out"  # folder that an attempt may write
GOOD = ("refused", "flagged", "same", "another")

# Any value that JSON or YAML holds.
plain = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


class Mutation(NamedTuple):
    """A change of good input.

    Attributes:
        name: Kind of the change, and its parameters in words.
        change: Makes the bad input of the good one.
        harmless: It is still good input: to refuse or to flag it would be a false alarm.
        legal: It may be good input that says something else, such as another name; its result is then its own.
        noticed: It must be refused or flagged even where the result is the same: part of the scan is not there, or it
            says two things, or nothing, of what must not be guessed.
    """

    name: str
    change: Callable
    harmless: bool = False
    legal: bool = False
    noticed: bool = False

    @property
    def kind(self):
        return self.name.partition(":")[0]


def mutations_by(name, change, /, *, harmless=False, noticed=False, **parameters):
    """Mutations of a kind: `change` with parameters that are drawn."""

    def mutation(**drawn):
        words = ", ".join(
            f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in drawn.items()
        )
        return Mutation(f"{name}: {words}", partial(change, **drawn), harmless, noticed=noticed)

    return some.builds(mutation, **parameters)


class Result(NamedTuple):
    """What an attempt gave: its warnings, and how it differs from that of the good input; "" where it does not."""

    flags: list[str]
    difference: str


@dataclass
class Campaign:
    """Outcomes of the mutations of a group."""

    group: str
    outcomes: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def attempt(self, mutation, folder, make):
        """Try one mutation in a folder of its own, which is removed again.

        make(folder) writes the input among other files.  It returns what the message of a refusal may name, and a
        function that attempts to use the input there, which writes to `folder`/OUTPUT alone and gives a Result.
        """
        folder.mkdir()
        try:
            outcome, said = self._outcome(mutation, folder, make)
        finally:
            shutil.rmtree(folder)
        self.outcomes[mutation.kind, outcome] += 1
        if outcome not in GOOD:
            self.failures.append(f"{mutation.name}: {outcome}: {said}")

    def _outcome(self, mutation, folder, make):
        names, use = make(folder)
        before, began = stored(folder), time.monotonic()
        said, result = "", None
        try:
            with chdir(folder):
                result = use()
        except InputError as error:
            said = str(error)
            outcome = "refused" if any(name in said for name in names) and "; " in said else "unhelpful"
        except Exception:
            said, outcome = traceback.format_exc()[-1500:], "traceback"
        else:
            fresh, said = result
            differing = "another" if mutation.legal else "silent"
            unchanged = "unnoticed" if mutation.noticed else "same"
            outcome = "flagged" if fresh else differing if said else unchanged
            said = "; ".join(fresh) or said
        if time.monotonic() - began > SECONDS:
            return "slow", f"{time.monotonic() - began:.0f} s"
        if mutation.harmless and outcome in ("refused", "flagged"):
            return "false alarm", said
        after = stored(folder)
        written = {path for path in after.keys() - before.keys() if path.parts[0] != OUTPUT or not result}
        gone = {path for path in before if after.get(path) != before[path]}
        if written or gone:
            return "harm", f"left or changed: {', '.join(map(str, sorted(written | gone)))}"
        return outcome, said

    def table(self):
        """Counts of outcomes, a line for each kind of mutation."""
        kinds = sorted({kind for kind, _ in self.outcomes})
        lines = [
            f"  {kind:28} "
            + ", ".join(
                f"{count} {name}" for (of, name), count in sorted(self.outcomes.items()) if of == kind
            )
            for kind in kinds
        ]
        totals = Counter()
        for (_, name), count in self.outcomes.items():
            totals[name] += count
        total = ", ".join(f"{totals[name]} {name}" for name in sorted(totals))
        return "\n".join(
            [f"{self.group}: {sum(totals.values())} mutations, seed {SEED or 'fixed'}: {total}", *lines]
        )


def run_campaign(group, mutations, folder, make):
    """Try a group's share of the mutations, and say what came of them.

    mutations: strategy of Mutation.  make(mutation): see `Campaign.attempt`.
    """
    campaign, count = Campaign(group), round(COUNT * SHARES[group])
    numbers = iter(range(10 * count))

    @hypothesis.settings(
        database=None,
        deadline=None,
        derandomize=SEED is None,
        max_examples=count,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(mutations)
    def once(mutation):
        campaign.attempt(mutation, folder / f"mutation{next(numbers)}", make(mutation))

    if SEED is not None:
        once = hypothesis.seed(int(SEED))(once)
    once()
    return campaign


def stored(folder: Path):
    """Every file of a folder by its path in it, with its content; links are not followed."""
    return {
        path.relative_to(folder): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }
