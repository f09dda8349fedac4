"""Run the workflow with a configuration, show its progress, and clean up after a run that was killed.

    python workflow/run.py config/demo.yaml [more.yaml ...] [targets ...] [--cores N] [--config key=value ...]
    python workflow/run.py config/config.yaml [config/table1.yaml] --estimate [--cores 16] [--gpus 1]

Of several configurations each is on top of the ones before it; less than a whole one is on top of config/config.yaml.

One run at a time works in a results folder.  When this process, or the one that started it, is killed, the jobs of
the run are ended: at once where that can be noticed, otherwise by the next run, which then goes on where it stopped.

In the results folder `.run.lock` is locked as long as a run is at work, and `.run.json` holds the number of the process
group of its jobs until these have ended.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, TextIO

import psutil
from filelock import FileLock, Timeout
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from patch2loc.configuration.configuration_file import (
    WHOLE,
    command_line_values,
    is_whole,
    merged,
    read_configuration,
    with_command_line_values,
)
from patch2loc.configuration.presets import completed
from patch2loc.configuration.results_folder import check_results_folder
from patch2loc.configuration.validation import check_results_key
from patch2loc.engine.gpus import visible_gpus
from patch2loc.errors import InputError
from patch2loc.files import (
    RUN_GROUP,
    RUN_LOCK,
    read_json,
    remove_partial,
    storage_message,
    without_home,
    write_json,
)
from patch2loc.output_folder import remedy_if_left
from patch2loc.plan.missing_scans import BEGINNING
from patch2loc.plan.plan import Plan, make_plan
from patch2loc.process import Stopped, for_terminal, prepare_output, stopped_by_signals
from patch2loc.watching.display import shown_trainings
from patch2loc.watching.problems import PROBLEM, reason, restated
from patch2loc.watching.stage_times import RULE, core_seconds, stage_table, started_jobs
from patch2loc.watching.tensorboard import TensorBoardEvents

ROOT = Path(__file__).resolve().parent.parent
PAPER = Path("config/config.yaml")  # what the Snakefile puts less than a whole configuration on top of
YAML = (".yaml", ".yml")  # ends of configurations on top of the first one; results end in .json, too
PERSONAL = (
    "  Host:",
    "  User:",
)  # lines that Snakemake begins with, not for those whom results are shared with
STEPS = re.compile(r"^(\d+) of (\d+) steps")
PARENT_GONE = (
    "as the shell or make that started this run is gone; finished results are kept; run the same command again to go "
    "on, in tmux or by nohup if it has to outlive its terminal"
)
MEMORY_SHARE = 0.9
CLUSTER_JOBS = 50  # at once, as profiles/slurm has it
# Options by which Snakemake tells something and computes nothing.
PLANNING = {
    "-n",
    "--dry-run",
    "--dryrun",
    "-S",
    "--summary",
    "-D",
    "--detailed-summary",
    "-l",
    "--list-rules",
}
CLOCK_TICK = 1.0  # seconds by which the start of a process and the time of a file may be off
NOTES = ("Note: ", "Estimate: ")  # of the planning (rules/common.smk), for a person to read before the run
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
    prepare_output()
    arguments = _arguments()
    if arguments.estimate:
        return _print_estimate(arguments)
    results = _results(arguments.configfiles, arguments.config)
    lock = FileLock(results / RUN_LOCK, timeout=0)
    try:
        with stopped_by_signals():
            results.mkdir(parents=True, exist_ok=True)
            with lock:  # ends with this process, however it ends
                _clean_up(results)
                return _run(arguments, results)
    except Timeout:
        sys.exit(
            f"{results}: another run is at work there; wait for it, or stop it, and run again{remedy_if_left(lock)}"
        )
    except InputError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(storage_message(error, results) or str(error))
    except Stopped as stop:
        stop.consequence = "finished results are kept; run the same command again to go on"
        print(f"{results}: {stop}", file=sys.stderr)
        return stop.status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("configfile", type=Path, help="configuration of the run")
    parser.add_argument(
        "targets",
        metavar="more.yaml or target",
        nargs="*",
        help="configurations on top of the first one, then targets; everything without targets",
    )
    parser.add_argument("--cores", default="all", help="processor cores to use (default: all)")
    parser.add_argument(
        "--config",
        nargs="+",
        action="extend",
        default=[],
        type=_pair,
        metavar="KEY=VALUE",
        help="keys to overrule",
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="write the curves of trainings for TensorBoard, too"
    )
    estimate = parser.add_argument_group("what it costs")
    estimate.add_argument(
        "--estimate",
        action="store_true",
        help="start nothing: print jobs, hours, memory and disk of the whole run, by measured and estimated rates; "
        "further configurations may follow the first",
    )
    estimate.add_argument(
        "--gpus", type=_number, metavar="N", help="GPUs to estimate for (default: this machine's)"
    )
    estimate.add_argument(
        "--cluster-jobs",
        type=_number,
        default=CLUSTER_JOBS,
        metavar="N",
        help="jobs that a cluster runs at once, to estimate for (default: %(default)s)",
    )
    parser.add_argument(
        "--snakemake",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="OPTION",
        help="all that follows is for Snakemake, e.g. --snakemake --dry-run",
    )
    arguments = parser.parse_intermixed_args()  # targets also after options
    keys = [pair.partition("=")[0] for pair in arguments.config]
    if arguments.estimate and not re.fullmatch(r"all|[1-9]\d*", arguments.cores):
        parser.error(f"argument --cores: {arguments.cores!r} found, all or a number of cores expected")
    for key in keys:
        if keys.count(key) > 1:
            parser.error(f"argument --config: {key} found twice, every key once expected; leave one out")
    more = list(takewhile(lambda name: name.endswith(YAML), arguments.targets))
    arguments.configfiles = [arguments.configfile, *map(Path, more)]
    arguments.targets = arguments.targets[len(more) :]
    return arguments


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} found, a whole number expected; correct it")
    return int(text)


def _print_estimate(arguments: argparse.Namespace) -> int:
    """Print what a run costs; the exit status."""
    # Here: a run needs neither.
    from patch2loc.estimate.costs import data_costs, run_costs, scan_counts
    from patch2loc.estimate.page import Machine, cost_page

    cores = os.cpu_count() or 1 if arguments.cores == "all" else int(arguments.cores)
    gpus = len(visible_gpus()) if arguments.gpus is None else arguments.gpus
    try:
        plan = planned_run(arguments.configfiles, arguments.config)
        device: Literal["cpu", "cuda"] = "cuda" if gpus and plan.config["device"] != "cpu" else "cpu"
        machine = Machine(cores, gpus if device == "cuda" else 0, max(1, arguments.cluster_jobs))
        print(cost_page(run_costs(plan, device), data_costs(plan), machine, scan_counts(plan)))
    except InputError as error:
        sys.exit(str(error))
    return 0


def planned_run(paths: Sequence[str | Path], pairs: Sequence[str]) -> Plan:
    """The plan of configurations and the keys of the command line, as Snakemake plans it."""
    from snakemake.cli import parse_config

    config = merged(_read_on_top_of_each_other(paths, {}), parse_config(pairs))
    tables = [str(ROOT / "config" / f"{name}.csv") for name in ("registry", "scan_files")]
    return make_plan(completed(with_command_line_values(config, pairs)), *tables)


def _pair(text: str) -> str:
    key, sign, _ = text.partition("=")
    if not (key and sign):
        raise argparse.ArgumentTypeError(
            f"{text!r} found, KEY=VALUE expected; give targets before --config, or after --"
        )
    return text


def _read_on_top_of_each_other(paths: Sequence[str | Path], values: Mapping[str, Any]) -> dict[str, Any]:
    """Configurations and further values on top of each other; on top of the paper's if they are not a whole one."""
    configuration: dict[str, Any] = {}
    for each in (*map(read_configuration, paths), values):
        configuration = merged(configuration, each)
    if not is_whole(configuration) and PAPER.is_file():
        absent = " and ".join(f"`{key}`" for key in WHOLE if key not in configuration)
        names = ", ".join(map(str, paths))
        print(f"{names}: no {absent} found; read on top of {PAPER}", file=sys.stderr)
        configuration = merged(read_configuration(PAPER), configuration)
    return configuration


