"""The documentation holds together: links and anchors lead somewhere, and the site's menu has every page."""

import re
import runpy
from functools import cache

import pytest
import yaml
from repository_paths import ROOT

FOLDERS = (".github", "benchmarks", "config", "docs", "profiles", "splits", "tests", "workflow")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in ROOT.glob(f"{folder}/**/*.md"))])
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def slug(heading):
    """The anchor of a heading, as GitHub and the site make it."""
    text = LINK.sub(lambda match: match.group(0)[1:].partition("]")[0], heading.replace("`", ""))
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


@cache
def anchors(page):
    """Anchors of a page; of equal headings the later ones are numbered."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    slugs = [slug(heading) for heading in HEADING.findall(text)]
    return {
        name if slugs[:place].count(name) == 0 else f"{name}-{slugs[:place].count(name)}"
        for place, name in enumerate(slugs)
    }


def links(text):
    """Targets of the links of a page that lead into the repository."""
    targets = LINK.findall(CODE.sub("", text))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def dead_links(page):
    """Links of a page that lead nowhere, with the reason."""
    dead = []
    for target in links(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            dead.append(f"{target}: no such file")
        elif not file.is_relative_to(ROOT):
            dead.append(f"{target}: outside the repository")
        elif anchor and (file.suffix != ".md" or anchor not in anchors(file)):
            dead.append(f"{target}: no such heading")
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_and_anchor_leads_somewhere(page):
    assert dead_links(page) == []


def test_dead_links_are_noticed(tmp_path):
    page = ROOT / "docs" / "index.md"
    text = (
        "[a](no.md) [b](index.md#nothing-here) `[c](code.md)` [d](https://example.org)\n```\n[e](f.md)\n```\n"
    )
    assert links(text) == ["no.md", "index.md#nothing-here"]
    assert "nothing-here" not in anchors(page)
    assert slug("`a_b`: what, and [why](x.md)?") == "a_b-what-and-why"
    assert len(PAGES) > 40
    assert sum(len(links(page.read_text(encoding="utf-8"))) for page in PAGES) > 150


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_the_picture_of_the_front_page_is_small_and_its_script_knows_the_demo():
    script = runpy.run_path(str(ROOT / "docs" / "images" / "make_front_picture.py"))
    demo = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text(encoding="utf-8"))["datasets"]
    lesions = {name: dataset["modality"] for name, dataset in demo.items() if dataset["role"] == "lesion"}
    assert {name: modality for name, (_, modality) in script["DATASETS"].items()} == lesions
    assert (ROOT / "docs" / "images" / "front.png").stat().st_size < 200_000


def test_the_site_is_built_with_the_versions_of_requirements_where_both_name_a_package():
    pins, of_site = (
        dict(
            line.split(" ")[0].lower().split("==")
            for line in path.read_text().splitlines()
            if line[:1].isalpha()
        )
        for path in (ROOT / "requirements.txt", ROOT / "docs" / "requirements.txt")
    )
    shared = set(pins) & set(of_site)
    assert len(shared) > 10
    assert {name: of_site[name] for name in shared} == {name: pins[name] for name in shared}


def test_test_files_that_pages_name_are_there():
    tests = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py")}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for path in re.findall(r"tests/[\w/]+\.py", text):
            assert (ROOT / path).is_file(), f"{page.name}: {path}"
        assert set(re.findall(r"\btest_\w+\.py", text)) <= set(tests), page.name
        functions = set(re.findall(r"\btest_\w+\b(?!\.py)", text))
        assert not [name for name in functions if not any(f"def {name}(" in code for code in tests.values())]


def module_file(parts):
    """The file of a module by the parts of its name, or None."""
    base = ROOT.joinpath("workflow", "scripts", *parts)
    files = (base.with_suffix(".py"), base / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def test_modules_and_names_of_the_library_that_pages_mention_are_there():
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue
        text = page.read_text(encoding="utf-8")
        for path in re.findall(r"\bpatch2loc/[\w/]+\.py\b", text):
            assert (ROOT / "workflow" / "scripts" / path).is_file(), f"{page.name}: {path}"
        for name in re.findall(r"\bpatch2loc(?:\.(?!sif|yaml)\w+)+", text):
            parts = name.split(".")
            length = next(n for n in range(len(parts), 0, -1) if module_file(parts[:n]))
            attributes = parts[length:]
            source = module_file(parts[:length]).read_text(encoding="utf-8")
            assert not attributes or re.search(rf"\b{attributes[0]}\b", source), f"{page.name}: {name}"


def test_the_menu_of_the_site_has_every_page_once():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    named = re.findall(r"([\w./-]+\.md)\s*$", menu, re.MULTILINE)
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md")}
    assert len(named) == len(set(named))
    assert pages <= set(named)
