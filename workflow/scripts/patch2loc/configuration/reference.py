"""The schema file and the page of keys, made of `configuration.keys`: `python -m patch2loc.configuration.reference`.

`make reference` writes both, `make lint` compares them (`--check`).
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from patch2loc.configuration.key import EXPECTED
from patch2loc.configuration.presets import PRESETS
from patch2loc.configuration.validation import Schema, expected_value, group_of_names, kinds, resolved, schema

ROOT = Path(__file__).resolve().parents[4]
SCHEMA_FILE, PAGE = ROOT / "workflow/schemas/config.schema.yaml", ROOT / "config/keys.md"
GENERATED = "made by `make reference` from workflow/scripts/patch2loc/configuration/keys.py; do not edit"


def schema_text() -> str:
    """The JSON schema of configurations as YAML, for editors and for the catalog of workflows."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of the Patch2Loc workflow",
    }
    text = yaml.safe_dump(
        head | _without_titles(schema()),
        sort_keys=False,
        width=120,
        allow_unicode=True,
        default_flow_style=False,
    )
    return f"# {GENERATED[0].upper()}{GENERATED[1:]}.\n{text}"


def _without_titles(value: Any) -> Any:
    """A schema without the titles that pydantic makes of names."""
    if isinstance(value, dict):
        kept = {name: each for name, each in value.items() if name != "title" or not isinstance(each, str)}
        return {name: _without_titles(each) for name, each in kept.items()}
    return [_without_titles(each) for each in value] if isinstance(value, list) else value


def page() -> str:
    """The Markdown page of all keys."""
    whole = schema()
    uppermost = {name: entry for name, entry in whole["properties"].items() if not _inner(entry)}
    sections = [
        "# Keys of the configuration",
        f"This page is {GENERATED}. How files and keys go together is told in [Configuration](README.md). "
        "`required` in the column default means that the key must be present, `-` that it may be left out. "
        "`<name>` stands for a name that you choose.",
        f"## The run\n\n{_table(whole, '', uppermost)}",
    ]
    groups = {name: entry for name, entry in whole["properties"].items() if _inner(entry)}
    sections += list(_sections(whole, groups))
    sections += [_preset(name, settings) for name, settings in PRESETS.items()]
    return "\n\n".join(sections) + "\n"


def _inner(entry: Schema) -> Schema | None:
    """The group of keys that an entry is, or holds under names; None for a value."""
    found = resolved(entry)
    if "properties" in found:
        return found
    under_names = group_of_names(found)
    return resolved(under_names) if under_names and "properties" in resolved(under_names) else None


def _sections(whole: Schema, groups: dict[str, Schema]) -> Iterator[str]:
    for name, entry in groups.items():
        inner = _inner(entry)
        assert inner is not None  # of a group
        is_named = "properties" not in resolved(entry)
        path = f"{name}.<name>." if is_named else f"{name}."
        leaves = {key: each for key, each in inner["properties"].items() if not kinds(each)}
        meaning = str(resolved(entry)["description"])
        required = " The key is required." if name in whole["required"] else ""
        yield f"## `{path.rstrip('.')}`\n\n{meaning}{required}\n\n{_table(inner, path, leaves)}"
        for key, each in inner["properties"].items():
            yield from (_source(kind, found, f"{path}{key}.") for kind, found in kinds(each).items())


def _source(kind: str, found: Schema, path: str) -> str:
    entries = {name: each for name, each in found["properties"].items() if name != "kind"}
    return f"### `kind: {kind}`\n\n{found['description']}\n\n{_table(found, path, entries)}"


def _table(group: Schema, prefix: str, entries: dict[str, Schema]) -> str:
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for name, entry in entries.items():
        if name in group.get("required", ()):
            default = "required"
        else:
            default = f"`{json.dumps(entry['default'], ensure_ascii=False)}`" if "default" in entry else "-"
        lines.append(f"| `{prefix}{name}` | {default} | {_values(entry)}{entry['description']} |")
    return "\n".join(lines)


def _values(entry: Schema) -> str:
    """The values that a key may have, if they are counted, or the bounds of a number, both of which each has."""
    found = resolved(entry)
    expected = expected_value(found)
    if expected.startswith("one of "):
        choices = ", ".join(f"`{choice}`" for choice in expected.removeprefix("one of ").split(", "))
        return f"One of {choices}. "
    numbers = [each for each in found.get("anyOf", [found]) if each.get("type") in ("integer", "number")]
    if not numbers or EXPECTED in entry:
        return ""
    bounds = numbers[0]
    least = f"{bounds['minimum']:,}" if "minimum" in bounds else f"above {bounds['exclusiveMinimum']:,}"
    most = f"{bounds['maximum']:,}" if "maximum" in bounds else f"below {bounds['exclusiveMaximum']:,}"
    return f"{least[0].upper()}{least[1:]} to {most}. "


def _preset(name: str, settings: dict[str, Any]) -> str:
    text = yaml.safe_dump(settings, sort_keys=False, default_flow_style=None, width=100)
    return f"## `preset: {name}`\n\nThese settings, each of which the configuration may replace:\n\n```yaml\n{text}```"


def main() -> int:
    """Write the files, or compare them with what would be written; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing: fail where a file is not up to date"
    )
    check = parser.parse_args().check
    stale = []
    for path, text in ((SCHEMA_FILE, schema_text()), (PAGE, page())):
        if check and (not path.is_file() or path.read_text(encoding="utf-8") != text):
            stale.append(path.relative_to(ROOT))
        elif not check:
            path.write_text(text, encoding="utf-8")
    if stale:
        print(f"{', '.join(map(str, stale))}: not up to date; run `make reference`", file=sys.stderr)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
