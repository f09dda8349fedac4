"""Checkpoints of PyTorch Lightning, read as data."""

import argparse
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from golden import assert_golden, golden_weights, needs_golden
from intensity_normalization.normalizers.population.nyul import NyulNormalizer
from written_models import complete_model

from patch2loc.configuration.method_registry import METHODS
from patch2loc.errors import InputError
from patch2loc.files import write_json
from patch2loc.method_interface import declaration
from patch2loc.methods.patch2loc.model import location_network
from patch2loc.model_schema import KINDS
from patch2loc.models import from_state, load_model, save_model, sealed
from patch2loc.network.lightning import read_landmarks
from patch2loc.network.location import LocationNetwork
from patch2loc.train import FittedModel, write_model

LANDMARKS = {"percentiles": [1, 50, 99], "standard_scale": [0.0, 60.0, 100.0], "scale": "range"}


@pytest.fixture(scope="module")
def network():
    return golden_weights(LocationNetwork())


@pytest.fixture
def landmarks(tmp_path):
    write_json(tmp_path / "fold0.json", LANDMARKS)
    return tmp_path / "fold0.json"


@pytest.fixture
def authors_code(monkeypatch):
    """A module that is there when the checkpoint is written, and not when it is read."""
    module = types.ModuleType("authors_code")
    source = (
        "class Network:\n"
        "    def __setstate__(self, state): raise SystemExit('code of the file was run')\n"
        "def build(*arguments): raise SystemExit('code of the file was run')\n"
    )
    exec(source, module.__dict__)
    monkeypatch.setitem(sys.modules, "authors_code", module)
    return module


class Calls:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def light_weights():
    """State of the published network, all ones: one number a tensor in the file."""
    with torch.device("meta"):
        state = LocationNetwork().state_dict()
    return {
        f"model.{name}": torch.ones((), dtype=value.dtype).expand(value.shape)
        for name, value in state.items()
    }


def checkpoint(path, state, **others):
    """A file laid out as Lightning's Trainer does it."""
    content = {
        "epoch": 3,
        "global_step": 15000,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.01}]}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.01, "patch": 0.125},
    }
    torch.save(content | others, path)
    return path


def test_a_checkpoint_gives_the_network_that_was_saved(tmp_path, network, landmarks):
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    path = checkpoint(tmp_path / "last.ckpt", state | {"val_loss.total": torch.tensor(1.0)})
    model = load_model(path, "T2", landmarks)
    loaded = location_network(model["state"])
    assert loaded.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in network.state_dict().items())
    x, place = torch.rand(5, 1, 24, 24), torch.linspace(0, 99, 5)
    with torch.no_grad():
        for found, expected in zip(loaded(x, place), network(x, place), strict=True):
            assert torch.equal(found, expected)
    assert model["grid"] == {"shape": [192, 192, 100], "spacing": 1.0, "axes": "LPS"}
    assert model["preprocess"] == {
        "registration": "affine",
        "template": "T1",
        "crop": "brain",
        "brain_mask": "any",
        "bias_field": "full",
        "smoothing": "curvature-flow",
    }
    assert model["state"]["epsilon"] == 1e-10
    assert (model["method"], model["modality"], model["state"]["patch"]) == ("patch2loc", "T2", 24)
    assert model["landmarks"] == LANDMARKS
    save_model(tmp_path / "kept.safetensors", model)
    np.testing.assert_equal(load_model(tmp_path / "kept.safetensors"), sealed(model))


@needs_golden
def test_a_checkpoint_gives_the_published_numbers(tmp_path, network, landmarks):
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    model = load_model(checkpoint(tmp_path / "golden.ckpt", state), "T2", landmarks)
    assert_golden(location_network(model["state"]), 50)


def test_half_precision_weights_are_read_as_float32(tmp_path, landmarks):
    state = {name: value.bfloat16() for name, value in light_weights().items()}
    weights = load_model(checkpoint(tmp_path / "half.ckpt", state), "T1", landmarks)["state"]["weights"]
    assert weights["encoder.conv1.weight"].dtype == np.float32
    assert weights["encoder.bn1.num_batches_tracked"].dtype == np.int64
    assert (weights["mean_branch.0.weight"] == 1).all()


