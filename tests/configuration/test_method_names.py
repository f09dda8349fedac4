from patch2loc import method_interface
from patch2loc.configuration import method_registry
from patch2loc.configuration.method_names import (
    base_method,
    competing,
    configured,
    display_name,
    is_as_published,
    is_calibrated,
    is_control,
    needs_truth,
    subfolder,
    table_rows,
)
from patch2loc.configuration.method_registry import CONTROLS, VARIANTS


def test_a_calibrated_score_follows_its_method_and_is_told_from_it():
    names = table_rows(["random", "patch2loc", "zscore", "mypackage.ae_calibrated"])
    assert names == ["random", "patch2loc", "patch2loc_calibrated", "zscore", "mypackage.ae_calibrated"]
    assert [is_calibrated(name) for name in names] == [False, False, True, False, False]
    methods_of = [base_method(name) for name in names]
    assert methods_of == ["random", "patch2loc", "patch2loc", "zscore", "mypackage.ae_calibrated"]
    assert [display_name(name) for name in names] == [
        "random, control",
        "patch2loc",
        "patch2loc, calibrated",
        "zscore, control",
        "mypackage.ae_calibrated",
    ]


def test_methods_without_patch2loc_stay_as_they_are():
    assert table_rows(["zscore"]) == ["zscore"]


def test_a_native_score_follows_its_method_and_is_told_from_it():
    names = table_rows(["thresh", "thresh_dark", "mypackage.ae_as_published"])
    assert names == ["thresh", "thresh_as_published", "thresh_dark", "mypackage.ae_as_published"]
    assert [is_as_published(name) for name in names] == [False, True, False, False]
    assert [base_method(name) for name in names] == ["thresh", "thresh", *names[2:]]
    assert [subfolder(name) for name in names] == ["", "as_published", "", ""]
    assert [display_name(name) for name in names] == [
        "thresh",
        "thresh, as published",
        "thresh_dark",
        "mypackage.ae_as_published",
    ]


def test_controls_are_methods_and_are_told_from_the_rows_of_the_paper():
    assert set(CONTROLS) <= set(method_registry.METHODS)
    assert [name for name in method_registry.METHODS if is_control(name)] == list(CONTROLS)
    assert display_name("random") == "random, control"
    assert not any(map(is_control, ["thresh", "patch2loc_calibrated", "ae_as_published", "mypackage.zscore"]))
    assert method_interface.declaration("oracle").needs_lesion
    assert [name for name in method_registry.METHODS if needs_truth(name)] == ["oracle"]
    assert competing(["patch2loc", "oracle", "random"]) == ["patch2loc", "random"]


def test_all_stands_for_every_method_of_the_package():
    everything = configured("all")
    assert [name for name in method_registry.METHODS if name not in everything] == list(VARIANTS)
    assert configured(["patch2loc", "mypackage.own"]) == [
        "patch2loc",
        "mypackage.own",
    ]
