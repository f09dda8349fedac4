"""End all processes of a test cluster when standard input closes: when the test ends, or is killed.

python end_with_test.py FOLDER      # of slurm.conf
"""

import sys
from contextlib import suppress
from pathlib import Path

import psutil


def belongs(process, folder):
    """Whether a process is of the cluster in a folder: a daemon, a job, or what a job started."""
    if process.name().startswith("slurmstepd"):  # its title takes the place of its environment
        sockets = process.net_connections(kind="unix")
        return any(Path(socket.laddr).is_relative_to(folder) for socket in sockets)
    return process.environ().get("SLURM_CONF") == str(Path(folder, "slurm.conf"))


def processes(folder):
    """All processes of the cluster in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and belongs(process, folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill(chosen):
    """Kill processes, some of which may be gone."""
    for process in chosen:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def steps(folder):
    """Running steps of jobs: {title, such as "slurmstepd: [7.0]": processes}."""
    found = {}
    for process in processes(folder):
        try:
            if process.name().startswith("slurmstepd"):
                found[" ".join(process.cmdline())] = [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
    return found


def end_cluster(folder):
    """Kill a cluster's processes, and those that they start meanwhile; returns those that are left."""
    for _ in range(20):
        found = processes(folder)
        if not found:
            break
        kill(found)
        psutil.wait_procs(found, timeout=1)
    return found


if __name__ == "__main__":
    sys.stdin.read()
    sys.exit(bool(end_cluster(sys.argv[1])))
