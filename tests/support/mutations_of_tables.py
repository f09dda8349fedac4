"""Mutations of tables of scans and lists of subjects, and of the files that they name.

Functions of a folder that holds scans.csv, list.csv and tested.csv, the scans that these name, and what else may be.
"""

import gzip
import os
import shutil
from functools import partial

from hypothesis import strategies as some
from mutations import Mutation

TABLES = ("scans.csv", "list.csv", "tested.csv")


def _edit(folder, table, change):
    path = folder / table
    path.write_bytes(change(path.read_text(encoding="utf-8")))


def encoded(folder, table, encoding):
    _edit(folder, table, lambda text: text.encode(encoding))


def separated(folder, table, mark):
    _edit(folder, table, lambda text: text.replace(",", mark).encode())


def line_ends(folder, table, end):
    _edit(folder, table, lambda text: text.replace("\n", end).encode())


def quoted(folder, table):
    _edit(
        folder,
        table,
        lambda text: "".join(
            ",".join(f'"{cell}"' for cell in line.split(",")) + "\n" for line in text.splitlines()
        ).encode(),
    )


def columns_turned(folder, table):
    _edit(
        folder,
        table,
        lambda text: "".join(",".join(line.split(",")[::-1]) + "\n" for line in text.splitlines()).encode(),
    )


def column_more(folder, table, name):
    _edit(
        folder,
        table,
        lambda text: "".join(
            f"{line},{name if not number else 'x'}\n" for number, line in enumerate(text.splitlines())
        ).encode(),
    )


def header_changed(folder, table, change):
    def of(text):
        head, _, rows = text.partition("\n")
        changes = {
            "upper case": head.upper(),
            "spaces": head.replace(",", " , "),
            "missing": None,
            "twice": f"{head}\n{head}",
            "first column twice": f"{head.split(',')[0]},{head}",
            "renamed": head.replace("subject", "subjects"),
        }
        return (f"{changes[change]}\n{rows}" if changes[change] else rows).encode()

    _edit(folder, table, of)


def cell_changed(folder, table, row, column, change):
    def of(text):
        lines = [line.split(",") for line in text.splitlines()]
        cells = lines[1 + row % (len(lines) - 1)]
        cell = cells[column % len(cells)]
        cells[column % len(cells)] = {
            "spaces": f" {cell} ",
            "no-break space": f"{cell}\u00a0",
            "upper case": cell.upper(),
            "empty": "",
            "NA": "NA",
            "zero byte": f"{cell}\0",
            "quote": f'"{cell}',
            "comma": f"{cell},",
            "parent": f"../{cell}",
            "URL": f"https://x/{cell}",
            "absolute": f"/{cell}",
            "formula": f"=1+{cell}",
            "number": "1e5",
            "very long": cell * 300 + "x" * 300,
            "control": f"{cell}\x1b[2J",
        }[change]
        return "".join(",".join(line) + "\n" for line in lines).encode()

    _edit(folder, table, of)


def role_changed(folder, row, role):
    """A role of the list becomes a word that is none, or nearly one."""

    def of(text):
        lines = text.splitlines()
        place = 1 + row % (len(lines) - 1)
        lines[place] = f"{lines[place].split(',')[0]},{role}"
        return ("\n".join(lines) + "\n").encode()

    _edit(folder, "list.csv", of)


def row_twice(folder, table, row, name):
    """A row once more, by the same or by another name of its subject: the same scan twice."""

    def of(text):
        lines = text.splitlines()
        cells = lines[1 + row % (len(lines) - 1)].split(",")
        return (text + ",".join([name or cells[0], *cells[1:]]) + "\n").encode()

    _edit(folder, table, of)


def rows_cut(folder, table, share):
    _edit(folder, table, lambda text: text[: int(share * len(text))].encode())


def lines_between(folder, table, line):
    _edit(folder, table, lambda text: text.replace("\n", f"\n{line}\n").encode())


