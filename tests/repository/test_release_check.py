"""What `make release-check` reads and rewrites; the builds themselves it makes."""

import re
import runpy
import shutil

import pytest
from repository_paths import ROOT

CHECK = runpy.run_path(str(ROOT / "tests" / "campaigns" / "release_check.py"))
ADDRESS = "https://example.org/someone/patch2loc"


def test_links_to_files_get_the_address_and_all_others_stay():
    text = "[a](docs/a.md#b), ![c](docs/c.png), [d](#d), [e](https://e.org/f), [g\nh](LICENSE)"
    assert CHECK["absolute_links"](text, f"{ADDRESS}/", "1.2.3") == (
        f"[a]({ADDRESS}/blob/v1.2.3/docs/a.md#b), ![c]({ADDRESS}/raw/v1.2.3/docs/c.png), [d](#d), "
        f"[e](https://e.org/f), [g\nh]({ADDRESS}/blob/v1.2.3/LICENSE)"
    )


def test_every_link_of_the_front_page_leads_somewhere_without_the_repository():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", CHECK["absolute_links"](page, ADDRESS, "1.2.3"))
    assert len(links) > 20
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert not re.search(r"<img|<a ", page)  # which are not rewritten


@pytest.fixture
def stating(tmp_path):
    for name in (*CHECK["VERSIONS"], "pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def test_a_version_that_was_not_raised_is_seen(stating):
    citation = stating / "CITATION.cff"
    text = citation.read_text(encoding="utf-8")
    found = CHECK["versions"](stating)
    assert found["CITATION.cff"] == found["workflow/scripts/patch2loc/__init__.py"]
    citation.write_text(re.sub(r"^version: .+$", "version: 0.0.7", text, flags=re.MULTILINE))
    changes = stating / "CHANGELOG.md"
    changes.write_text(changes.read_text(encoding="utf-8").replace("\n## ", "\n## Unreleased\n\n## ", 1))
    assert CHECK["versions"](stating) == {**found, "CITATION.cff": "0.0.7", "CHANGELOG.md": "Unreleased"}


def test_a_person_is_asked_for_what_the_repository_does_not_state(stating):
    citation, project = stating / "CITATION.cff", stating / "pyproject.toml"
    text = re.sub(r"^Repository = .+\n", "", project.read_text(encoding="utf-8"), flags=re.MULTILINE)
    project.write_text(text)
    citation.write_text(re.sub(r"^doi: .+\n", "", citation.read_text(encoding="utf-8"), flags=re.MULTILINE))
    kinds = [step.partition(":")[0] for step in CHECK["left_for_a_person"](stating, "1.2.3")]
    assert kinds == ["address", "tag", "package", "image", "DOI"]
    project.write_text(text.replace("[project.urls]\n", f'[project.urls]\nRepository = "{ADDRESS}"\n'))
    citation.write_text(citation.read_text(encoding="utf-8") + "doi: 10.5072/zenodo.1\n")
    kinds = [step.partition(":")[0] for step in CHECK["left_for_a_person"](stating, "1.2.3")]
    assert kinds == ["tag", "package", "image"]
