"""Splits that are drawn: sizes, one role a person, shares of sites, and what stays when people come and go."""

import random

import pytest

from patch2loc.data.drawn_splits import drawn_order, drawn_roles
from patch2loc.data.vocabulary import SubjectRole
from patch2loc.errors import InputError

PEOPLE = [f"sub-{index:03d}" for index in range(100)]
# 60, 30 and 10 people.
SITES = {person: "A" if index < 60 else "B" if index < 90 else "C" for index, person in enumerate(PEOPLE)}
FOLDS = [0, 1, 2, 3, 4]


def draw(people=PEOPLE, fold=0, *, validation=10, test=20, seed=1, folds=FOLDS, sites=None):
    return drawn_roles(people, fold, validation=validation, test=test, seed=seed, folds=folds, sites=sites)


def role_of(**arguments) -> dict[str, SubjectRole]:
    return {person: role for role, people in draw(**arguments).items() for person in people}


@pytest.mark.parametrize("sites", [None, SITES])
def test_every_person_has_one_role_and_every_list_its_size(sites):
    lists = [draw(fold=fold, sites=sites) for fold in FOLDS]
    for roles in lists:
        assert {role: len(people) for role, people in roles.items()} == {
            "train": 70,
            "validation": 10,
            "test": 20,
        }
        assert sorted(person for people in roles.values() for person in people) == PEOPLE
        assert all(people == sorted(people) for people in roles.values())
        assert roles["test"] == lists[0]["test"]
    validated = [person for roles in lists for person in roles["validation"]]
    assert len(set(validated)) == 50


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_names():
    shuffled = PEOPLE[:]
    random.Random(0).shuffle(shuffled)
    assert role_of(people=shuffled) == role_of()
    assert role_of(seed=2) != role_of()
    # The same on every machine: that who is tested is part of what a configuration means.
    assert drawn_order(PEOPLE, 1)[:3] == ["sub-065", "sub-021", "sub-020"]


def test_every_list_has_its_share_of_each_site():
    for fold in FOLDS:
        roles = draw(fold=fold, sites=SITES)
        for role, share in (("test", 0.2), ("validation", 0.1)):
            for site, count in (("A", 60), ("B", 30), ("C", 10)):
                members = sum(SITES[person] == site for person in roles[role])
                assert abs(members - share * count) <= 1, (fold, role, site)
    unbalanced = [sum(SITES[person] == "C" for person in draw(seed=seed)["test"]) for seed in range(20)]
    assert max(unbalanced) > 3  # without sites some draws have far more of one


def moved(before, after):
    """People in both draws whose role differs."""
    return [person for person in before if person in after and before[person] != after[person]]


@pytest.mark.parametrize("seed", range(10))
def test_a_person_more_or_fewer_moves_at_most_one_other_between_neighboring_lists(seed):
    before = role_of(seed=seed, folds=[0])
    assert len(moved(before, role_of(people=[*PEOPLE, "sub-new"], seed=seed, folds=[0]))) <= 2
    for left in PEOPLE[::20]:
        people = [person for person in PEOPLE if person != left]
        assert len(moved(before, role_of(people=people, seed=seed, folds=[0]))) <= 2


@pytest.mark.parametrize("seed", range(10))
def test_with_sites_a_new_person_moves_few_others(seed):
    before = role_of(seed=seed, folds=[0], sites=SITES)
    for site in "ABC":
        sites = {**SITES, "sub-new": site}
        after = role_of(people=[*PEOPLE, "sub-new"], seed=seed, folds=[0], sites=sites)
        assert len(moved(before, after)) <= 6


def test_too_few_people_are_refused_with_the_number_that_is_needed():
    with pytest.raises(
        InputError, match=r"^70 people found, at least 71 expected: 21 for the test, 10 for the val"
    ):
        draw(people=PEOPLE[:70], folds=[4], fold=4, validation=10, test=21)
    assert len(draw(people=PEOPLE[:71], folds=[4], fold=4, validation=10, test=21)["train"]) == 40
    with pytest.raises(InputError, match="at least 31 expected"):
        draw(people=PEOPLE[:30], folds=[0])
    assert len(draw(people=PEOPLE[:31], folds=[0])["train"]) == 1
