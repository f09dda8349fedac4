"""Ask anaconda.org which versions of the pinned packages it has, and record them in envs/conda-forge-versions.csv.

    python envs/check_pins.py

For each package of envs/*.yaml and envs/tools/*.yaml that conda-forge provides: the file of the pinned version and that
of the newest one, for Linux on x86-64 and the Python of the environments.  The exit status is 1 if a pin is not there.
tests/repository/test_environments.py compares the pins with the record, without a network.
"""

import argparse
import csv
import json
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parent
RECORD = FOLDER / "conda-forge-versions.csv"
COLUMNS = ("package", "version", "file", "source", "read")
API = "https://api.anaconda.org"
CHANNEL = "conda-forge"
PATIENCE = 60  # seconds


def read_pins(paths: list[Path]) -> tuple[dict[str, str], str]:
    """The pins of environments, which agree: ({package: version}, version of Python)."""
    pins, python = {}, ""
    for path in paths:
        environment = yaml.safe_load(path.read_text(encoding="utf-8"))
        for entry in environment["dependencies"]:
            name, _, version = entry.partition("=") if isinstance(entry, str) else ("", "", "")
            if name == "python":
                python = version
            elif version:
                pins[name] = version
    return pins, python


def available(package: str, python: str, api: str) -> tuple[list[dict[str, str]], str]:
    """Files that conda-forge has of a package, oldest upload first, and where that was read.

    Only files for Linux on x86-64, or any machine, that this Python can use, and that the channel has not withdrawn.
    """
    address = f"{api}/package/{CHANNEL}/{package}"
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            files = json.load(answer)["files"]
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        files = []
    tag = f"py{python.replace('.', '')}"
    usable = [
        {"version": file["version"], "file": file["basename"], "uploaded": file["upload_time"]}
        for file in files
        if "main" in file["labels"]
        and file["attrs"]["subdir"] in ("linux-64", "noarch")
        and (tag in file["attrs"]["build"] or "py3" not in file["attrs"]["build"])
    ]
    return sorted(usable, key=lambda file: file["uploaded"]), address


def main() -> int:
    """Write the record; 1 if a pin is not there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--api", default=API, help="address that answers /package/CHANNEL/NAME")
    parser.add_argument("--output", type=Path, default=RECORD, help="record to write")
    arguments = parser.parse_args()
    pins, python = read_pins(sorted(FOLDER.rglob("*.yaml")))
    rows, absent = [], []
    for package, version in sorted(pins.items()):
        try:
            files, address = available(package, python, arguments.api)
        except OSError as error:
            sys.exit(
                f"{arguments.api}: {error}; an answer about {package} was expected; nothing was recorded"
            )
        read = {"package": package, "source": address, "read": f"{datetime.now(UTC):%Y-%m-%d}"}
        pinned = [file for file in files if file["version"] == version][-1:]
        if not pinned:
            newest = files[-1]["version"] if files else "nothing"
            absent.append(f"{package}: {newest} is the newest of {address}, {version} expected")
        for file in {file["version"]: file for file in [*pinned, *files[-1:]]}.values():
            rows.append({**read, "version": file["version"], "file": file["file"]})
    with open(arguments.output, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print("\n".join(absent) or f"all {len(pins)} pins are there")
    return int(bool(absent))


if __name__ == "__main__":
    sys.exit(main())