def leaked(folder, spelling, subject):
    """The scan that is tested is one that a model was trained on, however its path is spelled."""
    scan, tested = folder / f"{subject}.nii", folder / "tested.nii"
    tested.unlink()
    names = {
        "relative": f"{subject}.nii",
        "through a folder": f"../{folder.name}/{subject}.nii",
        "dots": f"././/{subject}.nii",
        "absolute": str(scan.resolve()),
        "compressed": "tested.nii.gz",
    }
    if spelling == "symbolic link":
        tested.symlink_to(scan.name)
    elif spelling == "hard link":
        os.link(scan, tested)
    elif spelling == "copy":
        shutil.copy2(scan, tested)
    elif spelling == "compressed":
        (folder / "tested.nii.gz").write_bytes(gzip.compress(scan.read_bytes()))
    _edit(
        folder,
        "tested.csv",
        lambda text: text.replace("tested.nii", names.get(spelling, "tested.nii")).encode(),
    )


def file_changed(folder, name, kind):
    """A scan that a table names is no file any more."""
    path = folder / name
    path.unlink()
    if kind == "loop":
        path.symlink_to(path.name)
    elif kind == "dangling":
        path.symlink_to("absent")


def table_replaced(folder, table, kind):
    path = folder / table
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "empty":
        path.touch()
    elif kind == "binary":
        path.write_bytes(bytes(range(256)))


def _named(name, change, /, *, harmless=False, legal=False, **parameters):
    def of(**drawn):
        words = ", ".join(f"{key} {value!r}" for key, value in drawn.items())
        return Mutation(f"{name}: {words}", partial(change, **drawn), harmless, legal)

    return some.builds(of, **parameters)


def table_files(training, names):
    """Mutations of tables; training: subjects that a model is trained on; names: files of scans."""
    table, rows = some.sampled_from(TABLES), some.integers(0, 20)
    same = partial(_named, harmless=True, table=table)
    wrong = partial(_named, table=table)
    cells = [
        "spaces",
        "no-break space",
        "upper case",
        "empty",
        "NA",
        "zero byte",
        "quote",
        "comma",
        "parent",
        "URL",
    ]
    cells += ["absolute", "formula", "number", "very long", "control"]
    spellings = [
        "relative",
        "through a folder",
        "dots",
        "absolute",
        "symbolic link",
        "hard link",
        "copy",
        "compressed",
    ]
    return some.one_of(
        same("encoded", encoded, encoding=some.just("utf-8-sig")),
        wrong("encoded otherwise", encoded, encoding=some.sampled_from(["utf-16", "utf-32", "cp037"])),
        same("separated", separated, mark=some.just(";")),
        wrong("separated otherwise", separated, mark=some.sampled_from(["\t", " ", "|", ",,", ", "])),
        same("line ends", line_ends, end=some.sampled_from(["\r\n", "\r", "\n\n"])),
        wrong("line ends otherwise", line_ends, end=some.sampled_from(["\0", "\u2028", " ", "\v"])),
        same("quoted", quoted),
        same("columns turned", columns_turned),
        same("column more", column_more, name=some.sampled_from(["age", "größe", "a b"])),
        wrong("column again", column_more, name=some.sampled_from(["subject", "fold0", "scan", "role", ""])),
        wrong(
            "header",
            header_changed,
            change=some.sampled_from(
                ["upper case", "spaces", "missing", "twice", "first column twice", "renamed"]
            ),
        ),
        wrong(
            "cell",
            cell_changed,
            legal=True,
            row=rows,
            column=some.integers(0, 4),
            change=some.sampled_from(cells),
        ),
        _named(
            "role",
            role_changed,
            row=rows,
            role=some.sampled_from(
                ["Train", "train ", "val", "tests", "0", "training", "TEST", "validation,train"]
            ),
        ),
        wrong("row twice", row_twice, row=rows, name=some.sampled_from(["", "again"])),
        wrong("cut", rows_cut, legal=True, share=some.floats(0, 0.99)),
        same("empty lines", lines_between, line=some.just("")),
        wrong("lines between", lines_between, line=some.sampled_from(["# comment", ",,,,", "x", '"'])),
        _named("leak", leaked, spelling=some.sampled_from(spellings), subject=some.sampled_from(training)),
        _named(
            "scan file",
            file_changed,
            name=some.sampled_from(names),
            kind=some.sampled_from(["absent", "loop", "dangling"]),
        ),
        wrong(
            "table file",
            table_replaced,
            kind=some.sampled_from(["absent", "folder", "loop", "empty", "binary"]),
        ),
    )
