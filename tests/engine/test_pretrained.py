"""Weights from elsewhere and models of other methods: who asks for which, which files they are, what they leave."""

import hashlib
import os
import pickle
import shutil
import sys

import forks
import numpy as np
import pytest
import torch
import yaml
from edited_modules import forget_modules
from repository_paths import ROOT
from scans import save_noise_scan
from torch import nn
from written_models import complete_model

from patch2loc.acquire import registry
from patch2loc.configuration.method_registry import METHODS
from patch2loc.configuration.prerequisites import (
    WEIGHTS,
    available_weights,
    fallback_note,
    fallback_warning,
    methods_needed,
)
from patch2loc.engine.pretrained import with_pretrained
from patch2loc.errors import InputError
from patch2loc.files import sha256, write_json
from patch2loc.models import load_model, save_model
from patch2loc.provenance.record import digest
from patch2loc.standardize import fit_landmarks
from patch2loc.train import FitJob, PretrainedWeights, fit_model, write_model

SHAPE = (12, 10, 4)
DECLARATION = """
from patch2loc.method_declaration import Declaration

METHOD = Declaration(pretrained=("resnet18_imagenet", "vgg19_imagenet"), needs=("patch2loc",))
"""
# The code of a method that says what it was given: planning must not run it, fitting does.
TOY = """
import os

if "PLANNING" in os.environ:
    raise SystemExit("planning ran the module")


def fit(training, validation, settings, checkpoint, device):
    checkpoint.parent.mkdir()
    checkpoint.write_text("begun")
    size = {name: path and len(open(path, "rb").read()) for name, path in settings["pretrained"].items()}
    return {"bytes": size, "place": settings["models"]["patch2loc"]["weights"]["place"].item()}, None


def scorer(state, device, stride=1, precision="float32"):
    pass
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A method in a package of its own that Python finds."""
    package = tmp_path / "outside" / "toyneeds" / "method"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(DECLARATION)
    (package / "model.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(package.parents[1]))
    forget_modules("toyneeds")
    yield package
    forget_modules("toyneeds")


@pytest.fixture
def rows():
    """Rows of the registry by the names of weights."""
    table = registry.read(ROOT / "config/registry.csv").set_index("dataset")
    return table.loc[list(WEIGHTS)].to_dict("index")


def test_every_method_of_the_package_asks_for_what_there_is(rows):
    for name in METHODS:
        available_weights(name, {}, rows)
        assert set(methods_needed(name, METHODS)) <= set(METHODS)


def test_torchvisions_own_list_has_these_addresses_and_beginnings(rows):
    """Nothing is downloaded: the installed torchvision says where its files lie; their names begin their SHA-256."""
    from torchvision.models import ResNet18_Weights, SqueezeNet1_1_Weights, VGG19_Weights

    imagenet = [name for name in WEIGHTS if name.endswith("_imagenet")]
    for name, known in zip(imagenet, (ResNet18_Weights, VGG19_Weights, SqueezeNet1_1_Weights), strict=True):
        row, weights = rows[name], known.IMAGENET1K_V1
        assert row["url"] == weights.url
        assert row["file"] == weights.url.rpartition("/")[2]
        beginning = row["file"].rpartition("-")[2].removesuffix(".pth")
        assert row["checksum"].startswith(f"sha256:{beginning}")
        # torchvision gives the size in MB of 2 ** 20 bytes.
        assert int(row["bytes"]) / 2**20 == pytest.approx(weights.meta["_file_size"], abs=0.01)


def test_only_weights_that_are_configured_and_asked_for_are_given(toy, tmp_path, rows):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"1")
    configured = {"resnet18_imagenet": None, "vgg19_imagenet": str(file), "squeezenet1_1_imagenet": str(file)}
    assert available_weights("toyneeds.method", configured, rows) == {"vgg19_imagenet": str(file)}
    assert available_weights("thresh", configured, rows) == {}


def test_weights_that_are_not_there_are_asked_for_with_their_address(toy, tmp_path, rows):
    configured = {"vgg19_imagenet": str(tmp_path / "none.pth")}
    with pytest.raises(InputError) as raised:
        available_weights("toyneeds.method", configured, rows)
    for said in (
        f"pretrained.vgg19_imagenet: {tmp_path}/none.pth found",
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        "snakemake --cores 1 pretrained",
    ):
        assert said in str(raised.value)
    (toy / "__init__.py").write_text(DECLARATION.replace('"resnet18_imagenet"', '"resnet18"'))
    forget_modules("toyneeds")
    with pytest.raises(InputError, match="pretrained names resnet18, one of resnet18_imagenet"):
        available_weights("toyneeds.method", {}, rows)