def _results(paths: Sequence[Path], pairs: Sequence[str]) -> Path:
    """The results folder of configurations on top of each other and the keys of the command line."""
    names = ", ".join(map(str, paths))
    try:
        configuration = _read_on_top_of_each_other(paths, command_line_values(pairs))
    except InputError as error:
        sys.exit(str(error))
    try:
        check_results_key(configuration)
        check_results_folder(configuration)  # before anything is written
    except InputError as error:
        sys.exit(f"{names}: {error}")
    except OSError as error:
        sys.exit(storage_message(error, configuration["results"]) or str(error))
    return Path(configuration["results"])


def _clean_up(results: Path) -> None:
    """End the jobs of a killed run and remove what they had begun to write."""
    group_path = _group_path(results)
    if group_path.exists():
        try:
            group: int = read_json(group_path, {"group": int})["group"]
        except InputError as error:
            raise InputError(
                f"{group_path}: damaged, the process group of a killed run expected; see that none of its "
                "jobs is at work (ps -ef | grep snakemake), remove the file, and run again"
            ) from error
        _end_group(group)
        remove_partial(results, _is_at_work)
        group_path.unlink()


def _group_path(results: Path) -> Path:
    return results / RUN_GROUP


def _is_at_work(number: int, path: Path) -> bool:
    """True for a process that is as old as a temporary file, and so may be writing it."""
    try:
        process = psutil.Process(number)
        written = path.stat().st_mtime
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= written + CLOCK_TICK
    except (psutil.Error, OSError, OverflowError):
        return False