def test_classes_that_a_checkpoint_names_are_neither_needed_nor_run(
    tmp_path, landmarks, authors_code, monkeypatch
):
    module = authors_code.Network()
    module.layers = {"width": 3}
    hyper_parameters = {
        "network": module,
        "made_by": Calls(authors_code.build, "anything"),
        "data": Path("data/ixi"),
        "options": argparse.Namespace(seed=1),
        "loss": torch.nn.GaussianNLLLoss(),
        "best": np.float64(0.5),
    }
    path = checkpoint(tmp_path / "rich.ckpt", light_weights(), hyper_parameters=hyper_parameters)
    allowed = set(torch.serialization.get_safe_globals())
    monkeypatch.delitem(sys.modules, "authors_code")
    weights = load_model(path, "T1", landmarks)["state"]["weights"]
    assert (weights["encoder.conv1.weight"] == 1).all()
    assert "authors_code" not in sys.modules
    assert set(torch.serialization.get_safe_globals()) == allowed


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda trace: Calls(os.system, f"touch {trace}"), "system"),
        (lambda trace: Calls(subprocess.check_call, ["touch", str(trace)]), "check_call"),
        (lambda trace: Calls(exec, f"open({str(trace)!r}, 'w')"), r"builtins\.exec"),
        (lambda trace: Calls(getattr, "", "join"), r"builtins\.getattr"),
    ],
)
@pytest.mark.parametrize("where", ["hyper_parameters", "state_dict"])
def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, landmarks, call, named, where):
    trace = tmp_path / "trace"
    content = {"hyper_parameters": {}, "state_dict": light_weights()}
    content[where] = content[where] | {"model.evil": call(trace)}
    path = checkpoint(
        tmp_path / "evil.ckpt", content["state_dict"], hyper_parameters=content["hyper_parameters"]
    )
    with pytest.raises(InputError, match=rf"evil\.ckpt: reading it would call .*{named}.*nothing was run"):
        load_model(path, "T1", landmarks)
    assert not trace.exists()


def test_a_bare_pickle_is_refused(tmp_path, landmarks):
    trace, path = tmp_path / "trace", tmp_path / "bare.ckpt"
    path.write_bytes(pickle.dumps(Calls(os.system, f"touch {trace}"), protocol=2))
    with pytest.raises(InputError, match=r"bare\.ckpt: not a readable checkpoint"):
        load_model(path, "T1", landmarks)
    assert not trace.exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 0.999])
def test_a_truncated_checkpoint_is_named(tmp_path, landmarks, share):
    path = checkpoint(tmp_path / "cut.ckpt", light_weights())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"cut\.ckpt: not a readable checkpoint"):
        load_model(path, "T1", landmarks)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model.mean_branch.12.bias": None}, r"without model\.mean_branch\.12\.bias"),
        ({"model.decoder.weight": torch.ones(2)}, r"with model\.decoder\.weight, which the network does not"),
        (
            {"model.encoder.conv1.weight": torch.ones(64, 1, 7, 7)},
            r"conv1\.weight has the shape \(64, 1, 7, 7\) instead of \(64, 1, 3, 3\)",
        ),
        (
            {"model.encoder.bn1.bias": torch.full((64,), torch.nan)},
            r"bn1\.bias has values that are not finite",
        ),
        ({"model.encoder.bn1.bias": "text"}, r"bn1\.bias is no tensor"),
    ],
)
def test_parameters_that_do_not_fit_are_named(tmp_path, landmarks, change, said):
    state = {name: value for name, value in (light_weights() | change).items() if value is not None}
    with pytest.raises(InputError, match=rf"other\.ckpt: not the weights of the paper's network .*{said}"):
        load_model(checkpoint(tmp_path / "other.ckpt", state), "T1", landmarks)


def test_weights_under_other_names_are_all_missing(tmp_path, landmarks):
    state = {name.replace("model.", "net."): value for name, value in light_weights().items()}
    with pytest.raises(InputError, match=r"without model\.encoder\.bn1\.bias, .* and \d+ more"):
        load_model(checkpoint(tmp_path / "other.ckpt", state), "T1", landmarks)


def test_files_that_are_no_checkpoints_are_refused(tmp_path, landmarks):
    torch.save(torch.ones(2), tmp_path / "tensor.ckpt")
    with pytest.raises(InputError, match=r"tensor\.ckpt: no dictionary found"):
        load_model(tmp_path / "tensor.ckpt", "T1", landmarks)
    torch.save({"weights": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"other\.ckpt: no state_dict found"):
        load_model(tmp_path / "other.ckpt", "T1", landmarks)
    with pytest.raises(InputError, match=r"absent\.ckpt: no such file"):
        load_model(tmp_path / "absent.ckpt", "T1", landmarks)


def test_a_checkpoint_needs_modality_and_landmarks_and_a_model_takes_none(tmp_path, landmarks):
    path = checkpoint(tmp_path / "last.ckpt", light_weights())
    for modality, given in ((None, landmarks), ("T1", None), ("PD", landmarks)):
        with pytest.raises(InputError, match="neither its modality nor its landmarks"):
            load_model(path, modality, given)
    save_model(tmp_path / "model.safetensors", complete_model())
    with pytest.raises(InputError, match="has its own modality and landmarks"):
        load_model(tmp_path / "model.safetensors", "T1")


def test_landmarks_of_the_other_scale_are_refused(tmp_path):
    path = checkpoint(tmp_path / "last.ckpt", light_weights())
    write_json(tmp_path / "paper.json", LANDMARKS | {"scale": "percentile"})
    with pytest.raises(InputError, match=r"paper\.json: .*scale percentile found, range expected"):
        load_model(path, "T1", tmp_path / "paper.json")


def test_a_standard_histogram_of_the_library_is_read(tmp_path):
    normalizer = NyulNormalizer(0, 100)
    normalizer._standard_scale = np.linspace(0, 100, len(normalizer.percentiles)) ** 1.1
    normalizer.save_standard_histogram(tmp_path / "t1.npy")
    found = read_landmarks(tmp_path / "t1.npy")
    assert found["percentiles"] == normalizer.percentiles.tolist()
    assert found["standard_scale"] == normalizer.standard_scale.tolist()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[0, 0, 0, 50, 100], [1, 10, 20, 60, 99]], r"fitted with the background.*write .* as \.json with"),
        ([[0, 50, 100], [99, 50, 1]], "increasing numbers expected"),
        ([[0, np.nan, 100], [1, 50, 99]], "increasing numbers expected"),
        ([[0], [1]], "increasing numbers expected"),
        ([[0, 50, 100], [1, 50, 200]], "numbers from 0 to 100 expected"),
        ([1, 2, 3], "no landmarks found"),
        ([{"a": 1}, None], "no landmarks found"),
    ],
)
def test_landmarks_that_cannot_be_used_are_named(tmp_path, rows, said):
    np.save(tmp_path / "bad.npy", np.array(rows))
    with pytest.raises(InputError, match=rf"bad\.npy: .*{said}"):
        read_landmarks(tmp_path / "bad.npy")


