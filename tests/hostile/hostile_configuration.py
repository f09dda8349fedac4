"""Configurations that are wrong or contradict themselves, each with its message, as in hostile_scans.py."""

import numpy as np
import yaml
from repository_paths import ROOT

from patch2loc.configuration.check import check_configuration, check_paths
from patch2loc.configuration.configuration_file import read_configuration
from patch2loc.configuration.validation import valid

TINY = (ROOT / "tests/tiny.yaml").read_text(encoding="utf-8")


def changed(path, value):
    """The configuration of the tests with one key set."""
    config = yaml.safe_load(TINY)
    *groups, key = path.split(".")
    holder = config
    for group in groups:
        holder = holder[group]
    holder[key] = value
    return config


def configured(path, value):
    return lambda _: lambda: valid(changed(path, value))


def contradictory(path, value):
    def make(_):
        return lambda: check_configuration(valid(changed(path, value)))

    return make


def unplaced(path, value):
    def make(folder):
        (folder / "own.yaml").touch()
        return lambda: check_paths({"data": "data"} | changed(path, value))

    return make


def written(content):
    """A row about the file itself."""

    def make(folder):
        (folder / "own.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return lambda: read_configuration(folder / "own.yaml")

    return make


FILES = {
    "key twice": (
        written("results: r\nseed: 1\natlas: a\nseed: 2\n"),
        "own.yaml: seed found twice, in line 2 and in line 4, every key once expected; remove one of them, or re",
    ),
    "key twice in quotes": (written('seed: 1\n"seed": 2\n'), "own.yaml: seed found twice, in line 1 and in"),
    "dataset twice": (
        written("datasets:\n  own: {title: a}\n  other: {title: b}\n  own: {title: c}\n"),
        "own.yaml: own found twice, in line 2 and in line 4, every key once expected",
    ),
    "key twice in a list": (
        written("a:\n- {b: 1,\n   b: 2}\n"),
        "own.yaml: b found twice, in line 2 and in",
    ),
    "binary file": (
        written(b"\x7fELF\xcc\xcc"),
        "own.yaml: no YAML in UTF-8 found .*0xcc.*save the file as UTF-8",
    ),
    "Python's object": (
        written("a: !!python/object/apply:os.system [x]\n"),
        "own.yaml: line 1: no YAML found .could not determine a constructor",
    ),
    "alias of nothing": (written("a: *b\n"), "own.yaml: line 1: no YAML found .found undefined alias 'b'"),
    "two documents": (
        written("a: 1\n---\na: 2\n"),
        "own.yaml: line 2: no YAML found .*but found another document",
    ),
}

WMH = "datasets.phantom_wmh"
FOLDER = {"kind": "folder", "root": "own", "scan": "{subject}.nii.gz"}
LESIONS = {"title": "own", "modality": "T1", "role": "lesion", "source": FOLDER}
LABELED = {"kind": "table", "table": "own.csv"}
TRAINING = {"kind": "phantom", "cohort": "healthy", "count": 6}
CONFIGURATION = {
    **FILES,
    "unknown key": (
        configured("zzzz", 1),
        "^zzzz: unknown key found, one of preset, .*, datasets expected; correct the name, or leave it out$",
    ),
    "not a number": (
        contradictory("training.learning_rate", float("nan")),
        "training.learning_rate: NaN found, a finite number expected",
    ),
    "an endless number": (
        contradictory("method_settings", {"thresh": {"x": float("inf")}}),
        "method_settings.thresh.x: inf found, a finite number expected",
    ),
    "unknown key in a group": (
        configured("training.epochs", 1),
        "^training.epochs: unknown key found, one of network, .*, memory_mb expected; correct",
    ),
    "misspelt key of a dataset": (
        configured(WMH, LESIONS | {"modalty": "T1"}),
        f"^{WMH}.modalty: unknown key found, modality or another key of config/keys.md expected; correct",
    ),
    "misspelt key of a source": (
        configured(f"{WMH}.source", {"kind": "table", "tabel": "x"}),
        f"^{WMH}.source.tabel: unknown key found, table or another key",
    ),
    "key of another group": (
        configured("stride", 2),
        "^stride: unknown key found, score.stride or another key",
    ),
    "key that is a number": (
        configured("training", {1: 1}),
        "^training.1: unknown key found, one of network, ",
    ),
    "text for a number": (
        configured("seed", "7"),
        '^seed: "7" found, a whole number expected; write a number',
    ),
    "number that is text in YAML": (
        configured("training.learning_rate", yaml.safe_load("1e-3")),
        r'^training.learning_rate: "1e-3" found, a number expected; write .* a point .* \(7, 0.001, 1.0e-5\)$',
    ),
    "truth for a number": (configured("patch", True), "^patch: true found, a whole number expected; correct"),
    "number for a text": (
        configured("results", 5),
        "^results: 5 found, a folder without ://, braces or a leading ~ in its name expected; put it in quotes",
    ),
    "date for a text": (
        configured(f"{WMH}.title", yaml.safe_load("2020-01-01")),
        f"^{WMH}.title: 2020-01-01 found, text expected; put it in quotes",
    ),
    "list for a group": (
        configured("training", [1]),
        r"^training: \[1\] found, keys with values expected; correct the configuration$",
    ),
    "nothing for a group": (configured("datasets", None), "^datasets: null found, keys with values expected"),
    "text for a list": (configured("folds", "0"), '^folds: "0" found, a list expected'),
    "text for a source": (
        configured(f"{WMH}.source", "x" * 200),
        f'^{WMH}.source: "x{{79}}... found, keys with values expected',
    ),
    "value below its minimum": (configured("score.stride", 0), "^score.stride: 0 found, 1 or more expected"),
    "odd patch": (configured("patch", 25), "^patch: 25 found, a multiple of 2 expected"),
    "even filter": (
        configured("score.median_filter", 4),
        "median_filter: 4 found, an odd number of 1 to 15",
    ),
    "infinite learning rate": (
        configured("training.learning_rate", np.inf),
        "^training.learning_rate: Infinity found, a finite number expected",
    ),
    "grid that fills memory": (
        configured("grid.shape", [99999] * 3),
        r"^grid.shape: \[99999, 99999, 99999\] found, whole-brain, or three whole numbers of 8 to 1024 expected",
    ),
    "grid whose voxels fill memory": (
        contradictory("grid", {"shape": [1024, 1024, 1024], "spacing": 0.2}),
        r"^grid.shape: \[1024, 1024, 1024\] found, 1,073,741,824 voxels, at most 134,217,728 expected; lower it",
    ),
    "grid of a millimeter": (
        configured("grid.spacing", 1e-9),
        "^grid.spacing: 1e-09 found, 0.1 or more expected",
    ),
    "grid inside a brain": (
        contradictory("grid.spacing", 0.5),
        r"^grid: \[48, 48, 25\] voxels of 0.5 mm found, \[24, 24, 12.5\] mm, 50 to 500 mm along each axis exp",
    ),
    "grid of ten meters": (
        contradictory("grid", {"shape": [192, 192, 100], "spacing": 10}),
        r"^grid: \[192, 192, 100\] voxels of 10 mm found, \[1920, 1920, 1000\] mm, 50 to 500 mm",
    ),
    "seed of 70 bits": (
        configured("seed", 2**70),
        "^seed: 1180591620717411303424 found, 2147483647 or less expected; correct",
    ),
    "seed with a point": (configured("seed", 7.0), "^seed: 7.0 found, a whole number expected; write 7$"),
    "fold with a point": (configured("folds", [0.0]), "^folds: 0.0 found, a whole number expected; write 0$"),
    "fold of thousands": (configured("folds", [5000]), "^folds: 5000 found, 99 or less expected"),
    "folds of thousands": (
        configured("folds", list(range(5000))),
        "^folds: (100|[0-9]{3,4}) found, 99 or less expected",
    ),
    "stride of a thousand": (
        configured("score.stride", 1000),
        "^score.stride: 1000 found, 512 or less expected",
    ),
    "stride over patches": (
        contradictory("score.stride", 5),
        "^score.stride: 5 found, at most 4 expected, half of patch, so that two patches in a row overlap by half",
    ),
    "filter of a brain": (
        configured("score.median_filter", 999),
        "^score.median_filter: 999 found, an odd number of 1 to 15 expected",
    ),
    "billion simulated subjects": (
        configured(f"{WMH}.source.count", 10**9),
        f"^{WMH}.source.count: 1000000000 found, 100000 or less expected; correct",
    ),
    "simulated voxels of micrometers": (
        configured("phantom.voxel_size", [1, 1, 1e-3]),
        "^phantom.voxel_size: 0.001 found, 0.5 or more expected",
    ),
    "noise of an earthquake": (
        configured("phantom.noise", 1e9),
        "^phantom.noise: 1000000000.0 found, 1 or less",
    ),
    "batch of the whole training": (
        configured("training.batch", 10**12),
        "^training.batch: 1000000000000 found, 1000000 or less expected",
    ),
    "averaging that never moves": (
        configured("training.averaging", 1),
        "^training.averaging: 1 found, less than 1 expected",
    ),
    "memory of a data center": (
        configured("training.memory_mb", 10**12),
        "^training.memory_mb: 1000000000000 found, 10000000 or less",
    ),
    "threads of a data center": (
        configured("score.threads", 10**6),
        "^score.threads: 1000000 found, 1024 or less",
    ),
    "no label of a lesion": (
        configured(f"{WMH}.source", LABELED | {"lesion_labels": []}),
        rf"^{WMH}.source.lesion_labels: \[\] found, 1 or more entries expected",
    ),
    "label of no map": (
        configured(f"{WMH}.source", LABELED | {"lesion_labels": [10**9]}),
        f"^{WMH}.source.lesion_labels: 1000000000 found, 65535 or less expected",
    ),
    "label twice": (
        configured(f"{WMH}.source", LABELED | {"lesion_labels": [1, 1]}),
        rf"^{WMH}.source.lesion_labels: \[1, 1\] found, every entry once expected",
    ),
    "grid of two axes": (
        configured("grid.shape", [48, 48]),
        r"^grid.shape: \[48, 48\] found, whole-brain, or three whole numbers of 8 to 1024 expected",
    ),
    "fold twice": (configured("folds", [0, 0]), r"^folds: \[0, 0\] found, every entry once expected"),
    "misspelt method": (
        configured("methods", ["patch2loc", "tresh"]),
        '^methods: "tresh" found, the name of a method or .* expected; perhaps thresh is meant',
    ),
    "methods without patch2loc": (
        configured("methods", ["thresh"]),
        r'^methods: \["thresh"\] found, all or a list with patch2loc in it expected',
    ),
    "misspelt choice": (
        configured("precision", "float23"),
        '^precision: "float23" found, one of auto, float32, bfloat16 expected; perhaps float32 is meant; correct it$',
    ),
    "split of half the lists": (
        configured(f"{WMH}.split", {"clean": "x"}),
        f'^{WMH}.split: {{"clean": "x"}} found, a CSV, null, {{clean: CSV, published: CSV}}, or numbers',
    ),
    "modality that is none": (
        configured(f"{WMH}.modality", "PD"),
        f'^{WMH}.modality: "PD" found, one of T1, T2, FLAIR expected; correct the configuration$',
    ),
    "model of no modality": (
        configured("training_data", {"PD": "x"}),
        '^training_data: the name "PD" found, one of T1, T2, FLAIR expected; correct the name$',
    ),
    "dataset named as a path": (
        configured("datasets", {"../x": {}}),
        '^datasets: the name "../x" found, small letters, digits and _, at most 100, expected; correct the name$',
    ),
    "dataset with a name of a megabyte": (
        configured("datasets", {"x" * 10**6: {}}),
        '^datasets: the name "x{79}... found, small letters',
    ),
    "title of a megabyte": (
        contradictory(f"{WMH}.title", "x" * 10**6),
        f"^{WMH}.title: 'x{{40}}', 1,000,000 letters found, at most 4,096 expected, none of them a control character",
    ),
    "title with an empty line": (
        contradictory(f"{WMH}.title", "a\n\nb"),
        f"^{WMH}.title: 'a.n.nb', 4 letters found, .*none of them a control character or an end of line;",
    ),
    "path with a zero byte": (
        contradictory(f"{WMH}.source", LABELED | {"root": "a\0b"}),
        f"^{WMH}.source.root: 'a.x00b', 3 letters found, at most 4,096 expected, none of them a control",
    ),
    "dataset named by a number": (
        configured("datasets", {1: {}}),
        "^datasets: the name 1 found, small letters",
    ),
    "URL of the results": (
        configured("results", "s3://bucket/x"),
        '^results: "s3://bucket/x" found, a folder without ://, braces or a leading ~ in its name expected; correct',
    ),
    "results in somebody's home": (
        configured("results", "~/x"),
        '^results: "~/x" found, a folder without ://, braces or a leading ~ in its name expected; correct',
    ),
    "URL of the data": (
        configured("data", "https://x.org"),
        '^data: "https://x.org" found, a folder without ://',
    ),
    "dataset without a source": (
        configured(WMH, {"title": "own", "modality": "T1", "role": "lesion"}),
        rf"^{WMH}.source: no such key found, keys with values expected \(Where the scans are\); add it$",
    ),
    "source of no kind": (
        configured(f"{WMH}.source", {}),
        f"^{WMH}.source.kind: no such key found, one of table, folder, bids, phantom, painted, controlled, "
        "recontrasted expected; add it$",
    ),
    "folder without a pattern": (
        configured(f"{WMH}.source", {"kind": "folder", "lesion": "x"}),
        f"^{WMH}.source.scan: no such key found, text expected .*; add it$",
    ),
    "table without a table": (
        configured(f"{WMH}.source", {"kind": "table"}),
        f"^{WMH}.source.table: no such key found, text expected ",
    ),
    "simulated cohort of none": (
        configured(f"{WMH}.source", {"kind": "phantom"}),
        f"^{WMH}.source.cohort: no such key found, one of healthy, tumor, ms, stroke, wmh expected ",
    ),
    "test subjects and none to validate": (
        configured(f"{WMH}.source", TRAINING | {"test": 1}),
        f"^{WMH}.source: test found without validation, both expected, or none; add validation, or leave test out$",
    ),
    "lesion dataset without lesions": (
        configured(WMH, LESIONS),
        f"^{WMH}.source.lesion: no such key found, text expected ",
    ),
    "given brains without brains": (
        configured(WMH, LESIONS | {"skull_strip": "given", "source": FOLDER | {"lesion": "x"}}),
        f"^{WMH}.source.brain: no such key found, text expected ",
    ),
    "key of another kind of source": (
        contradictory(f"{WMH}.source", FOLDER | {"lesion": "x", "cohort": "wmh", "table": "x.csv"}),
        f"^{WMH}.source.cohort: a key of kind phantom found, one of kind, scan, root, .* expected, the keys of "
        "kind folder; leave it out, or change the kind$",
    ),
    "BIDS dataset without its folder": (
        configured(f"{WMH}.source", {"kind": "bids", "lesion": "x"}),
        f"^{WMH}.source.root: no such key found, text expected ",
    ),
    "settings of no method": (
        contradictory("method_settings", {"aee": {}, "patch2loc": {}, "ae": {}, "no.module": {}}),
        "method_settings: aee, patch2loc, no.module found, methods expected, whose settings these are .*; correct",
    ),
    "settings of a method without any": (
        contradictory("method_settings", {"thresh": {"x": 1}}),
        "method_settings.thresh: x found, nothing expected, as thresh has no settings; leave it out",
    ),
    "results in a file": (
        unplaced("results", "own.yaml/x"),
        "results: own.yaml/x found, but own.yaml is a file, a folder expected",
    ),
    "atlas by another name": (
        unplaced("atlas", "ICBM152"),
        "atlas: ICBM152 found, icbm152 expected, or a folder below `data` .* with spgr.nii and late.nii",
    ),
    "patch wider than the grid": (
        contradictory("patch", 64),
        "patch: 64 found, at most 48 expected, as grid.shape says",
    ),
    "budget below a batch": (
        contradictory("training.patches", 10),
        "training.patches: 10 found, at least one batch",
    ),
    "simulated training without test": (
        contradictory("datasets.phantom_healthy_t1.source", TRAINING),
        "datasets.phantom_healthy_t1.source: .* without `validation` and `test`, .*; set both",
    ),
    "fold that is not simulated": (
        contradictory("folds", [0, 7]),
        r"folds: \[7\] found, but the simulated cohort .* 0 to 4",
    ),
}

# Files that Snakemake itself reads before the rules are planned: (content, message).
UNPLANNED = {
    "key twice": (
        f"{TINY}\nseed: 8\n",
        r"own.yaml: seed found twice, in line 3 and in line \d+, every key once expected; remove one of them, or re",
    ),
    "dataset twice": (
        f"{TINY}\n  phantom_wmh:\n    <<: *lesion\n",
        r"own.yaml: phantom_wmh found twice, in line \d+ and in line \d+, every key once expected; remove",
    ),
}
# What the rules find when they plan: (key, value, message).
PLANS = {
    "misspelt key": (
        "datasets.phantom_wmh.skul_strip",
        "none",
        "Error: datasets.phantom_wmh.skul_strip: unknown key found, skull_strip or another key",
    ),
    "lesion dataset as training data": (
        "training_data.T1",
        "phantom_wmh",
        "training_data.T1: dataset phantom_wmh of role lesion .* found, a healthy T1 dataset expected; correct",
    ),
    "training data of another modality": (
        "training_data.T1",
        "phantom_healthy_t2",
        "training_data.T1: dataset phantom_healthy_t2 of role healthy and modality T2 found, a healthy T1",
    ),
    "modality without a model": (
        "training_data",
        {"T1": "phantom_healthy_t1"},
        "datasets.phantom_healthy_t2: no model for T2; name a healthy dataset in training_data.T2",
    ),
    "more validation subjects than there are": (
        "datasets.phantom_healthy_t1.source",
        TRAINING | {"validation": 30, "test": 1},
        "6 subjects found, too few for 5 x 30 for validation, .*; give the cohort more subjects or lower these",
    ),
}
