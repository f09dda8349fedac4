"""Run the workflow with a configuration, show its progress, and clean up after a run that was killed.

    python workflow/run.py config/demo.yaml [more.yaml ...] [targets ...] [--cores N] [--config key=value ...]
    python workflow/run.py config/config.yaml [config/table1.yaml] --estimate [--cores 16] [--gpus 1]

Of several configurations each is on top of the ones before it; less than a whole one is on top of config/config.yaml.

One run at a time works in a results folder.  When this process, or the one that started it, is killed, the jobs of
the run are ended: at once where that can be noticed, otherwise by the next run, which then goes on where it stopped.

In the results folder `.run.lock` is locked as long as a run is at work.  Until its jobs have ended, `.run.json` holds
the number of their process group, and `.run.events` what Snakemake's logger plugin tells of them.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import psutil
from filelock import FileLock, Timeout

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
from patch2loc.files import RUN_GROUP, RUN_LOCK, remove_partial, storage_message, write_json, write_text
from patch2loc.output_folder import remedy_if_left
from patch2loc.plan.plan import Plan, make_plan
from patch2loc.process import Stopped, import_first_from, prepare_output, stopped_by_signals
from patch2loc.watching.display import ShownTrainings
from patch2loc.watching.killed_run import clean_up, end_group, is_at_work
from patch2loc.watching.problems import problems, reason
from patch2loc.watching.progress import RunProgress, for_people
from patch2loc.watching.stage_times import core_seconds, stage_table

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = str(ROOT / "workflow/scripts")
PROFILE = str(ROOT / "profiles/default")
PAPER = Path("config/config.yaml")  # what the Snakefile puts less than a whole configuration on top of
YAML = (".yaml", ".yml")  # ends of configurations on top of the first one; results end in .json, too
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
EVENTS = ".run.events"  # in the results folder while Snakemake is at work: what its logger plugin tells
LOOK_SECONDS = 0.2  # between two looks at it
SNAKEMAKE = [sys.executable, "-m", "snakemake_logger_plugin_patch2loc"]  # in workflow/scripts


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
                clean_up(results)
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


def _run(arguments: argparse.Namespace, results: Path) -> int:
    """Run Snakemake and report on it; the exit status."""
    import_first_from(SCRIPTS)  # the logger plugin
    # Arithmetic libraries take the threads that a rule asks for, not all cores in every job.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    if not PLANNING.isdisjoint(arguments.snakemake):
        return subprocess.run(_command(arguments), env=environment, check=False).returncode
    events_path, group_path, log_path = (results / name for name in (EVENTS, RUN_GROUP, "snakemake.log"))
    # Host and user are not for those whom results are shared with.
    logging = ["--quiet", "host", "--logger", "patch2loc", "--logger-patch2loc-events", str(events_path)]
    progress, trainings = RunProgress(events_path), ShownTrainings(results)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            _command(arguments, *logging),
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    status = None
    try:
        write_json(group_path, {"group": process.pid})
        began = group_path.stat().st_mtime
        status = _watched(process, progress, trainings)
    finally:
        end_group(process.pid)
        if status != 0:
            remove_partial(results, is_at_work)
        progress.close()
        trainings.close()
        for path in (events_path, group_path):
            path.unlink(missing_ok=True)
        text = for_people(log_path.read_text(encoding="utf-8", errors="backslashreplace"))
        write_text(log_path, text)
    if status is None:
        with suppress(OSError):  # the terminal may be gone, too
            print(f"{results}: ended, {PARENT_GONE}", file=sys.stderr)
        return 1
    if table := stage_table(core_seconds(progress.jobs, began)):
        print(f"{table}\n")
    if status:
        lines = text.splitlines()
        failed_planning = [] if progress.jobs else progress.errors
        print("\n".join(problems(lines, progress.errors) or reason(failed_planning, lines)), file=sys.stderr)
        print(f"\nThe run failed; all of its output is in {log_path}", file=sys.stderr)
    else:
        report = results / "report.html"
        done = "done" if progress.has_work else "nothing to do, everything is up to date"
        print(f"{done}: {report.resolve()}" if report.exists() else done)
    return status


def _command(arguments: argparse.Namespace, *logging: str) -> list[str]:
    """Snakemake's command."""
    command = [*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--workflow-profile", PROFILE, *logging]
    command += ["--configfile", *map(str, arguments.configfiles), "--cores", arguments.cores]
    # This process holds a lock of its own, which does not outlive it.
    # One job at a time on each GPU; without any, jobs that could use one share the processors.
    memory = int(psutil.virtual_memory().total / 1e6 * MEMORY_SHARE)
    gpus = len(visible_gpus()) or psutil.cpu_count()
    command += ["--nolock", "--resources", f"mem_mb={memory}", f"gpu={gpus}"]
    if arguments.config:
        command += ["--config", *arguments.config]
    command += arguments.snakemake
    if arguments.targets:
        command += ["--", *arguments.targets]
    return command


def _watched(
    process: subprocess.Popen[bytes], progress: RunProgress, trainings: ShownTrainings
) -> int | None:
    """Show a run until its end; its exit status, or None if the process that started this one has ended before.

    A run that was started to go on when its terminal is closed, as by nohup, goes on.
    """
    parent = os.getppid()
    outlives_its_terminal = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    while process.poll() is None:
        if os.getppid() != parent and not outlives_its_terminal:
            return None
        progress.look()
        trainings.look()
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
