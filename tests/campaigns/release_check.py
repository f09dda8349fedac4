"""Build the package from the last commit, install it in a new environment, run it there, and list what is left to do.

    python3 tests/campaigns/release_check.py

Exit status 0: everything that a machine can check is right.  Needs the network and 8 GB of disk for a while; everything
is built in a temporary folder.
"""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import venv
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(
    r"(!?\[[^\]]*\]\()(?!#|[a-z]+:)([^)]+)\)"
)  # to a file: neither to a section nor to an address
VERSIONS = {
    "workflow/scripts/patch2loc/__init__.py": r'^__version__ = "(.+)"$',
    "CITATION.cff": r"^version: (\S+)$",
    "CHANGELOG.md": r"^## (\S+)",
}


def versions(root: Path) -> dict[str, str]:
    """{file: the version that it states}; of the changelog, the first heading."""
    found = {}
    for name, pattern in VERSIONS.items():
        match = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        found[name] = match[1] if match else "none"
    return found


def absolute_links(text: str, address: str, version: str) -> str:
    """A page whose links to files lead to them at the repository's address, at the tag of the version."""

    def absolute(match: re.Match[str]) -> str:
        kind = "raw" if match[1].startswith("!") else "blob"
        return f"{match[1]}{address.rstrip('/')}/{kind}/v{version}/{match[2]})"

    return LINK.sub(absolute, text)


def left_for_a_person(root: Path, version: str) -> list[str]:
    """What no check can do, without what the repository already states."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    steps = []
    if "Repository" not in project["urls"]:
        steps.append(
            "address: add Repository to [project.urls] in pyproject.toml; until then, the README's links to files do "
            "not work on the package's page"
        )
    steps.append(f"tag: git tag v{version}, and push it")
    steps.append("package: upload the wheel and the sdist with an account at the registry (twine upload)")
    steps.append("image: build workflow/Dockerfile, run it, and push it with an account at a registry")
    if not re.search(r"^doi:", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE):
        steps.append("DOI: archive the tag (for example with Zenodo) and add `doi:` to CITATION.cff")
    return steps


def run(*command: object, cwd: Path) -> str:
    """Run a command outside the clone, and return what it printed."""
    words = [str(word) for word in command]
    began = time.monotonic()
    result = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    name = " ".join([Path(words[0]).name, *words[1:]]).replace(f"{cwd}/", "")
    print(f"{time.monotonic() - began:5.0f} s  {name}", flush=True)
    if result.returncode:
        sys.exit(f"{result.stdout[-3000:]}{result.stderr[-3000:]}\nexit status {result.returncode}: {name}")
    return result.stdout


def new_environment(folder: Path, *packages: object) -> Path:
    """The folder of the commands of a new virtual environment with these packages."""
    venv.create(folder, with_pip=True)
    run(
        folder / "bin/python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-cache-dir",
        *packages,
        cwd=folder.parent,
    )
    return folder / "bin"


def size(folder: Path) -> float:
    """Of all files, in GB."""
    return sum(path.lstat().st_size for path in folder.rglob("*")) / 1e9


def check(folder: Path) -> None:
    """Build, install and run the last commit in a folder."""
    source = folder / "source"
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(source, filter="data")
    stated = versions(source)
    version = stated["workflow/scripts/patch2loc/__init__.py"]
    if set(stated.values()) != {version}:
        sys.exit(f"one version expected, found {stated}")

    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if address := project["urls"].get("Repository"):
        page = source / "README.md"
        page.write_text(absolute_links(page.read_text(encoding="utf-8"), address, version), encoding="utf-8")

    tools = new_environment(folder / "tools", "build", "twine")
    run(tools / "python", "-m", "build", "--outdir", folder / "dist", source, cwd=folder)
    files = sorted((folder / "dist").iterdir())
    run(tools / "python", "-m", "twine", "check", "--strict", *files, cwd=folder)
    shutil.rmtree(source)

    installed = new_environment(folder / "installed", *(path for path in files if path.suffix == ".whl"))
    command = installed / "patch2loc"
    said = run(command, "--version", cwd=folder)
    if not said.startswith(f"patch2loc {version} "):
        sys.exit(f"patch2loc {version} expected, found {said}")
    run(command, "simulate", "heads", "--subjects", 1, "--spacing", 2, cwd=folder)
    (scan,) = folder.glob("heads/*/T1.nii.gz")
    print(run(command, "detect", scan, "-o", "result", cwd=folder).strip().replace(f"{folder}/", ""))
    missing = [name for name in ("report.html", "candidates.csv") if not (folder / "result" / name).is_file()]
    if missing:
        sys.exit(f"detect wrote no {' and no '.join(missing)}")
    for path in files:
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    print(f"the environment with the wheel: {size(folder / 'installed'):.1f} GB")
    print("\nLeft for a person:", *left_for_a_person(ROOT, version), sep="\n- ")


def main() -> None:
    """Check the last commit."""
    if subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=ROOT, check=False).returncode:
        sys.exit("uncommitted changes found; commit them first, because the last commit is checked")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="patch2loc-release-") as folder:
        check(Path(folder))
    print(f"\nAll checks passed in {(time.monotonic() - began) / 60:.0f} min.")


if __name__ == "__main__":
    main()
