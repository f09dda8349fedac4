"""Models that are none or do not fit, each with its message, as in hostile_scans.py."""

import copy
import os
import pickle
import struct
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from scans import Scan
from small_training import SHAPE, train_small
from written_models import complete_model

from patch2loc import models
from patch2loc.network.location import PAPER_WIDTHS, LocationNetwork
from patch2loc.own_scan import load_scorer
from patch2loc.preprocess.atlas import load_atlas
from patch2loc.preprocess.scan import read_transform
from patch2loc.score.job import score_scans
from patch2loc.score.scoring import heatmap_of

MAP = np.ones((4, 4, 4), np.float32)
MODEL = complete_model(shape=MAP.shape, method="zscore", state={"mean": MAP, "spread": MAP})
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
    heatmap_of(models.load_model(path), "cpu", name=path)(
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
        model(lambda _: save({}, metadata={"patch2loc model 2": "{}"})),
        "own.*: a file with format 'patch2loc model 2' found, .*'patch2loc model 3' expected; train it again with",
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
    "array in the place of a group": (
        model(
            lambda _: save(
                {"state": np.zeros(2), "state/mean": np.zeros(2)}, metadata={models.FORMAT: '{"state": {}}'}
            )
        ),
        "own.*: a model whose description .* does not fit its arrays",
    ),
    "array in the place of a text": (
        model(modality=np.zeros(2, np.float32)),
        "own.*: modality: an array .* found, T1 or T2 or FLAIR expected",
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
        model(use=lambda path: models.load_model(path, "PD", path), name="own.ckpt"),
        r"own.ckpt: a checkpoint stores neither its modality nor its landmarks; give both",
    ),
    "atlas of no modality": (
        lambda _: lambda: load_atlas("icbm152", "PD"),
        "'PD' found, one of T1, T2, FLAIR expected; corr",
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
        r"own.*: no grid\.shape found, three whole numbers from 1 to 1024 expected; train it again",
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


# What was tried on a model that had been trained: {name: (what is done to it, what is said where it is sealed again)}.
# As it is, every one is refused by its checksum; sealed, as if a training had written it, by what is wrong with it.


@cache
def trained():
    """A small network of Patch2Loc, and its model's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = train_small(Path(folder), "trained")
        return models.load_model(path), path.read_bytes()


def put(*keys_and_value):
    """A change: a value, at the end of keys; None for the value removes the key."""
    *groups, key, value = keys_and_value

    def change(content):
        holder = content
        for group in groups:
            holder = holder[group]
        holder[key] = value(holder[key]) if callable(value) else value
        if value is None:
            del holder[key]

    return change


def weight(change, name="encoder.conv1.weight"):
    return put("state", "weights", name, change)


def all_weights(change):
    def change_all(content):
        weights = content["state"]["weights"]
        for name, value in weights.items():
            weights[name] = change(value).astype(value.dtype)

    return change_all


def with_a_number(array, number):
    changed = array.copy()
    changed.flat[3] = number
    return changed


def of_zscore(**state):
    def change(content):
        maps = {"mean": np.ones(SHAPE, np.float32), "spread": np.ones(SHAPE, np.float32)}
        content |= {"method": "zscore", "state": maps | state}

    return change


def refused(key, words):
    return rf"own.*: {key}: .* found, .*{words}.* expected; train it again"


CHANGES = {
    "method list": (put("method", ["thresh"]), refused("method", "the name of a method")),
    "method os": (
        put("method", "os"),
        "own.*: a model of the method 'os' found, one of ae, .*get the file again",
    ),
    "method path": (
        put("method", "../../os"),
        r"own.*: a model of the method '\.\./\.\./os' found, one of ae, ",
    ),
    "method unknown": (put("method", "gibbs"), "own.*: a model of the method 'gibbs' found, one of ae, "),
    "method that is a folder": (
        put("method", "reconstruction"),
        "own.*: a model of the method 'reconstruction'",
    ),
    "method in the package by its dots": (
        put("method", "patch2loc.methods.thresh"),
        "own.*: a model of the method 'patch2loc.methods.thresh' found, .*not run; .*--method patch2loc.methods",
    ),
    "method of the standard library": (
        put("method", "idlelib.idle"),
        "own.*: a model of the method 'idlelib.idle' found, .*not run; .*--method idlelib.idle, or load_model",
    ),
    "method thresh": (
        put("method", "thresh"),
        "own.*: a state with .*'patch', .*'weights', 'widths' found, that of the method thresh, with nothing, expected",
    ),
    "method of another network": (
        put("method", "patch2loc_unpadded"),
        "own.*: weights of another network found .* of UnpaddedNetwork .*expected; train it again",
    ),
    "modality unknown": (put("modality", "PD"), refused("modality", "T1 or T2 or FLAIR")),
    "fold below 0": (put("fold", -1), refused("fold", "a whole number from 0, or null")),
    "fold true": (put("fold", True), refused("fold", "a whole number from 0, or null")),
    "atlas int": (put("atlas", 3), refused("atlas", "the name or the folder of an atlas")),
    "preprocess list": (put("preprocess", ["affine"]), refused("preprocess", "settings of preprocessing")),
    "preprocess missing": (
        put("preprocess", None),
        "own.*: no preprocess found, settings of prepro.* expected",
    ),
    "subjects text": (put("training_subjects", "s0"), refused("training_subjects", "a list of names")),
    "contents of no hash": (
        lambda content: content.update(contents={"s0": "abc"}),
        refused("contents", "hashes, of 64 hexadecimal digits"),
    ),
    "provenance list": (put("provenance", []), refused("provenance", "a dictionary")),
    "threshold nan": (
        lambda content: content.update(healthy_threshold=float("nan")),
        refused("healthy_threshold", "a finite number"),
    ),
    "threshold text": (
        lambda content: content.update(healthy_threshold="high"),
        refused("healthy_threshold", "a finite number"),
    ),
    "grid shape 2": (put("grid", "shape", [24, 20]), refused(r"grid\.shape", "three whole numbers")),
    "grid shape huge": (
        put("grid", "shape", [10**400, 1, 1]),
        refused(r"grid\.shape", "three whole numbers"),
    ),
    "grid shape 0": (put("grid", "shape", [24, 20, 0]), refused(r"grid\.shape", "three whole numbers")),
    "grid spacing text": (
        put("grid", "spacing", "two"),
        refused(r"grid\.spacing", "millimeters from 0.1 to 10"),
    ),
    "grid spacing 0": (put("grid", "spacing", 0.0), refused(r"grid\.spacing", "millimeters from 0.1 to 10")),
    "grid spacing another": (put("grid", "spacing", 1.0), refused(r"grid\.affine", "cubic voxels of 1.0 mm")),
    "grid affine nan": (
        put("grid", "affine", 0, 0, float("nan")),
        refused(r"grid\.affine", "four rows of four finite numbers"),
    ),
    "grid affine oblong": (
        put("grid", "affine", 2, 2, 5.0),
        refused(r"grid\.affine", "cubic voxels of 2.0 mm"),
    ),
    "grid axes unknown": (
        lambda content: content["grid"].update(axes="LAS"),
        refused(r"grid\.axes", "one of RAS, RSA, SAR, LPS"),
    ),
    "landmarks missing": (put("landmarks", None), "own.*: no landmarks found, a dictionary expected"),
    "landmarks all equal": (
        put("landmarks", "standard_scale", lambda scale: [50.0] * len(scale)),
        refused(r"landmarks\.standard_scale", "increasing numbers, as landmarks.background is not set"),
    ),
    "landmarks minus": (
        put("landmarks", "standard_scale", lambda scale: [-each for each in scale]),
        refused(r"landmarks\.standard_scale", "two increasing numbers"),
    ),
    "landmarks nan": (
        put("landmarks", "standard_scale", lambda scale: [*scale[:-1], float("nan")]),
        refused(r"landmarks\.standard_scale", "two increasing numbers"),
    ),
    "landmarks not monotone": (
        put("landmarks", "standard_scale", lambda scale: scale[::-1]),
        refused(r"landmarks\.standard_scale", "two increasing numbers"),
    ),
    "landmarks swapped two": (
        put("landmarks", "standard_scale", lambda scale: [scale[0], scale[2], scale[1], *scale[3:]]),
        refused(r"landmarks\.standard_scale", "two increasing numbers"),
    ),
    "landmarks one too few": (
        put("landmarks", "standard_scale", lambda scale: scale[:-1]),
        refused(r"landmarks\.standard_scale", "one number for each of 11 percentiles"),
    ),
    "landmarks percentiles 200": (
        put("landmarks", "percentiles", lambda percentiles: [*percentiles[:-1], 200.0]),
        refused(r"landmarks\.percentiles", "increasing numbers from 0 to 100"),
    ),
    "landmarks text": (
        put("landmarks", "standard_scale", "0 to 100"),
        refused(r"landmarks\.standard_scale", "two increasing numbers"),
    ),
    "landmarks of an unknown scale": (
        put("landmarks", "scale", "log"),
        refused(r"landmarks\.scale", "percentile or range"),
    ),
    "landmarks equal without the background": (
        put("landmarks", "standard_scale", lambda scale: [scale[0], scale[0], *scale[2:]]),
        refused(r"landmarks\.standard_scale", "increasing numbers, as landmarks.background is not set"),
    ),
    "state list": (put("state", []), refused("state", "a dictionary")),
    "state empty": (
        put("state", {}),
        "own.*: a state with nothing found, that of the method patch2loc, with patch, ",
    ),
    "state without widths": (
        put("state", "widths", None),
        "own.*: a state with .*'patch', 'slice_code', 'weights' found, .*with patch, weights, widths, expected",
    ),
    "state with more": (
        lambda content: content["state"].update(lambda_=1),
        "own.*: a state with .*'lambda_', 'patch', .*'weights', 'widths' found, .*expected",
    ),
    "widths text": (
        put("state", "widths", "wide"),
        refused(r"state\.widths", "whole numbers from 1 to 4096"),
    ),
    "widths three": (
        put("state", "widths", [4, 4, 8]),
        "own.*: a state that the method patch2loc cannot use found",
    ),
    "widths others": (
        put("state", "widths", [4, 4, 8, 16]),
        r"own.*: weights of another network found .* has the shape \(.*\) instead of \(.* more\), those of Loc",
    ),
    "patch wide": (put("state", "patch", 1000), refused(r"state\.patch", "narrower side of a slice")),
    "patch nan": (put("state", "patch", float("nan")), refused(r"state\.patch", "narrower side of a slice")),
    "weights list": (put("state", "weights", [1.0]), refused(r"state\.weights", "a network's weights")),
    "missing weight": (
        weight(None),
        "own.*: weights of another network found .*without encoder.conv1.weight",
    ),
    "extra weight": (
        lambda content: content["state"]["weights"].update({"unknown.weight": np.ones(2, np.float32)}),
        "own.*: weights of another network found .*with unknown.weight, which the network does not have",
    ),
    "weights wrong shape": (
        weight(lambda value: value[1:]),
        r"own.*: weights of another network found .*conv1.weight has the shape \(3, .* instead of \(4, ",
    ),
    "weights flat": (
        weight(np.ravel, "mean_branch.9.weight"),
        r"own.*: weights of another network found .*mean_branch.9.weight has the shape \(\d+,\) instead of",
    ),
    "weights int8": (
        weight(lambda value: (value * 10).astype(np.int8)),
        "own.*: weights of another network found .*conv1.weight has int8 instead of float32 numbers",
    ),
    "weights half": (
        weight(lambda value: value.astype(np.float16)),
        "own.*: weights of another network found .*conv1.weight has float16 instead of float32 numbers",
    ),
    "zero all": (all_weights(np.zeros_like), refused(r"state\.weights", "a network's weights, not all 0")),
    "nan one weight": (
        weight(lambda value: with_a_number(value, np.nan)),
        r"own.*: state\.weights\.encoder\.conv1\.weight: numbers that are not finite found, .*train it again",
    ),
    "nan all": (
        all_weights(lambda value: value * np.nan if value.dtype.kind == "f" else value),
        r"own.*: state\.weights\..*: numbers that are not finite found",
    ),
    "huge weights": (
        weight(lambda value: value * np.float32(1e30)),
        refused(
            r"state\.weights\.encoder\.conv1\.weight", "numbers up to 1e\\+08, far above those of trained"
        ),
    ),
    "bit of an exponent flipped": (
        weight(lambda value: (value.view(np.uint32) ^ np.uint32(1 << 30)).view(np.float32)),
        r"own.*: state\.weights\.encoder\.conv1\.weight: .* found, .* expected; train it again",
    ),
    "variance below 0": (
        weight(lambda value: -value, "encoder.bn1.running_var"),
        refused(r"state\.weights\.encoder\.bn1\.running_var", "variances from 0"),
    ),
    "maps of another grid": (
        of_zscore(mean=np.ones((5, 20, 6), np.float32)),
        refused(r"state\.mean", "model's grid"),
    ),
    "maps of one voxel": (
        of_zscore(mean=np.ones((1, 1, 1), np.float32)),
        refused(r"state\.mean", "model's grid"),
    ),
    "map of whole numbers": (
        of_zscore(mean=np.ones(SHAPE, np.int8)),
        refused(r"state\.mean", "model's grid"),
    ),
    "map missing": (of_zscore(spread=None), refused(r"state\.spread", "model's grid")),
    "spread 0": (of_zscore(spread=np.zeros(SHAPE, np.float32)), refused(r"state\.spread", "positive")),
}
# What nobody can tell once it is sealed: another model, as good as this one.
INDISTINGUISHABLE = {
    "bits flipped": weight(lambda value: (value.view(np.uint32) ^ np.uint32(1)).view(np.float32)),
    "landmarks of T2": put("landmarks", "standard_scale", lambda scale: [each**2 / 100 for each in scale]),
    "weights of T2": weight(lambda value: value[::-1].copy()),
    "modality T2": put("modality", "T2"),
    "fold another": put("fold", 1),
    "subjects fewer": put("training_subjects", list[str]()),
    "threshold added": lambda content: content.update(healthy_threshold=0.5),
    "atlas another": put("atlas", "sri24"),
    "checksum removed": put("checksum", None),
    "checksum of another": put("checksum", "0" * 64),
}
CHECKSUM = "own.*: content that does not match its checksum found, damaged or changed after training, .*train it again"


def used(path):
    """As scoring uses a model."""
    heatmap_of(models.load_model(path), "cpu", name=path)


def changed_model(change, seal, use=used):
    def make(folder):
        content = copy.deepcopy(trained()[0])
        change(content)
        content.setdefault("checksum", "none")  # without one it would be sealed
        models.save_model(folder / "own.safetensors", models.sealed(content) if seal else content)
        return lambda: use(folder / "own.safetensors")

    return make


def bytes_changed(change):
    def make(folder):
        (folder / "own.safetensors").write_bytes(change(trained()[1]))
        return lambda: used(folder / "own.safetensors")

    return make


def scans_scored(**expected):
    """A dataset scored by a model in the place of another one."""

    def use(path):
        score_scans(
            path,
            [Scan("s0", path.parent / "s0", "T1")],
            path.parent / "heatmaps",
            **{"device": "cpu", "stride": 1, "median_filter": 1, "code": "", "method": "patch2loc"}
            | expected,
        )

    return use


def authors(value, use=lambda model: model):
    """A checkpoint of the paper's network, whose weights are one number."""

    def make(folder):
        with torch.device("meta"):
            state = LocationNetwork(PAPER_WIDTHS).state_dict()
        filled = {
            f"model.{name}": torch.full((), value).to(tensor.dtype).expand(tensor.shape)
            for name, tensor in state.items()
        }
        torch.save({"state_dict": filled}, folder / "own.ckpt")
        (folder / "fold0.json").write_text(LANDMARKS)
        return lambda: use(models.load_model(folder / "own.ckpt", "T1", folder / "fold0.json"))

    return make


MODELS |= {
    **{f"changed: {name}": (changed_model(change, False), CHECKSUM) for name, (change, _) in CHANGES.items()},
    **{
        f"changed: {name}": (changed_model(change, False), CHECKSUM)
        for name, change in INDISTINGUISHABLE.items()
    },
    **{f"sealed: {name}": (changed_model(change, True), said) for name, (change, said) in CHANGES.items()},
    "a byte of its weights": (
        bytes_changed(lambda content: content[:-5] + bytes([content[-5] ^ 4]) + content[-4:]),
        CHECKSUM,
    ),
    "a number of its description": (
        bytes_changed(lambda content: content.replace(b'"fold\\": 0', b'"fold\\": 1')),
        CHECKSUM,
    ),
    "preprocessing that there is not": (
        changed_model(put("preprocess", {"registration": "by hand"}), True, load_scorer),
        "own.*: a setting .* not have found .*registration: 'by hand' found, .*; train it again with this version",
    ),
    "model of T2 in the place of T1": (
        changed_model(put("modality", "T2"), True, scans_scored()),
        "own.*: a model of T2 and fold 0 found, of T1 and fold 0 expected; remove the file",
    ),
    "model of another fold in its place": (
        changed_model(put("fold", 1), True, scans_scored(fold=0)),
        "own.*: a model of T1 and fold 1 found, of T1 and fold 0 expected; remove the file",
    ),
    "model of another method in its place": (
        changed_model(put("fold", 0), True, scans_scored(method="thresh")),
        "own.*: a model of the method 'patch2loc' found, one of 'thresh' expected; give a model of that",
    ),
    "checkpoint of zeros": (
        authors(0.0, lambda model: heatmap_of(model, "cpu", name="own.ckpt")),
        r"own\.ckpt: state\.weights: .* found, a network's weights, not all 0, .*expected",
    ),
    "checkpoint of huge numbers": (
        authors(1e30),
        r"own\.ckpt: state\.weights\..*far above those of trained models",
    ),
    "checkpoint of negative variances": (
        authors(-1.0),
        r"own\.ckpt: .*running_var: -1 found, variances from 0",
    ),
}
