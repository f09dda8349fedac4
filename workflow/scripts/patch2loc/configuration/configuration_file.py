"""Configuration files: YAML of which every key counts, or a message that names the file and the line.

By itself PyYAML keeps the last of several equal keys, and names no file.

Several files are merged in their order, then the keys of the command line, whose values are YAML, too.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from patch2loc.errors import InputError

WHOLE = ("datasets", "training_data")  # keys of a configuration that nothing is added to


def read_configuration(path: str | Path) -> dict[str, Any]:
    """Read a configuration file.

    Args:
        path: YAML in UTF-8.

    Returns:
        Its keys and values, not yet held against the schema.

    Raises:
        InputError: The file is missing or unreadable, holds no YAML in UTF-8, has a key twice, or holds something else
            than keys with values.
    """
    try:
        content = _content(Path(path).read_bytes().decode("utf-8"), path)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror} found, a configuration expected; give its path, e.g. config/demo.yaml"
        ) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        start = f", {error.context} from line {error.context_mark.line + 1}" if error.context_mark else ""
        raise InputError(
            f"{path}: line {line}: no YAML found ({error.problem}{start}); correct the file there"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise InputError(
            f"{path}: no YAML in UTF-8 found ({problem}); save the file as UTF-8, or correct it"
        ) from error
    if not isinstance(content, dict):
        kind = "nothing" if content is None else "a list" if isinstance(content, list) else "a single value"
        raise InputError(
            f"{path}: {kind} found, keys with values expected, as in config/demo.yaml; correct the file"
        )
    return content


def merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration on top of another one: groups of keys are merged key by key, anything else is replaced.

    The same as Snakemake does with several files, and with a file and the command line.
    """
    groups = {
        name: merged(value, given[name])
        for name, value in base.items()
        if isinstance(value, Mapping) and isinstance(given.get(name), Mapping)
    }
    return {**base, **given, **groups}


def is_whole(config: Mapping[str, Any]) -> bool:
    """True for a configuration that says which scans there are and which of them train: it stands alone.

    Anything less is read on top of config/config.yaml. The Snakefile asks the same.
    """
    return all(key in config for key in WHOLE)


def command_line_values(pairs: Iterable[str]) -> dict[str, Any]:
    """Values of the command line: lists, groups of keys and null as YAML has them, anything else as text.

    Args:
        pairs: Each "key=value". A value that is no YAML stays text, for the schema to refuse.

    Raises:
        InputError: A key is twice in a group of keys.
    """
    return {key: value for key, _, value in _command_line(pairs)}


def with_command_line_values(config: Mapping[str, Any], pairs: Iterable[str]) -> dict[str, Any]:
    """A configuration in which lists, groups of keys and null of the command line are those that YAML reads.

    Snakemake reads what is in them as text: `folds=[0]` as the list of "0". In a file, "0" in quotes stays text.

    Args:
        config: As Snakemake has merged files and the command line.
        pairs: The command line's, each "key=value".

    Raises:
        InputError: A key is twice in a group of keys.
    """
    result = dict(config)
    for key, text, value in _command_line(pairs):
        if key in config and not isinstance(value, str):
            result[key] = _as_yaml(result[key], yaml.load(text, yaml.BaseLoader), value)
    return result


def _command_line(pairs: Iterable[str]) -> Iterator[tuple[str, str, Any]]:
    """Key, text and value of each pair."""
    for pair in pairs:
        key, _, text = pair.partition("=")
        try:
            value = _content(text, f"--config {key}")
        except (yaml.YAMLError, ValueError):
            value = text
        yield key, text, value if value is None or isinstance(value, list | dict) else text


def _as_yaml(given: Any, text: Any, value: Any) -> Any:
    """Where text of the command line is what is given, its value; all else of it as it is."""
    if isinstance(given, Mapping) and isinstance(text, Mapping):
        both = [key for key in value if key in given and key in text]
        return {**given, **{key: _as_yaml(given[key], text[key], value[key]) for key in both}}
    return value if given == text else given


class _Loader(yaml.SafeLoader):
    """PyYAML's reader of plain data, which refuses a key that is there twice.

    Attributes:
        place: Where the text is from, for the message.
    """

    place: str | Path

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        """A group of keys, as PyYAML reads it, or InputError."""
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            name, line = (key.tag, str(key.value)), key.start_mark.line + 1
            if name in lines:
                raise InputError(
                    f"{self.place}: {key.value} found twice, in line {lines[name]} and in line {line}, every key once "
                    "expected; remove one of them, or rename it"
                )
            lines[name] = line
        return node


def _content(text: str, place: str | Path) -> Any:
    """What YAML reads in a text; InputError, which names the place, for a key that is there twice."""
    loader = _Loader(text)
    loader.place = place
    return loader.get_single_data()
