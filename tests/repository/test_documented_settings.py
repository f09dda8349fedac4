"""Settings that the documentation lists: all that the code has, with its values."""

import re

import pytest
from repository_paths import ROOT

from patch2loc.configuration.method_registry import FROM_PATCHES, NETWORKS
from patch2loc.method_declaration import BUDGETS
from patch2loc.method_interface import declaration
from patch2loc.preprocess import scan

DOCS = ROOT / "docs" / "reference"
ROW = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)
# Of methods whose page is another one's, or refers to another one for what its own table does not change.
PAGES = {
    "vae": ["ae", "vae"],
    "fae_patch2loc": ["fae"],
    "dae_patch2loc": ["dae"],
    "patch2loc_inpainted": ["pixelwise"],
    "phanes": ["ra", "phanes"],
    "pddpm": ["ddpm", "pddpm"],
    "cddpm": ["ddpm", "cddpm"],
}
BUDGETED = [name for name in NETWORKS if name not in FROM_PATCHES]


def text_of(page):
    return (DOCS / page).read_text(encoding="utf-8")


def value(cell):
    """A number, or several as a list."""
    numbers = [float(each) for each in cell.split(",")]
    return numbers if "," in cell else numbers[0]


def listed(name):
    """Settings by the tables of a method's pages: {budget: {setting: value}}; the last page's are taken."""
    settings = {budget: {} for budget in BUDGETS}
    for page in PAGES.get(name, [name]):
        text = text_of(f"methods/{page}.md")
        header = "| setting | smoke | short | paper | meaning |\n"
        table = text.partition(header)[2].partition("\n\n")[0]
        for key, cells in ROW.findall(table):
            for budget, cell in zip(BUDGETS, cells.split(" | "), strict=False):
                settings[budget][key] = value(cell)
    return settings


@pytest.mark.parametrize("name", BUDGETED)
def test_a_page_lists_the_settings_of_a_method_in_every_budget(name):
    assert listed(name) == declaration(name).settings
    own = text_of(f"methods/{PAGES.get(name, [name])[-1]}.md")
    assert f"{{{name}: {{" in own or f"`{name}` has the same" in own
    for key in declaration(name).settings["paper"]:
        assert f"`{key}`" in own


@pytest.mark.parametrize("name", FROM_PATCHES)
def test_a_page_lists_what_a_method_on_patches_has_besides_the_training(name):
    for key in declaration(name).own_settings:
        assert f"`{key}`" in text_of(f"methods/{name}.md")


def test_the_settings_of_preprocessing_are_those_of_the_code():
    table = text_of("api.md").partition("| setting | values | default |")[2].partition("\n\n")[0]
    rows = {key: cells.split(" | ") for key, cells in ROW.findall(table)}
    words = {key: [re.findall(r"`(.+?)`", cell) for cell in cells] for key, cells in rows.items()}
    expected = {
        key: [[str(each) for each in choices], [str(scan.DEFAULTS[key])]]
        for key, choices in scan.CHOICES.items()
    }
    assert words == expected
