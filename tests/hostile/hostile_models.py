"""Models that are none or do not fit, each with its message, as in hostile_scans.py."""

import os
import pickle
import struct

import numpy as np
from safetensors.numpy import save

from patch2loc import models
from patch2loc.own_scan import load_scorer
from patch2loc.preprocess.atlas import load_atlas
from patch2loc.preprocess.scan import read_transform
from patch2loc.score.scoring import heatmap_of

MODEL = {
    "method": "thresh",
    "modality": "T1",
    "atlas": "icbm152",
    "preprocess": {"protocol": "paper", "registration": "affine"},
    "state": {"mean": np.zeros((4, 4, 4), np.float32)},
    "landmarks": {"percentiles": [1, 50, 99], "standard_scale": [0.0, 50.0, 100.0]},
    "grid": {"shape": [4, 4, 4], "spacing": 2.0, "affine": np.eye(4).tolist()},
}
LANDMARKS = '{"percentiles": [1, 50, 99], "standard_scale": [0.0, 50.0, 100.0]}'


class Code:
    """Pickled as a call that leaves a trace."""

    def __reduce__(self):
        return os.system, ("touch trace",)


def model(change=lambda content: content, use=models.load_model, name="own.safetensors", **others):
    """A row about a model: what is done to its bytes, and how it is used."""

    def make(folder):
        models.save_model(folder / "valid", MODEL | others)
        (folder / name).write_bytes(change((folder / "valid").read_bytes()))
        (folder / "fold0.json").write_text(LANDMARKS)
        return lambda: use(folder / name)

    return make


def described(text):
    """A file that says `text` of itself, with one array of a state."""
    return model(lambda _: save({"state/mean": np.zeros(2)}, metadata={models.FORMAT: text}))


def checkpoint(content):
    def use(path):
        return models.load_model(path, "T1", path.parent / "fold0.json")

    return model(lambda _: content, use, "own.ckpt")


def scored(path):
    heatmap_of(models.load_model(path), "cpu")(
        np.ones((5, 4, 4), np.float32), np.ones((5, 4, 4), bool), "own"
    )


MODELS = {
    "code in a model": (
        model(lambda _: pickle.dumps(Code())),
        "own.*: not a readable model .*; train it again or get",
    ),
    "code in a checkpoint": (
        checkpoint(pickle.dumps(Code(), 2)),
        "own.ckpt: not a readable checkpoint .*get it again",
    ),
    "model cut short": (model(lambda content: content[:-9]), "own.*: not a readable model .*incomplete"),
    "model cut in its header": (
        model(lambda content: content[:99]),
        "own.*: not a readable model .*invalid header",
    ),
    "checkpoint cut short": (
        checkpoint(b"PK\x03\x04" + bytes(99)),
        "own.ckpt: not a readable checkpoint .*get it",
    ),
    "empty model": (model(lambda _: b""), "own.*: not a readable model .*too small"),
    "header of a petabyte": (
        model(lambda content: struct.pack("<Q", 1 << 50) + content[8:]),
        "own.*: not a readable",
    ),
    "model of another version": (
        model(lambda _: save({}, metadata={"patch2loc model 1": "{}"})),
        "own.*: not a model of this workflow; expected a file with format 'patch2loc model 2'",
    ),
    "other weights": (
        model(lambda _: save({"w": np.ones(2)})),
        "own.*: not a model of this workflow; expected",
    ),
    "description that is no JSON": (
        described("{x"),
        "own.*: a model whose description is damaged .*; train it again",
    ),
    "description that is a list": (
        described("[]"),
        "own.*: a model whose description is damaged .*list instead of",
    ),
    "description without a state": (
        described("{}"),
        "own.*: a model whose description .* does not fit .*'state'",
    ),
    "description too deep": (
        described(100_000 * "["),
        "own.*: a model whose description is damaged .*recursion",
    ),
    "number type that numpy lacks": (
        model(lambda content: content.replace(b'"F32"', b'"F16"').replace(b'"F16"', b'"C64"')),
        "own.*: not a readable model",
    ),
    "model of another modality": (
        model(use=lambda path: models.load_model(path, "T2")),
        "own.*: a model of the workflow has its own modality and landmarks; leave them out",
    ),
    "checkpoint of no modality": (
        model(use=lambda path: models.load_model(path, "FLAIR", path), name="own.ckpt"),
        r"own.ckpt: a checkpoint stores neither its modality nor its landmarks; give both",
    ),
    "atlas of no modality": (
        lambda _: lambda: load_atlas("icbm152", "FLAIR"),
        "'FLAIR' found, T1 or T2 expected; corr",
    ),
    "model of another grid": (
        model(use=scored),
        r"own: grid \(5, 4, 4\) found, but the model was trained on \(4, 4, 4\)",
    ),
    "model of another atlas": (
        model(use=load_scorer),
        "own.*: its grid is not that of the atlas icbm152; give the atlas",
    ),
    "model without a grid": (
        model(use=load_scorer, grid={}),
        "own.*: the model lacks 'shape'; train it with this",
    ),
    "no model": (
        lambda folder: lambda: models.load_model(folder / "own.safetensors"),
        "own.*: no such file; a model",
    ),
    "transform that is none": (
        lambda folder: (folder / "own.tfm").write_text("no") and (lambda: read_transform(folder / "own.tfm")),
        "own.tfm: not a readable affine transform; preprocess the scan again",
    ),
}
