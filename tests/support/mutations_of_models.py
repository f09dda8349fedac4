"""Mutations of models: in the file, whose checksum then tells, and before it is sealed, which a schema has to tell.

What is sealed is only ever changed to what no training gives: a model with other weights of the same kind is another
model, and no reader can know which of the two was meant.
"""

import copy
import json
from functools import partial

import numpy as np
from hypothesis import strategies as some
from mutations import Mutation, plain
from safetensors import safe_open
from safetensors.numpy import save

from patch2loc import models

WRONG = [
    None,
    True,
    0,
    -1,
    0.5,
    1e30,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../../os",
    "os",
    [],
    {},
    [1],
    [None],
    {"a": 1},
]
OTHER_METHODS = [
    "thresh",
    "patch2loc",
    "random",
    "oracle",
    "os",
    "../../os",
    "idlelib.idle",
    "own.evil",
    "",
    "Thresh",
    "reconstruction",
]


def leaves(content, path=()):
    """Every key of nested dictionaries with the keys that lead to it, and its value."""
    for key, value in content.items():
        yield (*path, key), value
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))


def _holder(content, path):
    for key in path[:-1]:
        content = content[key]
    return content, path[-1]


# Of the content of a model.


def replaced(model, path, value):
    holder, key = _holder(model, path)
    holder[key] = copy.deepcopy(value)


def removed(model, path):
    holder, key = _holder(model, path)
    del holder[key]


def added(model, path, name, value):
    holder, _ = _holder(model, path)
    holder[name] = copy.deepcopy(value)


def in_list(model, path, place, value):
    """One entry of a list, maybe of lists, is another."""
    holder, key = _holder(model, path)
    entries = copy.deepcopy(holder[key])
    inner = entries
    while isinstance(inner[0], list):
        inner = inner[place % len(inner)]
    inner[place % len(inner)] = value
    holder[key] = entries


def list_changed(model, path, change):
    holder, key = _holder(model, path)
    entries = list(holder[key])
    holder[key] = {
        "reversed": entries[::-1],
        "shorter": entries[:-1],
        "longer": [*entries, entries[-1]],
        "equal": [entries[0]] * len(entries),
        "negative": [-value if isinstance(value, int | float) else value for value in entries],
        "too large": [value * 200 + 200 if isinstance(value, int | float) else value for value in entries],
    }[change]


def scan_changed(model, place, path, value):
    """What is stored of one healthy scan of a detector."""
    replaced(_scan(model, place), path, value)


def scan_without(model, place, path):
    removed(_scan(model, place), path)


def scans_changed(model, change):
    """Other healthy scans than those that the volumes of a detector are of."""
    scans = model["reference"]["scans"]
    again = {**scans[0], "subject": "again"}
    model["reference"]["scans"] = {
        "none": [],
        "one twice": [*scans[:-1], scans[0]],
        "all the same": [scans[0]] * len(scans),
        "one more": [*scans, again],
        "one less": scans[1:],
        "names alone": [scan["subject"] for scan in scans],
    }[change]


def _scan(model, place):
    scans = model["reference"]["scans"]
    return scans[place % len(scans)]


def array_changed(model, path, change, seed):
    holder, key = _holder(model, path)
    array = holder[key]
    holder[key] = np.asarray((ARRAYS | ORDERED)[change](array, np.random.default_rng(seed)))


def _one(array, value, rng):
    changed = np.array(array, dtype=array.dtype, ndmin=1)
    changed.flat[rng.integers(changed.size)] = value
    return changed.reshape(array.shape)


