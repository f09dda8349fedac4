"""Run the workflow with one configuration, show its progress, and clean up after a run that was killed.

    python workflow/run.py config/demo.yaml [targets ...] [--cores N] [--config key=value ...]

One run at a time works in a results folder.  When this process, or the one that started it, is killed, the jobs of
the run are ended: at once where that can be noticed, otherwise by the next run, which then goes on where it stopped.
"""

import argparse
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import yaml
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from patch2loc.configuration.schema import check_schema
from patch2loc.errors import InputError
from patch2loc.files import remove_partial, storage_message

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
STEPS = re.compile(r"^(\d+) of (\d+) steps")
PROBLEM = ("InputError: ", "StorageError: ", "Killed: ")  # of workflow/scripts/rule_log.py, and of _problem
# What Snakemake itself meets, and what it says of inputs that are gone, or dated after the results made from them, and
# of a job's process.
STORAGE = re.compile(r"^\s*\w*Error: \[Errno (\d+)\] ([^:]+): '(.+)'$")
GONE = re.compile(r"^\s*(\S.*) \(missing locally\b")
SKEW = re.compile(r"^\s*Output \S+ has older modification time .* than input (\S+) \((.{16})")
KILLED = re.compile(r".*/tmp\w+\.(\w+)\.py' died with <Signals\.(\w+): \d+>")
ERROR = re.compile(r"^\w*(?:Error|Exception)\b|^\S+: error: ")  # of Snakemake, or of its command line
SHOWN = 60  # lines of the output of a run that failed
RULE = re.compile(r"^\s*(?:local)?(?:rule|checkpoint) (\w+):")
MEMORY_SHARE = 0.9
# Snakemake's job limiter wakes it up again and again, the more often the shorter its span, and keeps it alive for a
# span after its work is done: a long span, and an exit that does not wait.
SPAN = "6000/1m"
SNAKEMAKE = """
import os, sys
from snakemake.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))
"""


def main() -> int:
    """Run; the exit status is Snakemake's."""
    arguments = _arguments()
    results = _results(arguments.configfile, dict(pair.split("=", 1) for pair in arguments.config))
    try:
        results.mkdir(parents=True, exist_ok=True)
        with open(results / ".run.lock", "a+", encoding="utf-8") as lock:
            _take(lock, results)
            return _run(arguments, results, lock)
    except OSError as error:
        sys.exit(storage_message(error, results) or error)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configfile", type=Path, help="configuration of the run")
    parser.add_argument("targets", nargs="*", help="targets; everything without them")
    parser.add_argument("--cores", default="all", help="processor cores to use (default: all)")
    parser.add_argument(
        "--config", nargs="+", default=[], type=_pair, metavar="KEY=VALUE", help="keys to overrule"
    )
    return parser.parse_intermixed_args()  # targets also after options


def _pair(text: str) -> str:
    key, sign, _ = text.partition("=")
    if not (key and sign):
        raise argparse.ArgumentTypeError(
            f"{text!r} found, KEY=VALUE expected; give targets before --config, or after --"
        )
    return text


def _results(path: Path, overruled: dict[str, str]) -> Path:
    """Folder of the results of a configuration with some keys overruled."""
    configuration = _read(path)
    if "results" in overruled:
        configuration["results"] = overruled["results"] or None
    known = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))["properties"]
    # The values of the other keys are Snakemake's to check: it may add those of config/config.yaml.
    keys = {name: {} for name in known} | {"results": known["results"]}
    try:
        check_schema(
            configuration, {"properties": keys, "additionalProperties": False, "required": ["results"]}
        )
    except InputError as error:
        sys.exit(f"{path}: {error}")
    return Path(configuration["results"])


def _read(path: Path) -> dict:
    """Keys and values of a configuration; ends the run where the file has none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        sys.exit(
            f"{path}: {error.strerror} found, a configuration expected; give its path, e.g. config/demo.yaml"
        )
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        start = f", {error.context} from line {error.context_mark.line + 1}" if error.context_mark else ""
        sys.exit(f"{path}: line {line}: no YAML found ({error.problem}{start}); correct the file there")
    except (yaml.YAMLError, ValueError) as error:
        problem = " ".join(str(error).split()).replace('"<unicode string>"', "the file")
        sys.exit(f"{path}: no YAML in UTF-8 found ({problem}); correct the file")
    if not isinstance(content, dict):
        found = "nothing" if content is None else "a list" if isinstance(content, list) else "a single value"
        sys.exit(
            f"{path}: {found} found, keys with values expected, as in config/demo.yaml; correct the file"
        )
    return content


def _take(lock, results: Path) -> None:
    """Take the lock of a results folder and end what a killed run left behind."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"{results}: another run is at work there; wait for it, or stop it, and run again")
    lock.seek(0)
    text = lock.read()
    if text:
        _end_group(json.loads(text)["group"])
        remove_partial(results)


