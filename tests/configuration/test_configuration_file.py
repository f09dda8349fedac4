"""Files of configurations: what YAML can say is read as PyYAML reads it.  What is refused: tests/hostile."""

import pytest
import yaml
from repository_paths import ROOT

from patch2loc.configuration.configuration_file import (
    command_line_values,
    is_whole,
    merged,
    read_configuration,
    with_command_line_values,
)
from patch2loc.errors import InputError

SHIPPED = [*(ROOT / "config").rglob("*.yaml"), *(ROOT / "tests").rglob("*.yaml")]
WRITTEN = {
    "anchors and aliases": "a: &a {x: 1}\nb: [*a, *a]\nc: *a\n",
    "merge whose keys are overruled": "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n",
    "several merges in a list": "a: &a {x: 1}\nb: &b {x: 2}\nc: {<<: [*a, *b]}\n",
    "one key in several groups": "a: {x: 1}\nb: {x: 2}\nx: 3\nc: [{x: 4}, {x: 5}]\n",
    "one name as a number and a text": '1: a\n"1": b\n',
    "byte-order mark": "\ufeffa: 1\n",
    "letters that are not ASCII": "a: größe 脳 😀\n",
    "line ends of Windows": "a: 1\r\nb:\r\n  c: 2\r\n",
    "text over lines": "a: >-\n  one\n  two\nb: |\n  three\n",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_yaml_can_say_is_read(name, tmp_path):
    (tmp_path / "own.yaml").write_bytes(WRITTEN[name].encode())
    expected = yaml.safe_load(WRITTEN[name])
    assert read_configuration(tmp_path / "own.yaml") == expected


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_configurations_are_read(path):
    assert read_configuration(path) == yaml.safe_load(path.read_text(encoding="utf-8"))


def test_groups_are_merged_key_by_key_and_anything_else_is_replaced():
    base = {
        "folds": [0, 1],
        "training": {"batch": 2, "widths": [1]},
        "datasets": {"a": {"split": "x"}, "b": {}},
    }
    overlay = {
        "folds": [0],
        "training": {"batch": 3},
        "datasets": {"a": {"split": None}, "c": {"title": "c"}},
    }
    assert merged(base, overlay) == {
        "folds": [0],
        "training": {"batch": 3, "widths": [1]},
        "datasets": {"a": {"split": None}, "b": {}, "c": {"title": "c"}},
    }
    assert base["datasets"] == {"a": {"split": "x"}, "b": {}}  # as it was
    # Of a group and something else the later one counts.
    assert merged({"split": {"clean": "x"}}, {"split": "y"}) == {"split": "y"}
    assert merged({"split": "y"}, {"split": {"clean": "x"}}) == {"split": {"clean": "x"}}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_configuration_is_whole_that_says_which_scans_there_are_and_which_of_them_train(path):
    on_top = path.parent.name in ("ixi2mm", "model_t1") or path.name in (
        *("table1.yaml", "ablations.yaml", "released_code.yaml", "quick.yaml", "both_contrasts.yaml"),
    )
    # Of another modality, or of other scans, than what they lie beside.
    by_itself = path.name in ("any_contrast.yaml", "sites.yaml", "t1_and_t2.yaml")
    assert is_whole(read_configuration(path)) == (by_itself or not on_top)


def test_values_of_the_command_line_are_read_as_yaml_where_they_are_lists_groups_or_null():
    pairs = [
        "folds=[0, 2]",
        "training={patches: 60000, learning_rate: 0.01}",
        "datasets={mslub: {split: null, simulated: true, title: '5', leave_out: [7, a]}}",
        "preset=null",
        "without=[brats21]",
        "results=results/2026",
        "seed=7",
        "data=a=b",
    ]
    assert command_line_values(pairs) == {
        "folds": [0, 2],
        "training": {"patches": 60000, "learning_rate": 0.01},
        "datasets": {"mslub": {"split": None, "simulated": True, "title": "5", "leave_out": [7, "a"]}},
        "preset": None,
        "without": ["brats21"],
        "results": "results/2026",
        "seed": "7",
        "data": "a=b",
    }
    for broken in ("folds=[0", "title=a: b: c", "folds=[2020-99-99]"):
        key, _, text = broken.partition("=")
        assert command_line_values([broken]) == {key: text}  # the schema refuses it by its key
    with pytest.raises(
        InputError, match=r"--config training: patches found twice, .* every key once expected"
    ):
        command_line_values(["training={patches: 1, patches: 2}"])


def test_only_what_came_from_the_command_line_is_read_anew():
    config = {  # as Snakemake merges a file and the command line
        "folds": ["0"],
        "patch": "24",
        "seed": 7,
        "training": {"patches": "60000", "batch": "512"},
        "datasets": {"mslub": {"split": "null", "title": "M"}},
        "preset": "null",
    }
    pairs = [
        "folds=[0]",
        "training={patches: 60000}",
        "datasets={mslub: {split: null}}",
        "preset=null",
        "seed=7",
    ]
    assert with_command_line_values(config, pairs) == {
        "folds": [0],
        "patch": "24",  # of a file, in quotes: the schema refuses it
        "seed": 7,
        "training": {"patches": 60000, "batch": "512"},
        "datasets": {"mslub": {"split": None, "title": "M"}},
        "preset": None,
    }
    assert config["folds"] == ["0"]
    # Of a workflow that imports this one by `module:` and gives it a configuration of its own.
    assert with_command_line_values({"folds": [0, 1]}, ["folds=[3]", "samples=[x]"]) == {"folds": [0, 1]}
