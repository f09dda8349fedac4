"""Snakemake's command without its job limiter.

The limiter cannot be switched off by an option. Its timers wake Snakemake up the more often the more jobs are done, and
keep it alive for seconds after the last one: 400 short jobs took 15.9 s and 2.5 s of a processor without it, 17.2 s and
5.2 s with its default, and 21.2 s and 3.3 s with that of profiles/default.
"""

import sys

from snakemake.cli import args_to_api, parse_args
from snakemake.exceptions import print_exception

try:
    parser, arguments = parse_args(sys.argv[1:])
    arguments.max_jobs_per_timespan = None
    succeeded = args_to_api(arguments, parser)
except Exception as error:
    print_exception(error)
    succeeded = False
sys.exit(not succeeded)
