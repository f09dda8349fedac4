"""config/ixi2mm/pixelwise.yaml is planned, and its rows differ by what they are compared for alone."""

from repository_paths import ROOT
from whole_runs import planned_run

from patch2loc.configuration.method_settings import resolve_settings
from patch2loc.plan import train

BASE = ROOT / "config/ixi2mm.yaml"


def test_the_rows_with_pixel_wise_methods_are_planned_in_three_folds():
    run = planned_run(BASE, ROOT / "config/ixi2mm/pixelwise.yaml")
    assert run.folds == [0, 1, 2]
    pixelwise = ["dae", "dae_patch2loc", "patch2loc_inpainted"]
    assert run.methods == ["patch2loc", *pixelwise, "thresh", "zscore"]
    assert list(run.combinations) == ["patch2loc_dae_average", "patch2loc_dae_fisher"]
    rows = {*run.evaluated_methods}
    assert {"patch2loc_calibrated", "dae_patch2loc_as_published", *pixelwise, *run.combinations} <= rows
    for method in pixelwise[1:]:
        needed = train.needed_models(run, method, "T1", 2)
        assert needed == [f"{run.results.root}/models/patch2loc/T1/fold2/model.safetensors"]
    # Patch2Loc itself is trained as in every other comparison on these scans.
    assert run.config["training"] == planned_run(BASE).config["training"]


def test_its_small_networks_are_those_of_what_they_are_compared_with():
    run = planned_run(BASE, ROOT / "config/ixi2mm/pixelwise.yaml")
    rows = planned_run(BASE, ROOT / "config/ixi2mm/table1.yaml")
    settings = {
        name: resolve_settings(name, run.config["budget"], own)
        for name, own in run.config["method_settings"].items()
    }
    assert settings["dae"] == settings["dae_patch2loc"]
    assert settings["dae"]["steps"] == settings["dae"]["half_period"]  # the learning rate falls once
    phanes = rows.config["method_settings"]["phanes"]
    painter = settings["patch2loc_inpainted"]
    assert (painter["widths"], painter["blocks"]) == (phanes["painter_widths"], phanes["painter_blocks"])
    for shared in ("steps", "batch", "learning_rate"):
        assert painter[shared] == phanes[shared]
