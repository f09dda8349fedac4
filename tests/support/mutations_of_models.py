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


def array_changed(model, path, change, seed):
    holder, key = _holder(model, path)
    array = holder[key]
    holder[key] = np.asarray(ARRAYS[change](array, np.random.default_rng(seed)))


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
    nested = list(leaves(model))
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
        _named("method", replaced, path=some.just(("method",)), value=some.sampled_from(OTHER_METHODS)),
        _named(
            "modality",
            replaced,
            path=some.just(("modality",)),
            value=some.sampled_from(["T2", "FLAIR", "t1", "PD"]),
        ),
        _named(
            "wrong entry",
            in_list,
            path=some.sampled_from(lists),
            place=some.integers(0, 20),
            value=some.sampled_from(WRONG),
        ),
        _named(
            "list",
            list_changed,
            path=some.sampled_from(
                [("landmarks", "percentiles"), ("landmarks", "standard_scale"), ("grid", "shape")]
            ),
            change=some.sampled_from(["reversed", "shorter", "longer", "equal", "negative", "too large"]),
        ),
        _named(
            "array",
            array_changed,
            path=some.sampled_from(arrays),
            change=some.sampled_from(list(ARRAYS)),
            seed=some.integers(0, 2**16),
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


def _sealed(named):
    """Settings of preprocessing that are left out are the defaults: another model, whose author sealed it."""
    name, change = named
    settings = change.keywords.get("path", ())[:1] == ("preprocess",)
    return Mutation(f"sealed {name}", partial(sealed, change=change), legal=settings)


def model_files(model, other):
    """Mutations of a model's file, functions of its path; other: a model whose parts do not go with this one."""
    content = changes(model)
    return some.one_of(
        content.map(_sealed),
        content.map(lambda named: Mutation(f"in the file {named[0]}", partial(in_file, change=named[1]))),
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
