"""Splits that are drawn: who trains, validates and is tested, by numbers and a seed instead of a list."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from patch2loc.data.vocabulary import SubjectRole
from patch2loc.errors import InputError


def drawn_roles(
    people: Sequence[str],
    fold: int,
    *,
    validation: int,
    test: int,
    seed: int,
    folds: Sequence[int],
    sites: Mapping[str, str] | None = None,
) -> dict[SubjectRole, list[str]]:
    """Draw the people of each role in a fold.

    People stand in an order that depends on the seed, their names and their sites alone (`drawn_order`): the first
    `test` of them are tested in every fold, each fold validates on the next `validation` that no other fold validates
    on, and trains on all others. So one person more or fewer moves at most one of the others, within a site, from each
    list to the next.

    Args:
        people: Names of the people, each once; their order does not matter.
        fold: The fold.
        validation: Number of people that a fold validates on.
        test: Number of people that are tested.
        seed: Of the draw.
        folds: All folds of the run.
        sites: Site of each person, where known; every list then has its share of each site.

    Returns:
        {"train": [...], "validation": [...], "test": [...]}, each in the order of `people`.

    Raises:
        InputError: There are too few people.
    """
    blocks = max(*folds, fold) + 1
    least = test + max(blocks * validation, validation + 1)
    if len(people) < least:
        raise InputError(
            f"{len(people)} people found, at least {least} expected: {test} for the test, {validation} for the "
            f"validation of each of {blocks} folds, and someone to train on; lower `test` or `validation`, or ask for "
            "fewer `folds`"
        )
    order = drawn_order(people, seed, sites)
    start = test + fold * validation
    tested, validating = set(order[:test]), set(order[start : start + validation])
    return {
        "train": [person for person in people if person not in tested | validating],
        "validation": [person for person in people if person in validating],
        "test": [person for person in people if person in tested],
    }


def drawn_order(people: Sequence[str], seed: int, sites: Mapping[str, str] | None = None) -> list[str]:
    """People in random order, of which every stretch has its share of each site.

    Within a site they stand by a hash of seed and name; the k-th of n people of a site has the place (k - 1/2) / n, and
    people of all sites are merged by their places.

    Args:
        people: Names, each once.
        seed: Of the hash.
        sites: Site of each person, where known.
    """
    of_site: dict[str, list[str]] = defaultdict(list)
    for person in people:
        of_site[(sites or {}).get(person, "")].append(person)
    places = {}
    for members in of_site.values():
        ranked = sorted(members, key=lambda person: _hash(seed, person))
        places.update({person: (rank + 0.5) / len(ranked) for rank, person in enumerate(ranked)})
    return sorted(people, key=lambda person: (places[person], _hash(seed, person)))


def _hash(seed: int, person: str) -> bytes:
    return hashlib.sha256(f"{seed}:{person}".encode()).digest()