def _bit(array, rng):
    content = bytearray(array.tobytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    return np.frombuffer(bytes(content), array.dtype).reshape(array.shape)


def _floating(change):
    return lambda array, rng: (
        change(array, rng) if array.dtype.kind == "f" else array[..., :-1] if array.ndim else array + 1
    )


# What no training gives, whatever the array.
ARRAYS = {
    "NaN": _floating(lambda array, rng: _one(array, np.nan, rng)),
    "all NaN": _floating(lambda array, rng: np.full_like(array, np.nan)),
    "infinite": _floating(lambda array, rng: _one(array, np.inf, rng)),
    "huge": _floating(lambda array, rng: np.full_like(array, 1e30)),
    "int8": _floating(lambda array, rng: array.astype(np.int8)),
    "transposed": lambda array, rng: array.T[..., None],
    "shorter": lambda array, rng: array[:-1] if array.ndim else array.reshape(1, 1),
    "longer": lambda array, rng: np.concatenate([array, array]) if array.ndim else array.reshape(1, 1),
    "empty": lambda array, rng: array.reshape(-1)[:0],
}
LISTS = ["reversed", "shorter", "longer", "equal", "negative", "too large"]
# The same of arrays that rise or fall.
ORDERED = {
    "reversed": lambda array, rng: array[..., ::-1],
    "negative": lambda array, rng: -array - 1,
    "shifted": lambda array, rng: array + array.dtype.type(5),
}
# What only the checksum can tell.
UNSEEN = {
    "zero": lambda array, rng: np.zeros_like(array),
    "permuted": lambda array, rng: rng.permutation(array.reshape(-1)).reshape(array.shape),
    "negative": lambda array, rng: -array,
    "bit": _bit,
    "float64": lambda array, rng: array.astype(np.float64),
    "float16": lambda array, rng: array.astype(np.float16),
}


def changes(model):
    """Strategy of (name, function that changes a model in place) of what no training gives."""
    return some.one_of(
        _changes_at(list(leaves(model))),
        _named("method", replaced, path=some.just(("method",)), value=some.sampled_from(OTHER_METHODS)),
        _named(
            "modality",
            replaced,
            path=some.just(("modality",)),
            value=some.sampled_from(["T2", "SWI", "t1", "PD"]),
        ),
        _named(
            "list",
            list_changed,
            path=some.sampled_from(
                [("landmarks", "percentiles"), ("landmarks", "standard_scale"), ("grid", "shape")]
            ),
            change=some.sampled_from(LISTS),
        ),
    )


def _changes_at(nested):
    """Changes of values with their paths, as `leaves` gives them."""
    arrays = [path for path, value in nested if isinstance(value, np.ndarray)]
    lists = [path for path, value in nested if isinstance(value, list) and value]
    others = [path for path, value in nested if not isinstance(value, np.ndarray)]
    return some.one_of(
        _named(
            "wrong value", replaced, path=some.sampled_from(others), value=some.sampled_from(WRONG) | plain
        ),
        _named("key missing", removed, path=some.sampled_from(others + arrays[:5])),
        _named(
            "key more",
            added,
            path=some.sampled_from(others),
            name=some.sampled_from(["unknown", "weights", "", "a/b", "../x", "method "]),
            value=some.sampled_from(WRONG),
        ),
        _named(
            "wrong entry",
            in_list,
            path=some.sampled_from(lists),
            place=some.integers(0, 20),
            value=some.sampled_from(WRONG),
        ),
        _named(
            "array",
            array_changed,
            path=some.sampled_from(arrays),
            change=some.sampled_from(list(ARRAYS)),
            seed=some.integers(0, 2**16),
        ),
    )


NOT_AMOUNTS = [value for value in WRONG if not (type(value) in (int, float) and 0 <= value < np.inf)]


NOT_TEXTS = [value for value in NOT_AMOUNTS if not isinstance(value, str) and value != -1]


def changes_of_reference(model):
    """As `changes`, of what a detector knows of healthy scans."""
    reference = [(path, value) for path, value in leaves(model) if path[0] == "reference"]
    scan = model["reference"]["scans"][0]
    places, paths = some.integers(0, 20), some.sampled_from([path for path, _ in leaves(scan)])
    amounts = some.sampled_from([path for path, value in leaves(scan) if isinstance(value, int | float)])
    return some.one_of(
        _changes_at(reference),
        _named(
            "threshold",
            replaced,
            path=some.just(("reference", "threshold")),
            value=some.sampled_from(["3", 0, -3, 1.4, 6.1, 1e9, float("nan"), True, [3.0]]),
        ),
        _named(
            "cohort",
            replaced,
            path=some.just(("reference", "cohort", "ages")),
            value=some.sampled_from(
                [[], [20.0], [80.0, 20.0], [-5.0, 80.0], ["a", "b"], [20.0, 50.0, 80.0], 50.0, [True, True]]
            ),
        ),
        _named(
            "fill",
            replaced,
            path=some.sampled_from([path for path, _ in reference if path[1:-1] == ("fill",)]),
            value=some.sampled_from([1e30, -1e30, 7e4, *NOT_TEXTS]),
        ),
        _named("scan", scan_changed, place=places, path=paths, value=some.sampled_from(NOT_TEXTS)),
        _named("amount", scan_changed, place=places, path=amounts, value=some.sampled_from(NOT_AMOUNTS)),
        _named("scan without", scan_without, place=places, path=paths),
        _named(
            "scans",
            scans_changed,
            change=some.sampled_from(
                ["none", "one twice", "all the same", "one more", "one less", "names alone"]
            ),
        ),
        _named(
            "rarities",
            array_changed,
            path=some.sampled_from([path for path, _ in reference if path[-1] == "rarities"]),
            change=some.just("shifted"),
            seed=some.just(0),
        ),
        _named(
            "ordered array",
            array_changed,
            path=some.sampled_from(
                [
                    path
                    for path, value in reference
                    if isinstance(value, np.ndarray) and path[1] in ("tails", "false_positive_ml")
                ]
            ),
            change=some.sampled_from(["reversed", "negative"]),
            seed=some.just(0),
        ),
    )


def _named(name, change, /, **parameters):
    def of(**drawn):
        return f"{name}: {', '.join(f'{key} {value!r}' for key, value in drawn.items())}", partial(
            change, **drawn
        )

    return some.builds(of, **parameters)


# Of the file: functions of its path that give its bytes.


def sealed(path, change):
    model = models.load_model(path)
    change(model)
    return saved(path, model)


def saved(path, model):
    models.save_model(path.with_name("changed.safetensors"), models.sealed(model))
    return path.with_name("changed.safetensors").read_bytes()


def in_file(path, change):
    """The change by another program, which knows of no checksum."""
    with safe_open(path, framework="numpy") as stored:
        ((form, text),) = stored.metadata().items()
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    content = json.loads(text)
    for name, array in arrays.items():
        holder, key = _holder(content, name.split("/"))
        holder[key] = array
    change(content)
    plain, changed = models._split(content)
    return save(changed, metadata={form: json.dumps(plain)})


def unseen_array(model, place, change, seed):
    """An array of weights becomes another that might be weights."""
    paths = [path for path, value in leaves(model) if isinstance(value, np.ndarray)]
    holder, key = _holder(model, paths[place % len(paths)])
    holder[key] = np.asarray(UNSEEN[change](holder[key], np.random.default_rng(seed)))


def swapped_part(model, part, other):
    """A part of another model of the package, such as the landmarks of the other modality."""
    model[part] = copy.deepcopy(other[part])


def random_bytes(path, places):
    content = bytearray(path.read_bytes())
    for place, value in places:
        content[int(place * len(content))] = value
    return bytes(content)


def cut(path, share):
    return path.read_bytes()[: int(share * path.stat().st_size)]


def longer(path, more):
    return path.read_bytes() + more


def another_format(path, form):
    return {
        "empty": b"",
        "text": b"a model",
        "zip": b"PK\x03\x04" + bytes(500),
        "another version": path.read_bytes().replace(models.FORMAT.encode(), b"patch2loc model 1"),
        "weights alone": save({"weights": np.ones(3)}),
    }[form]


def rewritten(path):
    """Written again with the keys of its description in another order: the same model."""
    with safe_open(path, framework="numpy") as stored:
        ((form, text),) = stored.metadata().items()
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    shuffled = dict(reversed(json.loads(text).items()))
    return save(dict(reversed(arrays.items())), metadata={form: json.dumps(shuffled, indent=1)})


# Another model, whose author sealed it: settings of preprocessing that are left out are the defaults, landmarks may
# start at percentile 0, and a cohort, a filter and a threshold may be others.
LEGAL = [("preprocess",), ("landmarks", "percentiles")]
LEGAL += [("reference", key) for key in ("cohort", "median_filter", "threshold")]


def _sealed(named):
    name, change = named
    path = change.keywords.get("path", ())
    return Mutation(
        f"sealed {name}", partial(sealed, change=change), legal=path[:1] in LEGAL or path[:2] in LEGAL
    )


def _unsealed(named):
    name, change = named
    return Mutation(f"in the file {name}", partial(in_file, change=change))


def detector_files(model):
    """As `model_files`, of what a detector knows of healthy scans."""
    content = changes_of_reference(model)
    return some.one_of(
        content.map(_sealed),
        content.map(_sealed),  # most are of what the checksum does not tell
        content.map(_unsealed),
        some.just(Mutation("written again", rewritten, harmless=True)),
    )


def model_files(model, other):
    """Mutations of a model's file, functions of its path; other: a model whose parts do not go with this one."""
    content = changes(model)
    return some.one_of(
        content.map(_sealed),
        content.map(_unsealed),
        some.builds(
            lambda **drawn: Mutation(
                f"unseen array: {drawn}", partial(in_file, change=partial(unseen_array, **drawn))
            ),
            place=some.integers(0, 200),
            change=some.sampled_from(list(UNSEEN)),
            seed=some.integers(0, 2**16),
        ),
        some.sampled_from(["landmarks", "modality", "state", "grid", "method"]).map(
            lambda part: Mutation(
                f"part of another model: {part}",
                partial(in_file, change=partial(swapped_part, part=part, other=other)),
            )
        ),
        some.lists(
            some.tuples(some.floats(0, 1, exclude_max=True), some.integers(0, 255)), min_size=1, max_size=4
        ).map(lambda places: Mutation(f"bytes: {places}", partial(random_bytes, places=places))),
        some.floats(0, 1, exclude_max=True).map(
            lambda share: Mutation(f"cut: {share:.3f}", partial(cut, share=share))
        ),
        some.binary(min_size=1, max_size=9).map(
            lambda more: Mutation(f"longer: {more!r}", partial(longer, more=more))
        ),
        some.sampled_from(["empty", "text", "zip", "another version", "weights alone"]).map(
            lambda form: Mutation(f"another format: {form}", partial(another_format, form=form))
        ),
        some.just(Mutation("written again", rewritten, harmless=True)),
    )
