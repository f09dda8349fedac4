"""How Snakemake runs and compares the scripts of rules.

Importing it lets scripts and cluster jobs run by a Python whose path has a space, as in a clone below such a folder:
Snakemake does not quote that path (github.com/snakemake/snakemake/issues/2645 and 3211).
"""

import hashlib
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from snakemake.script import PythonScript, ScriptBase
from snakemake_interface_executor_plugins.executors.real import RealExecutor

from patch2loc.provenance.code import code_of

HERE = Path(__file__).parent


def compare_by_content(rules: Iterable[Any]) -> None:
    """Make the code of its script a parameter of each rule.

    Snakemake compares a script and its results by their times, so results that were copied to a newer clone would be
    made again.  Profiles leave that out of `rerun-triggers`.
    """
    for rule in rules:
        if rule.script:
            rule.set_params(script=_hash_of(HERE / Path(rule.script).name))


def _hash_of(script: Path) -> Callable[[Any], str]:
    """A function of the wildcards, so that a job reads only its own script."""
    return lambda wildcards: hashlib.sha256(code_of(script).encode()).hexdigest()[:16]


def _execute(script: ScriptBase, command: str, **values: Any) -> Any:
    return ScriptBase._execute_cmd(script, command.replace("{py_exec}", "{py_exec:q}"), **values)


def _executors(kind: type) -> Iterator[type]:
    """Classes of executors, of plugins too: Snakemake has loaded those that a run can use."""
    for executor in kind.__subclasses__():
        yield executor
        yield from _executors(executor)


def _quote_python(executor: type) -> None:
    path_of_python = vars(executor)["get_python_executable"]
    executor.get_python_executable = lambda self: shlex.quote(path_of_python(self))  # type: ignore[attr-defined]


PythonScript._execute_cmd = _execute
for executor in _executors(RealExecutor):
    if "get_python_executable" in vars(executor):
        _quote_python(executor)
