"""Commands of Snakemake that the documentation shows: its own parser reads them as they are meant."""

import re
import shlex
from pathlib import Path

import pytest
from repository_paths import ROOT
from snakemake.cli import get_argument_parser

PAGES = [
    *(ROOT / name for name in ("README.md", "benchmarks/README.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("config/**/*.md")),
]
BLOCK = re.compile(r"^```(?:console|bash|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ANY_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
# Settings of the environment and a folder may stand before the program.
COMMAND = re.compile(r"(?:\w+=\S+ )*(?:\S*/)?snakemake(?: .*)?")


def commands(text):
    """The commands that start Snakemake, of blocks and of the prose, each on one line."""
    lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    spans = SPAN.findall(ANY_BLOCK.sub("", text))
    shown = [" ".join(each.split()) for each in [*lines, *spans]]
    return [each for each in shown if COMMAND.fullmatch(each)]


def arguments(command):
    """What stands after the program's name, without comment."""
    words = shlex.split(command, comments=True)
    return words[next(place for place, word in enumerate(words) if Path(word).name == "snakemake") + 1 :]


def swallowed(command):
    """Values of --configfile and --config that are none: targets, most likely."""
    parsed = get_argument_parser().parse_args(arguments(command))
    files = [str(path) for path in parsed.configfile or ()]
    values = [str(value) for value in parsed.config or ()]
    return [path for path in files if not path.endswith((".yaml", ".yml"))] + [
        value for value in values if "=" not in value
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_targets_of_commands_are_not_taken_for_values_of_an_option(page):
    for command in commands(page.read_text(encoding="utf-8")):
        assert not swallowed(command), f"{command}: put targets before --config and --configfile"


def test_commands_are_found_in_blocks_and_in_the_prose():
    text = (
        "Run `snakemake\n--unlock`, not `snakemake-executor-plugin-slurm`.\n\n```console\n"
        "A=1 .venv/bin/snakemake table1 --cores 8 \\\n    --configfile my.yaml  # one\nmake demo\n```\n"
        "\n```yaml\nsnakemake: `snakemake x`\n```\n"
    )
    block, prose = commands(text)
    assert arguments(block) == ["table1", "--cores", "8", "--configfile", "my.yaml"]
    assert arguments(prose) == ["--unlock"]
    assert sum(len(commands(page.read_text(encoding="utf-8"))) for page in PAGES) > 20


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("snakemake --cores 8 --configfile my.yaml quality", ["quality"]),
        ("snakemake --cores 8 --config data=x table1", ["table1"]),
        ("snakemake quality --cores 8 --configfile my.yaml other.yml --config data=x", []),
        ("snakemake --cores 8 --configfile my.yaml -- quality", []),
    ],
)
def test_a_target_after_the_configuration_is_noticed(command, expected):
    assert swallowed(command) == expected
