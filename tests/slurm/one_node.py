"""A SLURM cluster of one node, for test_slurm.py."""

import getpass
import os
import random
import re
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from end_with_test import kill, steps

HERE = Path(__file__).parent
# Daemons are in sbin, which users often do not have in their PATH.
SEARCH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin", "/usr/local/sbin"])


def free_port():
    """A free port below those that systems give away by themselves."""
    while True:
        port = random.randrange(10000, 30000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


class Cluster:
    """munged, slurmctld and slurmd on the loopback device, with configuration, ports and folders of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.daemons = {}
        self.host = socket.gethostname().split(".")[0]
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("SLURM_", "SBATCH_"))
            },
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{folder}{os.pathsep}{SEARCH}",
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "Agg",
        }
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o600)
        shutil.copy(HERE / "gres.conf", folder)
        configuration = (
            (HERE / "slurm.conf")
            .read_text()
            .format(
                folder=folder,
                host=self.host,
                user=getpass.getuser(),
                controller_port=free_port(),
                node_port=free_port(),
            )
        )
        (folder / "slurm.conf").write_text(configuration)
        # The plugin takes SLURM_CONF from the environment of srun.
        (folder / "srun").write_text(
            f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n'
        )
        (folder / "srun").chmod(0o755)

    def start(self, daemon):
        """Start a daemon of the cluster and return its process."""
        folder = self.folder
        commands = {
            # --force: the folder is ours, although munged would have it lie elsewhere.
            "munged": [
                *("munged", "--foreground", "--force", f"--socket={folder}/munge.socket"),
                *(f"--key-file={folder}/munge.key", f"--pid-file={folder}/munged.pid"),
                *(f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"),
            ],
            "slurmctld": ["slurmctld", "-D"],
            "slurmd": ["slurmd", "-D"],
        }
        with open(folder / f"{daemon}.out", "a") as output:
            self.daemons[daemon] = subprocess.Popen(
                commands[daemon], env=self.environment, stdout=output, stderr=output, start_new_session=True
            )
        return self.daemons[daemon]

    def kill(self, daemon):
        """Kill a daemon and leave everything else as it is."""
        self.daemons[daemon].kill()
        self.daemons[daemon].wait()

    def lose_node(self):
        """Kill the node's daemon and all that runs there, as when it loses its power, and report the node."""
        self.kill("slurmd")
        for step in steps(self.folder).values():
            kill(step)
        self.said("scontrol", "update", f"NodeName={self.host}", "State=DOWN", "Reason=lost")

    def with_a_step(self):
        """Numbers of the jobs of which a step is running: not only allocated, nor still starting."""
        found = (re.match(r"slurmstepd: \[(\d+)\.\d+\]", title) for title in steps(self.folder))
        return {match[1] for match in found if match}

    def said(self, *command):
        """What a command of SLURM prints."""
        result = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )
        return result.stdout

    def node_state(self):
        return self.said("sinfo", "--noheader", "--format=%T").strip()

    def jobs(self):
        """Every job so far: what `scontrol show job` says of it, in the order of submission."""
        lines = self.said("scontrol", "show", "job", "--details", "--oneliner").splitlines()
        jobs = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if line.startswith("JobId=")]
        return sorted(jobs, key=lambda job: int(job["JobId"]))

    def job(self, number):
        return next(job for job in self.jobs() if job["JobId"] == number)
