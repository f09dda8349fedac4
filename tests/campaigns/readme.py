"""Run every command of README.md in a fresh clone, in the order of the page, in one shell.

    python3 tests/campaigns/readme.py ["FOLDER"] [--record benchmarks/commands.csv]

The clone is FOLDER/patch2loc; by default FOLDER is new, with a space and an accent in its name.  Commands that take
hours are only planned (`snakemake --dry-run`), with simulated or empty files in place of the reader's scans.
"""

import argparse
import csv
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONTROLS, PATIENTS = 100, 20  # of the study that README's table of times names
# What makes a file that the page takes for granted, before the first command that names it.
NEEDED = {
    "t1.nii.gz": "patch2loc simulate heads --subjects 1 --spacing 2\nmv heads/phantom_healthy_000/T1.nii.gz t1.nii.gz",
    "study.yaml": "python tests/campaigns/readme.py --make-study",
    "config/config.yaml": "python tests/campaigns/readme.py --make-paper-data",
}
# After a command: what the page says that it gives.
GIVES = {
    "make demo": "test -s results/demo/report.html",
    "patch2loc detect": "test -s result/report.html",
}


def commands(text: str) -> list[str]:
    """Commands of the page's console blocks, without comments."""
    lines = [line for block in BLOCK.findall(text) for line in block.splitlines()]
    return [shlex.join(shlex.split(line, comments=True)) for line in lines if line.strip()]


def runnable(command: str) -> str:
    """The command as it is run here: planned, where it would take hours; ended, where it would serve a page."""
    if command.startswith("snakemake "):
        return f"{command} --dry-run --quiet rules"
    if command.startswith("patch2loc view "):
        return f"python tests/campaigns/readme.py --visit {shlex.quote(command)}"
    return command


def script(page: str) -> str:
    """A shell script of the page's commands; each line `### SECONDS COMMAND` of its output says what one took."""
    lines, there = ["set -euo pipefail"], set()
    for command in commands(page):
        for name, making in NEEDED.items():
            if name in command and name not in there:
                there.add(name)
                lines.append(making)
        lines += [f"echo {shlex.quote('$ ' + command)}", "SECONDS=0", runnable(command)]
        lines += [check for start, check in GIVES.items() if command.startswith(start)]
        lines.append(f'echo "### $SECONDS "{shlex.quote(command)}')
    return "\n".join(lines)


def make_study() -> None:
    """study.yaml of the page about own scans, and its BIDS dataset: each scan the same simulated head."""
    page = (ROOT / "docs/how-to/own-data.md").read_text(encoding="utf-8")
    study = next(
        block for block in re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S) if "patients:" in block
    )
    data = ROOT / "own"
    Path("study.yaml").write_text(study.replace("data: /data", f"data: {data.name}"), encoding="utf-8")
    people = ["participant_id\tgroup"]
    for number in range(CONTROLS + PATIENTS):
        people.append(f"sub-{number:03}\t{'control' if number < CONTROLS else 'patient'}")
        scan = data / f"study/sub-{number:03}/anat/sub-{number:03}_T1w.nii.gz"
        scan.parent.mkdir(parents=True)
        shutil.copyfile("t1.nii.gz", scan)
    (data / "study/participants.tsv").write_text("\n".join(people) + "\n")
    (data / "study/dataset_description.json").write_text('{"Name": "study", "BIDSVersion": "1.10.0"}\n')


def make_paper_data() -> None:
    """An empty file for each scan of the paper, where config/config.yaml looks for it."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import yaml
    from plan_paper import make_replica

    configuration = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    print(make_replica(configuration, ROOT), "empty files")


def visit(command: str) -> None:
    """Run a command that serves pages until its first page was read, then interrupt it as Ctrl-C does."""
    with subprocess.Popen(
        [*shlex.split(command), "--no-browser", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as server:
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
        with urlopen(address) as answer:
            print(f"{address}: {len(answer.read())} bytes")
        server.send_signal(signal.SIGINT)


def write_record(path: Path, took: list[list[str]], clone: Path) -> None:
    """Add what each command that was run in full took to the table, and how large the clone is now."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=clone, capture_output=True, text=True
    )
    disk, demo = (
        int(subprocess.run(["du", "-sB1", str(folder)], capture_output=True, text=True).stdout.split()[0])
        / 1e9
        for folder in (clone, clone / "results/demo")
    )
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    rows = [
        {
            "command": command,
            "minutes": f"{int(seconds) / 60:.1f}",
            "clone_gb": f"{disk:.1f}",
            "results_gb": f"{demo:.1f}" if command == "make demo" else "",
            "cores": str(os.cpu_count()),
            "processor": cpu[1] if cpu else platform.machine(),
            "date": time.strftime("%Y-%m-%d"),
            "commit": commit.stdout.strip(),
        }
        for seconds, command in took
        if runnable(command) == command and not command.startswith("source ")
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def run(folder: Path, record: Path | None) -> int:
    """Clone, run all commands, say what each took; the exit status of the first that failed, or 0."""
    clone = folder / "patch2loc"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    began, took = time.monotonic(), []
    with subprocess.Popen(
        ["bash", "-c", script((clone / "README.md").read_text(encoding="utf-8"))],
        cwd=clone,
        stdout=subprocess.PIPE,
        text=True,
    ) as shell:
        for line in shell.stdout:
            if line.startswith("### "):
                took.append(line.split(maxsplit=2)[1:])
            else:
                print(line, end="", flush=True)
    for seconds, command in took:
        print(f"{int(seconds) / 60:6.1f} min  {command.strip()}")
    print(f"README.md: {len(took)} commands in {(time.monotonic() - began) / 60:.1f} min, in {clone}")
    if record and not shell.returncode:
        write_record(record, took, clone)
    return shell.returncode


def main() -> int:
    """Read the command line and do what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="where the clone is made; default: a new folder")
    parser.add_argument("--record", type=Path, help="a table in which the minutes of each command are kept")
    for name, function in (("study", make_study), ("paper-data", make_paper_data)):
        parser.add_argument(
            f"--make-{name}", dest="do", action="store_const", const=function, help=argparse.SUPPRESS
        )
    parser.add_argument("--visit", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.do:
        return arguments.do() or 0
    if arguments.visit:
        return visit(arguments.visit) or 0
    folder = arguments.folder or Path(tempfile.mkdtemp(), "a folder, é")
    folder.mkdir(parents=True, exist_ok=True)
    return run(folder.resolve(), arguments.record)


if __name__ == "__main__":
    sys.exit(main())