def _end_group(group: int) -> None:
    """Kill the processes of a process group that work in this folder."""
    killed = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and Path(process.cwd()) == Path.cwd():
                process.kill()
                killed.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    psutil.wait_procs(killed, timeout=10)


def _run(arguments: argparse.Namespace, results: Path) -> int:
    """Run Snakemake and report on it; the exit status."""
    events = TensorBoardEvents(results) if arguments.tensorboard else None
    memory = int(psutil.virtual_memory().total / 1e6 * MEMORY_SHARE)
    command = [sys.executable, "-c", SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--max-jobs-per-timespan", SPAN]
    command += ["--configfile", *map(str, arguments.configfiles), "--cores", arguments.cores]
    # This process holds a lock of its own, which does not outlive it.
    # One job at a time on each GPU; without any, jobs that could use one share the processors.
    gpus = len(visible_gpus()) or psutil.cpu_count()
    command += ["--nolock", "--resources", f"mem_mb={memory}", f"gpu={gpus}"]
    if arguments.config:
        command += ["--config", *arguments.config]
    command += arguments.snakemake
    if arguments.targets:
        command += ["--", *arguments.targets]
    only_planning = not PLANNING.isdisjoint(arguments.snakemake)
    log_path = results / "snakemake.log"
    # Arithmetic libraries take the threads that a rule asks for, not all cores in every job.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",  # names of files may hold any bytes
        env=environment,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None  # a pipe
        if not _outlives_its_terminal():
            watched = (process.pid, os.getppid(), results)
            threading.Thread(target=_end_with_parent, args=watched, daemon=True).start()
        write_json(_group_path(results), {"group": process.pid})
        began = _group_path(results).stat().st_mtime
        with open(log_path, "w", encoding="utf-8") as log, shown_trainings(results, events):
            nothing_to_do, problems = _show_progress(process.stdout, log, only_planning)
        status = process.wait()
    except Stopped:
        _end_group(process.pid)
        remove_partial(results, _is_at_work)
        _group_path(results).unlink(missing_ok=True)
        raise
    finally:
        _end_group(process.pid)
    _group_path(results).unlink()
    lines = log_path.read_text(encoding="utf-8").splitlines()
    if not only_planning and (table := stage_table(core_seconds(started_jobs(lines), began))):
        print(f"{table}\n")
    if status:
        remove_partial(results, _is_at_work)
        print("\n".join(problems or reason(lines)), file=sys.stderr)
        print(f"\nThe run failed; all of its output is in {log_path}", file=sys.stderr)
    elif not only_planning:
        report = results / "report.html"
        done = "nothing to do, everything is up to date" if nothing_to_do else "done"
        print(f"{done}: {report.resolve()}" if report.exists() else done)
        for note in dict.fromkeys(line for line in lines if line.startswith(BEGINNING)):
            print(note)
    return status


def _outlives_its_terminal() -> bool:
    """True if the run was started to go on when its terminal is closed, as by nohup."""
    return hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def _end_with_parent(group: int, parent: int, results: Path) -> None:
    """End the run when the process that started this one (make, a shell) is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    with suppress(OSError):  # the terminal may be gone, too
        print(f"{results}: ended, {PARENT_GONE}", file=sys.stderr, flush=True)
    _end_group(group)
    os._exit(1)


def _show_progress(lines: Iterable[str], log: TextIO, all_of_it: bool) -> tuple[bool, list[str]]:
    """Copy Snakemake's output to the log and its progress to the terminal, or all of it.

    Returns:
        True if there was nothing to do; and the problems that a person can mend, lines of the output, each once.
    """
    nothing_to_do, in_problem, in_note = False, False, False
    problems: list[str] = []
    mininterval = 1 if sys.stderr.isatty() else 15
    with tqdm(desc="planning", unit="step", mininterval=mininterval, disable=all_of_it) as bar:
        for line in map(without_home, map(for_terminal, lines)):
            if line.startswith(PERSONAL):
                continue
            log.write(line)
            log.flush()
            in_note = line.startswith(NOTES) or (in_note and line.startswith("  "))
            if all_of_it:
                print(line, end="")
            elif in_note:
                bar.write(line.rstrip(), file=sys.stderr)
            nothing_to_do = nothing_to_do or line.startswith("Nothing to be done")
            line = restated(line) or line
            in_problem = line.startswith(PROBLEM) or (in_problem and line.startswith("  "))
            if in_problem and line.rstrip() not in problems:
                problems.append(line.rstrip())
            if match := RULE.match(line):
                bar.set_description(match[1], refresh=False)
            elif match := STEPS.match(line):
                bar.total = int(match[2])
                bar.update(int(match[1]) - bar.n)
    return nothing_to_do, problems


if __name__ == "__main__":
    sys.exit(main())
