"""The interface of methods: names, budgets, modules from outside the package."""

import numpy as np
import pytest
from edited_modules import forget_modules
from scans import save_noise_scan

from patch2loc import method_interface
from patch2loc.configuration import method_registry, method_settings
from patch2loc.configuration.check import check_configuration
from patch2loc.configuration.method_device import device_and_precision
from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.files import write_json
from patch2loc.models import load_model
from patch2loc.provenance import code
from patch2loc.provenance.code import code_hash
from patch2loc.score.job import score_scans
from patch2loc.standardize import fit_landmarks, standardize
from patch2loc.train import FitJob, fit_model, write_model

SHAPE = (12, 10, 4)
TOY = '''
"""Distance from the mean of the training brains, times a factor."""

import numpy as np

import patch2loc.methods.thresh.model as thresh
from patch2loc.method_declaration import Declaration
from toypackage.mean import mean_of
from . import weight

METHOD = Declaration(settings={"smoke": {"factor": 1.0}, "short": {"factor": 2.0}, "paper": {"factor": 3.0}})


def fit(training, validation, settings, checkpoint, device):
    return {"mean": mean_of(training), "factor": settings["factor"] * weight.WEIGHT}, None


def scorer(state, device, stride=1, precision="float32"):
    def score(volume, mask, wanted):
        distance = state["factor"] * np.abs(volume - state["mean"])
        return {"score": np.where(wanted, distance, np.nan).astype(np.float32)}

    return score
'''
MEAN = """
import numpy as np


def mean_of(scans):
    return float(np.mean([volume[mask].mean() for volume, mask in scans]))
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A method in a package of its own that Python finds."""
    package = tmp_path / "outside" / "toypackage"
    package.mkdir(parents=True)
    for name, text in {"__init__": "", "method": TOY, "mean": MEAN, "weight": "WEIGHT = 10\n"}.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(package.parent))
    forget_modules()
    yield package
    forget_modules()


def test_a_method_from_outside_is_fitted_and_scores(tmp_path, toy):
    scans = [save_noise_scan(tmp_path, f"s{n}", n, SHAPE) for n in range(4)]
    landmarks = fit_landmarks(scans[:2])
    write_json(tmp_path / "landmarks.json", landmarks)
    name = "toypackage.method"
    model_path = tmp_path / name / "model.safetensors"
    settings = method_settings.resolve_settings(name, "short") | {"seed": 1, "spacing": 1.0}
    fitted = fit_model(
        FitJob(
            name,
            "T1",
            0,
            settings,
            {"atlas": "icbm152", "preprocess": {}},
            code_hash(name, "patch2loc.train"),
            "cpu",
        ),
        training=scans[:2],
        validation=scans[2:3],
        landmarks_path=tmp_path / "landmarks.json",
        checkpoint_folder=model_path.parent,
    )
    write_model(fitted, model_path, tmp_path / name / "history.csv")
    model = load_model(model_path, method=name)
    assert model["method"] == name
    assert model["state"]["factor"] == 20.0  # short: 2, times the package's own weight
    scoring = {"device": "cpu", "stride": 1, "median_filter": 1, "code": "code"}
    score_scans(model_path, scans[3:], tmp_path / "heatmaps", **scoring, method=name)
    heatmap, _ = volumes.read(tmp_path / "heatmaps" / "s3.nii.gz")
    volume, mask = scans[3].read()
    expected = 20 * np.abs(standardize(volume, mask, landmarks) - model["state"]["mean"])
    np.testing.assert_allclose(heatmap[mask], expected[mask], rtol=1e-5)


def test_the_code_of_a_method_from_outside_is_hashed_with_all_it_imports(toy):
    behind = code.modules_behind(["toypackage.method"])
    assert set(behind) >= {
        "toypackage.method",
        "toypackage.mean",
        "toypackage.weight",
        "patch2loc.methods.thresh.model",
    }
    before = code_hash("toypackage.method")
    for name in ("method", "mean", "weight"):
        with open(toy / f"{name}.py", "a") as stream:
            stream.write("EDITED = True\n")
        forget_modules()
        after = code_hash("toypackage.method")
        assert after != before, name
        before = after


def test_a_method_from_outside_is_told_apart_from_what_is_not_there(toy):
    assert method_interface.method("toypackage.method").fit
    with pytest.raises(InputError, match=r"toypackage\.absent.*pip install"):
        method_interface.method("toypackage.absent")
    with pytest.raises(InputError, match=r"toypackage\.mean .*has no fit and scorer"):
        method_interface.method("toypackage.mean")
    with pytest.raises(InputError, match=r"toypackage\.absent.*pip install"):
        code_hash("toypackage.absent")
    with pytest.raises(InputError, match=r"one of ae, .* expected"):
        method_interface.method("unheard_of")


@pytest.mark.parametrize("name", method_registry.METHODS)
def test_every_named_method_has_the_interface(name):
    module = method_interface.method(name)
    assert callable(module.fit)
    assert callable(module.scorer)
    if name in method_registry.NETWORKS and name not in method_registry.FROM_PATCHES:
        keys = {frozenset(settings) for settings in method_interface.declaration(name).settings.values()}
        assert len(keys) == 1  # every budget sets the same


def test_settings_are_those_of_the_budget_changed_by_the_configuration(toy):
    assert method_settings.resolve_settings("toypackage.method", "smoke")["factor"] == 1
    assert method_settings.resolve_settings("toypackage.method", "paper", {"factor": 0.5})["factor"] == 0.5
    with pytest.raises(
        InputError, match=r"method_settings\.toypackage\.method: fctor found, of factor expected"
    ):
        method_settings.resolve_settings("toypackage.method", "paper", {"fctor": 0.5})


def test_settings_of_what_is_no_method_are_refused():
    config = {
        "patch": 8,
        "grid": {"shape": [48, 48, 25], "spacing": 4.0},
        "score": {"stride": 1, "median_filter": 3},
        "training": {"patches": 10, "batch": 2, "orientation": "axial", "subjects": None},
        "training_data": {},
        "without": [],
        "methods": ["patch2loc", "ae"],
        "budget": "smoke",
        "method_settings": {"ae": {"steps": 1}},
        "parts": {"strides": []},
        "datasets": {},
    }
    check_configuration(config)
    of_a_method_left_out = {"method_settings": {"vae": {"steps": 1}}}
    check_configuration(config | of_a_method_left_out)
    for name in ("vea", "patch2loc"):
        with pytest.raises(InputError, match=f"method_settings: {name} found"):
            check_configuration(config | {"method_settings": {name: {"steps": 1}}})


def test_methods_from_outside_compute_where_networks_do():
    assert method_registry.runs_network("toypackage.method")
    assert not method_registry.runs_network("thresh_dark")
    assert device_and_precision("thresh_dark", "cuda", "bfloat16", 1) == ("cpu", "float32")
    assert device_and_precision("toypackage.method", "cpu", "float32", 1) == ("cpu", "float32")


def test_the_two_signs_of_thresh_rank_voxels_the_other_way_round():
    volume = np.array([[[1.0, 2, 3, 4, 0]]], np.float32)
    mask = volume > 0
    dark = method_interface.method("thresh_dark").scorer({}, "cpu")(volume, mask, mask)["score"]
    bright = method_interface.method("thresh").scorer({}, "cpu")(volume, mask, mask)["score"]
    np.testing.assert_allclose(dark[mask], [3 / 4, 2 / 4, 1 / 4, 0])
    np.testing.assert_allclose(dark[mask] + bright[mask], 1)
    assert np.isnan(dark[~mask]).all()