def _end_group(group: int) -> None:
    """Kill the processes of a process group that work in this folder."""
    ended = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and Path(process.cwd()) == Path.cwd():
                process.kill()
                ended.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    psutil.wait_procs(ended, timeout=10)


def _run(arguments: argparse.Namespace, results: Path, lock) -> int:
    memory = int(psutil.virtual_memory().total / 1e6 * MEMORY_SHARE)
    command = [sys.executable, "-c", SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--max-jobs-per-timespan", SPAN]
    command += ["--configfile", str(arguments.configfile), "--cores", arguments.cores]
    # This process holds a lock of its own, which does not outlive it.
    # One job at a time on each GPU; without any, jobs that could use one share the processors.
    gpus = len(list(Path("/dev").glob("nvidia[0-9]*"))) or psutil.cpu_count()
    command += ["--nolock", "--resources", f"mem_mb={memory}", f"gpu={gpus}"]
    if arguments.config:
        command += ["--config", *arguments.config]
    if arguments.targets:
        command += ["--", *arguments.targets]
    log_path = results / "snakemake.log"
    # Arithmetic libraries take the threads that a rule asks for, not all cores in every job.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    threading.Thread(target=_end_with_parent, args=(process.pid, os.getppid()), daemon=True).start()
    try:
        lock.seek(0)
        lock.truncate()
        json.dump({"group": process.pid}, lock)
        lock.flush()
        with open(log_path, "w", encoding="utf-8") as log:
            nothing_to_do, problems = _show_progress(process.stdout, log)
        status = process.wait()
    finally:
        _end_group(process.pid)
    lock.truncate(0)
    if status:
        remove_partial(results)
        said = log_path.read_text(encoding="utf-8").splitlines()
        print("\n".join(problems or _reason(said)), file=sys.stderr)
        print(f"\nThe run failed; all of its output is in {log_path}", file=sys.stderr)
    else:
        report = results / "report.html"
        done = "nothing to do, everything is up to date" if nothing_to_do else "done"
        print(f"{done}: {report.resolve()}" if report.exists() else done)
    return status


def _reason(said: list[str]) -> list[str]:
    """What Snakemake said of a failure: the error that ended its planning, from its beginning, else the end."""
    for number, line in enumerate(said):
        if RULE.match(line) or line.startswith("Traceback"):
            break
        if ERROR.match(line):
            return said[number : number + SHOWN]
    return said[-SHOWN:]


def _end_with_parent(group: int, parent: int) -> None:
    """End the run when the process that started this one (make, a shell) is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    _end_group(group)
    os._exit(1)


def _show_progress(lines, log) -> tuple[bool, list[str]]:
    """Copy Snakemake's output to the log and its progress to the terminal.

    Returns whether there was nothing to do, and what the rules said that a person can mend: lines, each once.
    """
    nothing, problems, in_problem = False, [], False
    with tqdm(desc="planning", unit="step", mininterval=1 if sys.stderr.isatty() else 15) as bar:
        for line in lines:
            log.write(line)
            log.flush()
            nothing = nothing or line.startswith("Nothing to be done")
            line = _problem(line) or line
            in_problem = line.startswith(PROBLEM) or (in_problem and line.startswith("  "))
            if in_problem and line.rstrip() not in problems:
                problems.append(line.rstrip())
            if match := RULE.match(line):
                bar.set_description(match[1], refresh=False)
            elif match := STEPS.match(line):
                bar.total = int(match[2])
                bar.update(int(match[1]) - bar.n)
    return nothing, problems


def _problem(line: str) -> str | None:
    """A problem in the words of rule_log.py, of a line in which Snakemake says it in its own."""
    if match := STORAGE.match(line):
        message = storage_message(OSError(int(match[1]), match[2], match[3]), match[3])
        return message and f"StorageError: {message}"
    if match := GONE.match(line):
        return (
            f"InputError: {match[1]}: no such file, though it was there when the run began; put it back, or wait for "
            "its file system, and run the same command again"
        )
    if match := SKEW.match(line):
        path, date = match.groups()
        return (
            f"StorageError: {path}: dated {date} found, later than this machine's clock; set the clock right, or give "
            f"the files the time of now (find {path} -exec touch {{}} +), and run the same command again"
        )
    if match := KILLED.match(line):
        return (
            f"Killed: {match[1]}.py was ended by {match[2]}, by a person or because memory ran out; close what else "
            "needs memory, or take fewer --cores, and run the same command again"
        )
    return None


if __name__ == "__main__":
    sys.exit(main())
