"""Variants: names, the configuration that each is trained by, the jobs of a run, what is refused."""

import pytest
import yaml
from planned_runs import REGISTRY, configuration
from repository_paths import ROOT
from whole_runs import planned_run

from patch2loc.configuration.method_names import display_name, table_rows
from patch2loc.configuration.method_settings import training_settings
from patch2loc.configuration.presets import completed
from patch2loc.configuration.variants import configuration_of
from patch2loc.errors import InputError
from patch2loc.method_interface import module_name
from patch2loc.plan import dataset_groups, train
from patch2loc.plan.ablations import ablation_rows
from patch2loc.plan.jobs import job_counts
from patch2loc.plan.outputs import Outputs
from patch2loc.plan.plan import make_plan

BETA0 = {"method": "patch2loc", "training": {"beta": 0}, "patch_mm": None}
CORONAL = {"method": "patch2loc", "training": {"orientation": "coronal"}, "patch_mm": None}
WIDE = {"method": "patch2loc", "training": {}, "patch_mm": 48}
FEW = {"method": "patch2loc", "training": {"subjects": 2}, "patch_mm": None}
BOTH = {"both": {"of": ["patch2loc", "patch2loc-coronal"], "by": "rank_average"}}


def run_of(folder, variants, **changes):
    return make_plan(configuration(folder, variants=variants, **changes), str(REGISTRY))


def test_a_variant_is_called_by_its_method_and_has_one_row():
    assert module_name("patch2loc-beta0") == "patch2loc.methods.patch2loc.model"
    assert module_name("mine.method-beta0") == "mine.method"
    assert table_rows(["patch2loc-beta0"]) == ["patch2loc-beta0"]
    assert display_name("patch2loc-beta0") == "patch2loc, beta0"


def test_a_key_of_a_variant_reaches_its_training_and_no_other(tmp_path):
    run = run_of(tmp_path, {"beta0": BETA0, "wide": WIDE, "coronal": CORONAL, "few": FEW})
    before = run_of(tmp_path, {})
    trainings = {
        name: training_settings("patch2loc", configuration_of(name, run.config))
        for name in run.trained_methods[::1]
        if name.startswith("patch2loc")
    }
    plain = training_settings("patch2loc", configuration_of("patch2loc", before.config))
    assert trainings["patch2loc"] == plain
    assert trainings["patch2loc-beta0"] == plain | {"beta": 0}
    assert (
        trainings["patch2loc-coronal"] == trainings["patch2loc-few"] == trainings["patch2loc-wide"] == plain
    )
    assert [configuration_of(name, run.config)["patch"] for name in ("patch2loc", "patch2loc-wide")] == [
        8,
        12,
    ]
    assert [train.orientation(run, name) for name in ("thresh", "patch2loc", "patch2loc-coronal")] == [
        "axial",
        "axial",
        "coronal",
    ]
    assert [train.subset(run, name)["count"] for name in ("patch2loc", "patch2loc-few")] == [None, 2]


def test_variants_are_rows_of_their_table_alone(tmp_path):
    run = run_of(tmp_path, {"coronal": CORONAL}, combinations=BOTH, seeds_of_first_fold=2)
    assert run.evaluated_methods == run_of(tmp_path, {}).evaluated_methods
    assert list(ablation_rows(run)) == ["patch2loc", "patch2loc-coronal", "both"]
    assert {about["base"] for about in ablation_rows(run).values()} == {"patch2loc"}
    assert ablation_rows(run)["both"]["changes"] == {"of": BOTH["both"]["of"]}
    assert ablation_rows(run)["patch2loc"]["subjects"] == 4
    assert {"ablations"} <= {*Outputs(run).tables} & {*Outputs(run).figures}
    metrics = Outputs(run).all["ablations"].inputs(run)["metrics"]
    assert len(metrics) == len(set(metrics)) == 3 * 2 * 2  # rows, lesion datasets, trainings
    assert job_counts(run)["train"] > job_counts(run_of(tmp_path, {}, seeds_of_first_fold=2))["train"]