def test_fallbacks_are_said(toy):
    methods = ["thresh", "toyneeds.method"]
    assert fallback_note(methods, {"resnet18_imagenet": "x", "vgg19_imagenet": None}) == (
        "Without weights that they could use, in their fallback: toyneeds.method: vgg19_imagenet."
    )
    assert fallback_note(methods, {"resnet18_imagenet": "x", "vgg19_imagenet": "y"}) == ""
    assert fallback_note(["thresh"], {}) == ""


def test_a_fallback_is_warned_of_with_what_to_do(toy, rows):
    def path(name):
        return f"data/downloads/{name}/{rows[name]['file']}"

    some = {"resnet18_imagenet": "x", "vgg19_imagenet": None}
    warning = fallback_warning(["thresh", "toyneeds.method", "ra", "fae"], some, rows, path)
    assert "  toyneeds.method: vgg19_imagenet\n" in warning
    assert "  ra: squeezenet1_1_imagenet, lpips_squeezenet\n" in warning
    assert "fae" not in warning  # it has what it can use
    assert "`snakemake --cores 1 pretrained`" in warning
    assert rows["vgg19_imagenet"]["url"] in warning
    assert "resnet18" not in warning
    keys = yaml.safe_load(warning[warning.index("pretrained:\n") :])["pretrained"]
    assert keys == {
        name: path(name) for name in ("vgg19_imagenet", "squeezenet1_1_imagenet", "lpips_squeezenet")
    }
    assert fallback_warning(["fae", "thresh"], some, rows, path) == ""


def test_a_needed_method_has_to_be_configured(toy):
    assert methods_needed("toyneeds.method", ["patch2loc", "toyneeds.method"]) == ("patch2loc",)
    with pytest.raises(InputError, match=r"toyneeds.method found without patch2loc"):
        methods_needed("toyneeds.method", ["toyneeds.method"])


def test_a_file_is_held_against_its_checksum(tmp_path, rows):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"abc")
    known = hashlib.sha256(b"abc").hexdigest()
    assert digest(file, {"checksum": f"sha256:{known}", "file": "f", "url": "u"}) == known
    assert digest(file, {"checksum": "", "file": "f", "url": "u"}) == known
    with pytest.raises(InputError) as raised:
        digest(file, rows["resnet18_imagenet"])
    for said in (str(file), f"sha256:{known} found", "sha256:f37072fd", rows["resnet18_imagenet"]["url"]):
        assert said in str(raised.value)


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def test_weights_of_a_file_are_those_of_the_network_frozen(tmp_path):
    torch.manual_seed(1)
    whole = nn.ModuleDict({"features": network(), "classifier": nn.Linear(2, 2)})
    for value in whole.state_dict().values():
        value.copy_(torch.rand(value.shape) if value.is_floating_point() else value)
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    read = with_pretrained(network(), tmp_path / "weights.pth", "features.")
    for name, value in read.state_dict().items():
        assert torch.equal(value, whole["features"].state_dict()[name])
    assert not read.training
    assert not any(parameter.requires_grad for parameter in read.parameters())


class Harmful:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code was run')",))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    wrong = {"a layer": nn.Conv2d(1, 2, 3).state_dict(), "a list": [1], "a number": 1, "text": "text"}
    wrong["another shape"] = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)).state_dict()
    wrong["names alone"] = dict.fromkeys(network().state_dict(), "1")
    for content in wrong.values():
        torch.save(content, path)
        with pytest.raises(InputError, match=r"weights.pth: .* found, weights of Sequential expected"):
            with_pretrained(network(), path)
    for data in (b"", b"<html>", pickle.dumps(Harmful(), 2)):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"weights of Sequential expected"):
            with_pretrained(network(), path)


