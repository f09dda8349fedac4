from patch2loc.data.seeds import fold_of, further_trainings, seed_of


def test_further_trainings_have_the_subjects_of_the_first_fold_and_seeds_of_their_own():
    assert further_trainings([2, 0, 1], 1) == []
    trainings = [0, 1, 2, 3, 4, *further_trainings([0, 1, 2, 3, 4], 3)]
    assert trainings[5:] == ["0seed1", "0seed2"]
    assert [fold_of(training) for training in trainings] == [0, 1, 2, 3, 4, 0, 0]
    assert [seed_of(training, 7) for training in trainings] == [7, 8, 9, 10, 11, 1007, 2007]


def test_a_wildcard_is_read_as_the_number_that_it_is():
    assert (fold_of("3"), seed_of("3", 7)) == (3, 10)
    assert (fold_of("3seed12"), seed_of("3seed12", 7)) == (3, 12010)
