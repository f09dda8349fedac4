"""Files of configurations: what YAML can say is read as PyYAML reads it.  What is refused: tests/hostile."""

import pytest
import yaml
from repository_paths import ROOT

from patch2loc.configuration.configuration_file import read_configuration

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
    "JSON with tabs": '{\n\t"a": [1,\t2],\n\t"b": {"c": null}\n}\n',
    "text over lines": "a: >-\n  one\n  two\nb: |\n  three\n",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_yaml_can_say_is_read(name, tmp_path):
    (tmp_path / "own.yaml").write_bytes(WRITTEN[name].encode())
    expected = yaml.safe_load(WRITTEN[name].expandtabs())
    assert read_configuration(tmp_path / "own.yaml") == expected


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_configurations_are_read(path):
    assert read_configuration(path) == yaml.safe_load(path.read_text(encoding="utf-8"))