@pytest.fixture
def fitted(tmp_path):
    """A function that fits a method and returns its model's path; the model that it needs says where it is from."""
    scans = [save_noise_scan(tmp_path, f"s{n}", n, SHAPE) for n in range(4)]
    write_json(tmp_path / "landmarks.json", fit_landmarks(scans[:2]))

    def fit(folder, name, place=1.0, **weights):
        state = {"weights": {"place": np.full((1, 1), place)}, "widths": [4], "patch": 8}
        save_model(tmp_path / "needed.safetensors", complete_model(method="patch2loc", state=state))
        path = tmp_path / folder / "model.safetensors"
        fitted = fit_model(
            FitJob(name, "T1", 0, {"seed": 1}, {"atlas": "icbm152", "preprocess": {}}, "code", "cpu"),
            training=scans[:2],
            validation=scans[2:3],
            landmarks_path=tmp_path / "landmarks.json",
            checkpoint_folder=path.parent,
            weights={
                key: PretrainedWeights(file, {"checksum": f"sha256:{sha256(file)}", "file": "", "url": ""})
                for key, file in weights.items()
            },
            needed_models={"patch2loc": tmp_path / "needed.safetensors"} if name == "toyneeds.method" else {},
        )
        write_model(fitted, path, path.parent / "history.csv")
        return path

    return fit


def test_a_model_depends_on_what_the_weights_are_and_not_on_where_they_lie(tmp_path, toy, fitted):
    here, there, other = (tmp_path / name / "weights.pth" for name in ("here", "there", "other"))
    for path, content in ((here, b"12345"), (there, b"12345"), (other, b"54321")):
        path.parent.mkdir()
        path.write_bytes(content)
    first = fitted("a", "toyneeds.method", resnet18_imagenet=here)
    model = load_model(first, method="toyneeds.method")
    assert model["state"] == {"bytes": {"resnet18_imagenet": 5, "vgg19_imagenet": None}, "place": 1.0}
    kept = model["provenance"]["configuration"]["pretrained"]
    assert kept == {"resnet18_imagenet": hashlib.sha256(b"12345").hexdigest(), "vgg19_imagenet": None}
    assert str(here).encode() not in first.read_bytes()
    second = fitted("b", "toyneeds.method", resnet18_imagenet=there)
    assert second.read_bytes() == first.read_bytes()
    checkpoints = [
        next(path.parent.glob("checkpoint-*.pt")).name
        for path in (
            first,
            second,
            fitted("c", "toyneeds.method", resnet18_imagenet=other),
            fitted("d", "toyneeds.method"),
            fitted("e", "toyneeds.method", 2.0, resnet18_imagenet=here),
        )
    ]
    assert checkpoints[0] == checkpoints[1]
    assert len(set(checkpoints)) == 4


def test_a_method_that_asks_for_nothing_is_as_before(fitted, tmp_path):
    model = load_model(fitted("a", "thresh"))
    assert model["provenance"]["configuration"] == {
        "seed": 1,
        "method": "thresh",
        "modality": "T1",
        "fold": 0,
        "atlas": "icbm152",
        "preprocess": {},
        "orientation": "axial",
    }
    assert len(model["provenance"]["inputs"]) == 1 + 2 * 3


@pytest.mark.workflow
def test_snakemake_plans_with_weights_and_says_where_missing_ones_are(tmp_path, toy):
    """Planning does not import the code of the method, which would end it."""
    for part in ("Snakefile", "CITATION.cff", "rules", "workflow", "config", "envs", "profiles"):
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / part)
    config = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())

    def plan(*targets, **pretrained):
        changed = config | {"methods": ["patch2loc", "toyneeds.method"], "pretrained": pretrained}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(changed))
        command = [sys.executable, "-m", "snakemake", "-n", *targets, "--configfile", "config.yaml"]
        environment = {**os.environ, "PYTHONPATH": str(toy.parents[1]), "PLANNING": "yes"}
        result = forks.run(command, tmp_path, environment)
        return result.returncode, result.stdout + result.stderr

    model = "results/tiny/models/toyneeds.method/T1/fold0/model.safetensors"
    (tmp_path / "mine.pth").write_bytes(b"1")
    status, said = plan(model, "pretrained", vgg19_imagenet="mine.pth")
    assert status == 0, said[-2000:]
    inputs = (
        next(line for line in said.splitlines() if "mine.pth" in line).partition("input: ")[2].split(", ")
    )
    assert {"mine.pth", "results/tiny/models/patch2loc/T1/fold0/model.safetensors"} < set(inputs)
    for name, planned in (("resnet18", True), ("vgg19", True), ("squeezenet1_1", False)):
        assert (f"output: data/downloads/{name}_imagenet/downloaded.json" in said) == planned
    status, said = plan(model, vgg19_imagenet="none.pth")
    assert status != 0
    assert "pretrained.vgg19_imagenet: none.pth found" in said
