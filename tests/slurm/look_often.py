"""Snakemake that looks every second which jobs of SLURM have ended: `python look_often.py ARGUMENTS`.

The plugin waits ten seconds longer after every look at which nothing had ended, which saves a cluster's controller and
would take half of the time of a test with short jobs.  There is no option for that span.
"""

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda self: 1, lambda self, seconds: None)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
