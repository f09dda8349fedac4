"""Readers under random input: they give something valid or say what is wrong, and nothing else, in time."""

import copy
from collections import Counter
from datetime import timedelta

import numpy as np
import pytest
import yaml
from hostile_configuration import RULES, SCHEMA, TINY
from hostile_models import MODEL
from hostile_scans import nifti
from hostile_tables import HEAD, ROW, SPLIT
from hypothesis import given, settings
from hypothesis import strategies as some
from snakemake.utils import validate

from patch2loc import models
from patch2loc.acquire import sources
from patch2loc.configuration.check import check_configuration
from patch2loc.configuration.schema import check_schema
from patch2loc.data import splits
from patch2loc.data.subject_tables import NAME
from patch2loc.errors import InputError
from patch2loc.preprocess.images import read_scan
from patch2loc.score.scoring import heatmap_of


def fuzz(inputs, attempt, named, count=200, valid=3):
    """Attempt `count` inputs: each is valid or refused by a message with `named` in it; both have to occur.

    Derandomized: the same inputs in every run, so that a failure is one of the code and not of the day.
    """
    seen = Counter()

    @settings(derandomize=True, database=None, deadline=timedelta(seconds=5), max_examples=count)
    @given(inputs)
    def once(content):
        try:
            attempt(content)
        except InputError as error:
            said = str(error)
        else:
            seen["valid"] += 1
            return
        seen["refused"] += 1
        assert named in said

    once()
    assert seen["valid"] >= valid, seen
    assert seen["refused"] >= 3, seen


places = some.floats(0, 1, exclude_max=True)
changes = some.lists(some.tuples(places, some.integers(0, 255)), max_size=4)
ends = some.one_of(some.just(1.0), some.floats(0, 1))


def damaged(content, head=None):
    """A file of which some bytes, all in its first `head`, are others, or the end is missing."""

    def damage(changed, end):
        changing = bytearray(content)
        for place, value in changed:
            changing[int(place * (head or len(content)))] = value
        return bytes(changing[: round(end * len(content))])

    return some.builds(damage, changes, ends)


cells = some.one_of(
    some.sampled_from((HEAD + ROW + SPLIT).replace("\n", ",").split(",")),
    some.text(some.characters(exclude_categories=["Cs"]), max_size=8),
    some.sampled_from(["../a", "https://x/a", '"', "\ufeff", "\0", "{subject}", "*", "7"]),
)
rows = some.builds(lambda mark, row: mark.join(row), some.sampled_from(",;\t"), some.lists(cells, max_size=7))
lines = some.lists(rows, max_size=5).map("\r\n".join)
tables = some.one_of(
    some.binary(max_size=200),
    some.builds(
        lambda head, more: (head + more).encode(),
        some.sampled_from(["", HEAD + ROW, SPLIT, "subject\na\n"]),
        lines,
    ),
    some.builds(lambda path: f'{HEAD}{ROW}b,T1,"{path}",,'.encode(), cells),
    damaged((HEAD + ROW).encode()),
    damaged(SPLIT.encode()),
)


@pytest.mark.parametrize("kind", ["table", "folder", "painted"])
def test_tables_of_scans(kind, tmp_path):
    path = tmp_path / "own.csv"
    dataset = {"kind": kind, "name": "own", "modality": "T1", "root": str(tmp_path), "data": str(tmp_path)}
    dataset |= {"scan": "{subject}/*.nii.gz", "table": str(path)}
    dataset |= {"subjects": str(path)} if kind == "folder" else {}
    head = {"painted": b"subject,scan,brain,mask,mirrored,seed\na,a,b,m,1,5\n"}

    def read(content):
        path.write_bytes(head.get(kind, b"") + content)
        found = sources.sources(dataset)
        assert all(NAME.fullmatch(subject) for subject in found)
        assert sources.missing(dataset)

    fuzz(tables, read, "own", count=150)


@pytest.mark.parametrize("published", [False, True])
def test_lists_of_subjects(published, tmp_path):
    def read(content):
        (tmp_path / "own.csv").write_bytes(content)
        found = splits.roles(tmp_path / "own.csv", 0, "T2", published)
        assert set(found) == set(splits.ROLES)

    fuzz(tables, read, "own.csv", count=150)


plain = some.recursive(
    some.one_of(
        some.none(),
        some.booleans(),
        some.integers(),
        some.floats(),
        some.text(max_size=5),
        some.sampled_from(["folder", "T1", "auto"]),
    ),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def key_paths(config, prefix=()):
    """Every key of a configuration with the keys that lead to it, and its value."""
    for key, value in config.items():
        yield (*prefix, key), value
        if isinstance(value, dict):
            yield from key_paths(value, (*prefix, key))


def test_configurations():
    valid = yaml.safe_load(TINY)
    # Any value, or the one that is there: else next to nothing would be valid.
    replaced = some.sampled_from(list(key_paths(valid))).flatmap(
        lambda found: some.tuples(some.just(found[0]), plain | some.just(found[1]))
    )

    def read(replacements):
        config = copy.deepcopy(valid)
        for (*groups, key), value in replacements:
            holder = config
            for group in groups:
                holder = holder.get(group, {}) if isinstance(holder, dict) else {}
            if isinstance(holder, dict):
                holder[key] = copy.deepcopy(value)
        check_schema(config, RULES)
        validate(config, str(SCHEMA))
        check_configuration(config)
        assert config["patch"] <= min(config["grid"]["shape"][:2])
        assert config["results"]

    fuzz(some.lists(replaced, max_size=2), read, "", count=60)


def test_models(tmp_path):
    models.save_model(tmp_path / "own.safetensors", MODEL)
    whole = models.load_model(tmp_path / "own.safetensors")
    inputs = damaged((tmp_path / "own.safetensors").read_bytes())

    def read(content):
        (tmp_path / "own.safetensors").write_bytes(content)
        np.testing.assert_equal(models.load_model(tmp_path / "own.safetensors"), whole)

    fuzz(inputs, read, "own.safetensors", valid=1)  # next to nothing but the file itself is valid


def test_models_whose_values_are_others(tmp_path):
    """Sealed again: the checksum says nothing, and each value is checked by itself."""
    own = tmp_path / "own.safetensors"
    replaced = some.sampled_from(list(key_paths(MODEL))).flatmap(
        lambda found: some.tuples(some.just(found[0]), plain | some.just(found[1]))
    )

    def read(replacements):
        model = copy.deepcopy(MODEL)
        for (*groups, key), value in replacements:
            holder = model
            for group in groups:
                holder = holder.get(group, {}) if isinstance(holder, dict) else {}
            if isinstance(holder, dict):
                holder[key] = copy.deepcopy(value)
        models.save_model(own, models.sealed(model))
        score = heatmap_of(models.load_model(own), "cpu", name=own)
        volume = np.arange(64, dtype=np.float32).reshape(4, 4, 4)
        assert np.isfinite(score(volume, np.ones((4, 4, 4), bool), str(own))).all()

    fuzz(some.lists(replaced, max_size=2), read, "own")


def test_headers_of_scans(tmp_path):
    def read(content):
        (tmp_path / "own.nii").write_bytes(content)
        array, affine = read_scan(tmp_path / "own.nii")
        assert array.ndim == 3
        assert np.isfinite(array).all()
        assert abs(np.linalg.det(affine[:3, :3])) > 0

    fuzz(damaged(nifti(), head=352), read, "own.nii")
