"""The methods of the package as a table for documentation: `python -m patch2loc.configuration.method_table`."""

from importlib import import_module

from patch2loc.configuration.method_names import configured, display_name, table_rows
from patch2loc.configuration.method_registry import METHODS
from patch2loc.method_declaration import Role
from patch2loc.method_interface import declaration

ROLES: dict[Role, str] = {
    "table1": "row of Table 1",
    "addition": "beside Table 1",
    "variant": "variant of Patch2Loc",
    "control": "control",
}


def method_table() -> str:
    """A Markdown table: name, rows in tables, role, whether `methods: all` takes it, first line of its docstring."""
    everything = configured("all")
    lines = ["| method | rows | role | in `all` | score |", "|---|---|---|---|---|"]
    for name in METHODS:
        rows = "; ".join(display_name(row) for row in table_rows([name]))
        included = "yes" if name in everything else "no"
        lines.append(
            f"| `{name}` | {rows} | {ROLES[declaration(name).role]} | {included} | {_summary(name)} |"
        )
    return "\n".join(lines)


def _summary(name: str) -> str:
    """First line of a method's docstring, as a cell."""
    docstring = import_module(f"patch2loc.methods.{name}").__doc__ or ""
    return docstring.partition("\n")[0].replace("|", "\\|")


if __name__ == "__main__":
    print(method_table())