def test_landmarks_of_the_library_with_the_background_are_used_as_the_message_says(tmp_path):
    landmarks = {"percentiles": [1, 10, 20, 60, 99], "standard_scale": [0, 0, 0, 50, 100]}
    write_json(tmp_path / "t1.json", landmarks)
    with pytest.raises(InputError, match='does, add "background": true'):
        read_landmarks(tmp_path / "t1.json")
    write_json(tmp_path / "t1.json", landmarks | {"background": True})
    assert read_landmarks(tmp_path / "t1.json")["standard_scale"] == landmarks["standard_scale"]


def test_other_files_are_no_landmarks(tmp_path):
    write_json(tmp_path / "other.json", {"percentiles": [1, 2]})
    with pytest.raises(InputError, match=r"other\.json: no landmarks found"):
        read_landmarks(tmp_path / "other.json")
    with pytest.raises(InputError, match="no such file"):
        read_landmarks(tmp_path / "absent.npy")


def test_a_model_that_was_changed_has_to_be_sealed(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, complete_model())
    model = load_model(path) | {"healthy_threshold": 0.5}
    save_model(path, model)
    with pytest.raises(InputError, match=r"model\.safetensors: content that does not match its checksum"):
        load_model(path)
    save_model(path, sealed(model))
    assert load_model(path)["healthy_threshold"] == 0.5


def test_the_checksum_is_that_of_every_value_and_no_order(tmp_path):
    weights = {"b": np.ones((2, 2), np.float32), "a": np.zeros(3, np.int64)}
    model = complete_model(method="own.method", state={"weights": weights, "by_number": {10: 1, 2: 3}})
    checksums = {
        sealed(complete_model(method="own.method", state=state))["checksum"]
        for state in (
            model["state"],
            {"weights": weights, "by_number": {10: 1, 2: 4}},
            {"weights": weights | {"b": np.ones((4, 1), np.float32)}, "by_number": {10: 1, 2: 3}},
            {"weights": weights | {"b": np.ones((2, 2), ">f4")}, "by_number": {10: 1, 2: 3}},
            {"weights": weights | {"c": weights["a"]}, "by_number": {10: 1, 2: 3}},
        )
    }
    assert len(checksums) == 5
    turned = {key: model[key] for key in reversed(model)}
    assert sealed(turned)["checksum"] == sealed(sealed(model))["checksum"] == sealed(model)["checksum"]
    save_model(tmp_path / "model.safetensors", turned)
    loaded = load_model(tmp_path / "model.safetensors", method="own.method")
    assert loaded["checksum"] == sealed(model)["checksum"]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_package_declares_its_state(name):
    declared = declaration(name)
    kinds = {**declared.state, **declared.optional_state}
    assert set(kinds.values()) <= set(KINDS)
    with pytest.raises(
        InputError, match=rf"own: a state with 'nonsense' found, that of the method {name}, with "
    ):
        from_state(complete_model(method=name, state={"nonsense": 1}), "own", lambda module: module)


def test_errors_of_a_method_from_outside_are_its_own(tmp_path, monkeypatch):
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "method.py").write_text(
        "def fit(): pass\ndef scorer(state, *_): state['absent']\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    model = complete_model(method="own_package.method")
    with pytest.raises(KeyError, match="absent"):
        from_state(model, "own", lambda module: module.scorer(model["state"], "cpu"))


def test_a_training_that_diverged_writes_no_model(tmp_path):
    state = {"mean": np.full((24, 20, 6), np.nan, np.float32), "spread": np.ones((24, 20, 6), np.float32)}
    fitted = FittedModel(complete_model(method="zscore", state=state), pd.DataFrame())
    with pytest.raises(
        InputError, match=r"model\.safetensors: state\.mean: .* not finite found.*lower learning rate"
    ):
        write_model(fitted, tmp_path / "model.safetensors", tmp_path / "history.csv")
    assert not list(tmp_path.iterdir())
