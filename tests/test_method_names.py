from patch2loc.method_names import evaluated, is_calibrated, scored_by, shown


def test_a_calibrated_score_follows_its_method_and_is_told_from_it():
    names = evaluated(["thresh", "patch2loc", "zscore"])
    assert names == ["thresh", "patch2loc", "patch2loc_calibrated", "zscore"]
    assert [is_calibrated(name) for name in names] == [False, False, True, False]
    assert [scored_by(name) for name in names] == ["thresh", "patch2loc", "patch2loc", "zscore"]
    assert [shown(name) for name in names] == ["thresh", "patch2loc", "patch2loc, calibrated", "zscore"]


def test_methods_without_patch2loc_stay_as_they_are():
    assert evaluated(["zscore"]) == ["zscore"]
