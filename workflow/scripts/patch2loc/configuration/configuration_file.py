"""Configuration files: YAML of which every key counts, or a message that names the file and the line.

By itself PyYAML keeps the last of several equal keys, never ends with an alias of what holds it, and names no file.

Several files are merged in their order, then the keys of the command line, whose values are YAML, too.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from patch2loc.errors import InputError

MERGE = "tag:yaml.org,2002:merge"  # tag of the key <<
MOST_BYTES = 1_000_000  # of a file; the paper's has 4 kB, and PyYAML reads 0.1 MB a second
MOST_ENTRIES = 100_000  # keys and values, those behind an alias each time that it is used
WHOLE = ("datasets", "training_data")  # keys of a configuration that nothing is added to
UTF16 = (b"\xff\xfe", b"\xfe\xff")  # byte-order marks


def read_configuration(path: str | Path) -> dict[str, Any]:
    """Read a configuration file.

    Args:
        path: YAML, or the JSON that Snakemake takes, too.

    Returns:
        Its keys and values, not yet held against the schema.

    Raises:
        InputError: The file is missing or unreadable, holds no YAML in UTF-8, has a key twice, or an alias inside of
            what the alias stands for; or it holds something else than keys with values.
    """
    text = _text(path)
    try:
        content = _content(text, path)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        start = f", {error.context} from line {error.context_mark.line + 1}" if error.context_mark else ""
        raise InputError(
            f"{path}: line {line}: no YAML found ({error.problem}{start}); correct the file there"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        problem = " ".join(str(error).split()).replace('"<unicode string>"', "the file")
        raise InputError(f"{path}: no YAML in UTF-8 found ({problem}); correct the file") from error
    except RecursionError as error:
        raise InputError(
            f"{path}: hundreds of groups in each other found, a configuration expected; correct the file"
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
        except (yaml.YAMLError, ValueError, RecursionError):
            value = text
        yield key, text, value if value is None or isinstance(value, list | dict) else text


def _as_yaml(given: Any, text: Any, value: Any) -> Any:
    """Where text of the command line is what is given, its value; all else of it as it is."""
    if isinstance(given, Mapping) and isinstance(text, Mapping):
        both = [key for key in value if key in given and key in text]
        return {**given, **{key: _as_yaml(given[key], text[key], value[key]) for key in both}}
    return value if given == text else given


def _content(text: str, place: str | Path) -> Any:
    """What YAML reads in a text; InputError, which names the place, for keys that are there twice."""
    loader = yaml.SafeLoader(text)
    root = loader.get_single_node()
    if root is None:
        return None
    _count_entries(loader, root, place)
    return loader.construct_document(root)


def _text(path: str | Path) -> str:
    try:
        with open(path, "rb") as stream:
            stored = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror} found, a configuration expected; give its path, e.g. config/demo.yaml"
        ) from error
    if len(stored) > MOST_BYTES:
        raise InputError(
            f"{path}: more than {MOST_BYTES:,} bytes found, a configuration of fewer expected; lists of subjects are "
            "CSV files of their own"
        )
    if stored.startswith(UTF16):
        raise InputError(f"{path}: UTF-16 found, YAML in UTF-8 expected; save the file as UTF-8")
    try:
        text = stored.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: no YAML in UTF-8 found ({error}); save the file as UTF-8, or give another one"
        ) from error
    # YAML has no tabs between words; JSON has them, and none within words.
    return text.expandtabs() if text.lstrip().startswith("{") else text


def _count_entries(loader: yaml.SafeLoader, root: yaml.Node, path: str | Path) -> None:
    """Walk through a file's nodes once each, for equal keys, endless aliases and too many entries."""
    counts: dict[yaml.Node, int] = {}
    unfinished: set[yaml.Node] = set()

    def count(node: yaml.Node, place: str) -> int:
        if node in unfinished:
            raise InputError(
                f"{path}: line {node.start_mark.line + 1}: an alias inside of what it stands for found, an end "
                "expected; write out what is meant"
            )
        if node not in counts:
            unfinished.add(node)
            counts[node] = 1 + sum(
                count(inner, name) for name, inner in _inner_nodes(loader, node, place, path)
            )
            unfinished.remove(node)
        if counts[node] > MOST_ENTRIES:
            raise InputError(
                f"{path}: line {node.start_mark.line + 1}: more than {MOST_ENTRIES:,} entries found, aliases "
                "written out, a configuration of fewer expected; lists of subjects are CSV files of their own"
            )
        return counts[node]

    count(root, "")


def _inner_nodes(
    loader: yaml.SafeLoader, node: yaml.Node, place: str, path: str | Path
) -> Iterator[tuple[str, yaml.Node]]:
    """Nodes directly inside a node, each with the keys that lead to it; InputError for a key that is there twice."""
    if isinstance(node, yaml.SequenceNode):
        yield from ((place, inner) for inner in node.value)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[Any, int] = {}
        for key, value in node.value:
            name = f"{place}.{key.value}".lstrip(".") if isinstance(key, yaml.ScalarNode) else place
            if isinstance(key, yaml.ScalarNode):
                read = (
                    key.value if key.tag == MERGE else loader.construct_object(key)
                )  # yes and true are one key
                line = key.start_mark.line + 1
                if read in lines:
                    raise InputError(
                        f"{path}: {name} found twice, in line {lines[read]} and in line {line}, every key once "
                        "expected; remove one of them, or rename it"
                    )
                lines[read] = line
            yield name, value
