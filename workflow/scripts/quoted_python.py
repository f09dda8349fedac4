"""Import this to run scripts of rules by a Python whose path has a space, as in a clone below such a folder.

Snakemake does not quote that path in the command of a script: github.com/snakemake/snakemake/issues/2645.
"""

from typing import Any

from snakemake.script import PythonScript, ScriptBase


def _execute(script: ScriptBase, command: str, **values: Any) -> Any:
    return ScriptBase._execute_cmd(script, command.replace("{py_exec}", "{py_exec:q}"), **values)


PythonScript._execute_cmd = _execute