def test_the_table_of_a_run_without_variants_is_refused(tmp_path):
    run = run_of(tmp_path, {})
    assert "ablations" not in Outputs(run).tables
    with pytest.raises(InputError, match="ablations: the run has no dataset with lesions, and `variants`"):
        Outputs(run).all["ablations"].check(run)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (
            BETA0 | {"method": "zscore"},
            "variants.one.method: zscore found, one of `methods` that predicts locations",
        ),
        *(
            (WIDE | changes, "variants.one: nothing that differs from patch2loc found")
            for changes in (
                {"patch_mm": None},
                {"patch_mm": 32},
                {"patch_mm": None, "training": {"orientation": "axial", "subjects": None}},
                {"patch_mm": None, "training": {"threads": 7, "memory_mb": 9000}},
            )
        ),
        (
            WIDE | {"patch_mm": 44},
            "variants.one.patch_mm: 44 found, 11 voxels of 4 mm, an even number of 8 at least",
        ),
        (WIDE | {"patch_mm": 24}, "variants.one.patch_mm: 24 found, 6 voxels of 4 mm"),
        (WIDE | {"patch_mm": 160}, None),
        (CORONAL | {"patch_mm": 160}, "patches of 40 voxels found, at most 25 expected, as coronal slices"),
        (FEW | {"training": {"subjects": 5}}, "variants.one.training.subjects: 5 found, at most 4 expected"),
    ],
)
def test_a_variant_that_cannot_be_trained_is_refused(tmp_path, variant, message):
    if message is None:
        run_of(tmp_path, {"one": variant})
        return
    with pytest.raises(InputError) as refused:
        run_of(tmp_path, {"one": variant})
    assert message in str(refused.value)


def test_two_variants_of_the_same_numbers_are_refused(tmp_path):
    again = {"method": "patch2loc", "training": {"beta": 0.0, "memory_mb": 9000}, "patch_mm": 32}
    with pytest.raises(InputError, match=r"^variants.again: what variants.beta0 is found"):
        run_of(tmp_path, {"beta0": BETA0, "wide": WIDE, "again": again})
    run_of(tmp_path, {"beta0": BETA0, "other": again | {"patch_mm": 48}})


@pytest.mark.parametrize("other", ["zscore", "patch2loc_calibrated", "mine.method"])
def test_a_combination_of_a_variant_and_a_row_that_is_not_in_its_table_is_refused(tmp_path, other):
    mixed = {"mixed": {"of": ["patch2loc-coronal", other], "by": "rank_average"}}
    with pytest.raises(InputError) as refused:
        run_of(tmp_path, {"coronal": CORONAL}, combinations=BOTH | mixed)
    assert f"combinations.mixed.of: {other} found beside a variant, rows of the table" in str(refused.value)
    assert "expected: patch2loc, patch2loc-coronal;" in str(refused.value)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"beta": 2}, "variants.one.training.beta: 2 found, 1 or less expected"),
        ({"bet": 0}, "variants.one.training.bet: unknown key found, beta or another key"),
        ({"heads": "three"}, 'variants.one.training.heads: "three" found, one of separate, shared expected'),
    ],
)
def test_settings_of_variants_are_held_against_those_of_training(training, message):
    tiny = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text(encoding="utf-8"))
    with pytest.raises(InputError) as refused:
        completed(tiny | {"variants": {"one": {"training": training}}})
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "expected"), [("orientation", "coronal", "axial"), ("subjects", 2, "null")]
)
def test_a_run_is_of_axial_slices_and_all_subjects(tmp_path, key, value, expected):
    training = configuration(tmp_path)["training"] | {key: value}
    with pytest.raises(InputError, match=rf"^training.{key}: {value} found, {expected} expected"):
        run_of(tmp_path, {}, training=training)


def test_the_shipped_ablations_are_planned_on_top_of_real_scans_and_of_the_paper():
    real = planned_run(
        *(ROOT / f"config/{name}.yaml" for name in ("ixi2mm", "quick", "ablations", "ixi2mm/ablations"))
    )
    assert len(real.variants) == 13
    assert len(real.trainings) == 3
    assert {
        dataset.painted_size["strength"] for dataset in real.datasets.values() if dataset.kind == "painted"
    } == {0.8}
    sizes = {
        name: info.get("lesion_diameter_mm")
        for name, info in dataset_groups.labels(real, real.datasets).items()
    }
    assert sizes == {"ixi": None, **{f"strokes{size}mm": size for size in (12, 20, 32, 48)}}
    widths = {about["patch_mm"] for about in ablation_rows(real).values()} - {None}
    paper = planned_run(*(ROOT / f"config/{name}.yaml" for name in ("config", "ablations")))
    assert (
        widths == {about["patch_mm"] for about in ablation_rows(paper).values()} - {None} == {16, 24, 32, 48}
    )
    trainings = (
        sum(configuration_of(name, real.config)["training"]["patches"] for name in real.trained_methods) * 3
    )
    assert trainings == 42 * 204800
