"""A stand-in for conda where no channel can be reached: what Snakemake asks of conda, with virtual environments.

`install(folder)` writes `folder`/bin/conda and `folder`/bin/activate.  An environment holds what its file names and all
that depends on, linked from the packages that are installed here, so it takes two seconds and no network; a version not
installed here is refused, as conda refuses one that no channel has.  With STAND_IN_CONDA=pip in the environment, pip
installs the same versions from its index instead: several GB.

Nothing here says whether conda-forge has these versions.

Each job in such an environment leaves a record in `prefix`/records when it ends: `records(prefix)`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import venv
from collections import defaultdict
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path

from dependencies import canonical, environment_pins, installed_with

VERSION = "25.9.1"  # Snakemake asks for 24.7.1 or later
ACTIVATE = """# source activate PREFIX: what conda's own script does for a shell that runs one command
export CONDA_PREFIX="$1" CONDA_DEFAULT_ENV="$1"
export PATH="$1/bin:$PATH"
"""
# Run at the start of every Python of an environment: says at the end who ran there, and what came from elsewhere.
RECORDER = """
import atexit, json, os, sys


def record():
    main = sys.modules["__main__"]
    if not hasattr(main, "snakemake"):  # no script of a rule
        return
    files = [(name, getattr(module, "__file__", None) or "") for name, module in list(sys.modules.items())]
    packages = [(name.partition(".")[0], file) for name, file in files if "site-packages" in file]
    content = {
        "rule": main.snakemake.rule,
        "script": os.path.basename(sys.argv[0]).partition(".")[2],  # Snakemake runs a copy, tmpx1y2z3.score.py
        "executable": sys.executable,
        "packages": sorted({name for name, _ in packages}),
        "elsewhere": sorted({name for name, file in packages if not file.startswith(sys.prefix)}),
    }
    folder = os.path.join(sys.prefix, "records")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f"{os.getpid()}-{os.urandom(4).hex()}.json"), "w") as stream:
        json.dump(content, stream)


atexit.register(record)
"""


def install(folder):
    """Write the commands `conda` and `activate` into `folder`/bin; returns that, for PATH."""
    commands = folder / "bin"
    commands.mkdir(parents=True)
    conda = commands / "conda"
    conda.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" "{folder}" "$@"\n')
    conda.chmod(0o755)
    (commands / "activate").write_text(ACTIVATE)
    return commands


def records(prefix):
    """What the jobs of an environment left there when they ended: [record], as RECORDER writes them."""
    return [json.loads(path.read_text()) for path in sorted((prefix / "records").glob("*.json"))]


def create(path, prefix):
    """Make the environment of a file; exits with a message like conda's if something of it is not to be had."""
    pins = environment_pins(path)
    python = pins.pop("python")
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    absent = [f"python={python} (here: {here})"] if python != here else []
    by_pip = os.environ.get("STAND_IN_CONDA") == "pip"
    if not by_pip:
        absent += [
            f"{name}={version} (here: {found})"
            for name, version in pins.items()
            if (found := installed_version(name)) is None or version not in ("", found)
        ]
    if absent:
        sys.exit("PackagesNotFoundError: " + ", ".join(absent))
    venv.create(prefix, symlinks=True, with_pip=False)
    site_packages = prefix / "lib" / f"python{here}" / "site-packages"
    if by_pip:
        words = [f"{name}=={version}" if version else name for name, version in pins.items()]
        pip = [sys.executable, "-m", "pip", "--python", str(prefix / "bin" / "python"), "install", "--quiet"]
        subprocess.run([*pip, *words], check=True)
    else:
        for name in filter(installed_version, installed_with(pins)):
            link_distribution(name, site_packages)
    (site_packages / "stand_in_recorder.py").write_text(RECORDER)
    (site_packages / "stand_in_recorder.pth").write_text("import stand_in_recorder\n")


def installed_version(name):
    """The version that is installed here, without the name of its build; None if there is none."""
    try:
        return distribution(name).version.partition("+")[0]
    except PackageNotFoundError:
        return None


@cache
def owners():
    """Who has files below each path of site-packages: {path: {package}}."""
    of_path = defaultdict(set)
    for package in distributions():
        name = canonical(package.metadata["Name"])
        for file in package.files or ():
            parts = file.parts
            if parts[0] != "..":  # commands
                for count in range(1, len(parts) + 1):
                    of_path[parts[:count]].add(name)
    return of_path


def link_distribution(name, site_packages):
    """Link a package's files: each folder that is its alone as a whole, what it shares with others one level deeper."""
    package = distribution(name)
    whole = set()
    for file in package.files or ():
        if file.parts[0] == ".." or "__pycache__" in file.parts[:1]:
            continue
        count = next(
            (n for n in range(1, len(file.parts)) if owners()[file.parts[:n]] == {name}), len(file.parts)
        )
        whole.add(file.parts[:count])
    for parts in whole:
        link = site_packages.joinpath(*parts)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(package.locate_file(Path(*parts)))


def main(words):
    """Answer as conda does."""
    base, *words = words
    if words == ["--version"]:
        print(f"conda {VERSION}")
    elif words == ["info", "--json"]:
        print(json.dumps({"conda_prefix": base, "platform": "linux-64", "conda_version": VERSION}))
    elif words == ["config", "--get", "channel_priority", "--json"]:
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif words[0] == "clean":
        pass  # nothing is kept
    elif words[:2] == ["env", "create"]:
        parser = argparse.ArgumentParser()
        parser.add_argument("--quiet", action="store_true")
        parser.add_argument("--no-default-packages", action="store_true")
        parser.add_argument("--file", type=Path, required=True)
        parser.add_argument("--prefix", type=Path, required=True)
        options = parser.parse_args(words[2:])
        try:
            create(options.file, options.prefix)
        except BaseException:
            shutil.rmtree(options.prefix, ignore_errors=True)
            raise
    else:
        sys.exit(f"conda {' '.join(words)}: the stand-in has no answer")


if __name__ == "__main__":
    main(sys.argv[1:])
