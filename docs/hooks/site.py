"""Hook of MkDocs: pages from outside docs/, files that pages link to, and the pages of the library.

In the repository, links lead from file to file, so that they work wherever the repository is read.  The site is made
of the same files: a page from outside docs/ appears under a name of its own, and a file that a page links to (a
configuration, a table, a picture) is copied into repository/ of the site.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = "docs"
PACKAGE = ROOT / "workflow" / "scripts" / "patch2loc"
# {page in the repository: page of the site}
OUTSIDE = {
    "README.md": "overview.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "explanation/benchmarks.md",
    "config/README.md": "reference/configuration.md",
    "config/keys.md": "reference/keys.md",
    "config/ixi2mm/README.md": "how-to/real-scans.md",
    "config/model_t1/README.md": "how-to/model-scans.md",
    "splits/README.md": "reference/subject-lists.md",
}
IN_REPOSITORY = {site: repository for repository, site in OUTSIDE.items()}
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")


def repository_path(site_path: str) -> str:
    """Where a page of the site lies in the repository."""
    return IN_REPOSITORY.get(site_path, f"{DOCS}/{site_path}")


def site_path(repository_path: str) -> str:
    """Where a file of the repository lies in the site."""
    if repository_path in OUTSIDE:
        return OUTSIDE[repository_path]
    if repository_path.startswith(f"{DOCS}/"):
        return repository_path.removeprefix(f"{DOCS}/")
    return f"repository/{repository_path}"


def linked_path(target: str, page: str) -> str | None:
    """The file of the repository that a link of `page` leads to; None for addresses and anchors."""
    path = target.partition("#")[0]
    if not path or re.match(r"[a-z]+:", target):
        return None
    return os.path.normpath(os.path.join(os.path.dirname(page), path))


def modules() -> Iterator[tuple[str, ...]]:
    """Every public module of the library, as the parts of its name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not parts[-1].startswith("_"):
            yield parts


def module_page(parts: tuple[str, ...]) -> str:
    """The page of a module; a package's is the index of its folder."""
    is_package = (PACKAGE.parent / Path(*parts)).is_dir()
    return "/".join(("reference", "library", *parts[1:])) + ("/index.md" if is_package else ".md")


def library_menu() -> list:
    """The menu of the library: a folder for each package."""
    menu: list = []
    folders: dict[tuple[str, ...], list] = {}
    for parts in modules():
        page = module_page(parts)
        if page.endswith("index.md"):
            folders[parts] = [page]
            if len(parts) == 1:
                menu = folders[parts]
            else:
                folders[parts[:-1]].append({parts[-1]: folders[parts]})
        else:
            folders[parts[:-1]].append({parts[-1]: page})
    return menu


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the library into the menu, below Reference."""
    for entry in config.nav:
        if "Reference" in entry:
            entry["Reference"].append({"Library": library_menu()})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/, those of the library, and the files that pages link to."""
    for repository, site in OUTSIDE.items():
        files.append(File.generated(config, site, abs_src_path=str(ROOT / repository)))
    linked = set()
    for file in list(files.documentation_pages()):
        page = repository_path(file.src_uri)
        for target in LINK.findall(CODE.sub("", file.content_string)):
            path = linked_path(target, page)
            if path and path not in OUTSIDE and not path.startswith(f"{DOCS}/") and (ROOT / path).is_file():
                linked.add(path)
    for path in sorted(linked):
        files.append(File.generated(config, site_path(path), abs_src_path=str(ROOT / path)))
    for parts in modules():
        name = ".".join(parts)
        text = f"---\ntitle: {name}\n---\n\n::: {name}\n"
        files.append(File.generated(config, module_page(parts), content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    source = repository_path(page.file.src_uri)

    def site_link(match: re.Match) -> str:
        target = match.group(1)
        path = linked_path(target, source)
        if path is None:
            return target
        relative = os.path.relpath(site_path(path), os.path.dirname(page.file.src_uri) or ".")
        return relative + target[len(target.partition("#")[0]) :]

    parts = CODE.split(markdown)
    parts[::2] = [LINK.sub(site_link, part) for part in parts[::2]]
    return "".join(parts)
