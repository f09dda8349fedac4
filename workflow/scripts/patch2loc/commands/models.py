"""patch2loc models: the models that ship."""

import argparse

from patch2loc import trained
from patch2loc.commands.options import Subcommands
from patch2loc.errors import InputError

COLUMNS = ("name", "modality", "voxels", "method", "trained on", "read against", "size")


def add(commands: Subcommands) -> None:
    """Add the subcommand."""
    models = commands.add_parser(
        "models",
        help="list the included models, or print a model card",
        description="List the included models, or print the card of one: what it was trained on, "
        "what it is for, how well it does, and how it fails.",
    )
    models.add_argument("name", metavar="NAME", nargs="?", help="print the card of this model")
    models.add_argument(
        "--path", metavar="NAME", help="print the path of this model's file, and nothing else"
    )
    models.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.name and arguments.path:
        raise InputError(f"{arguments.name} and --path {arguments.path} found, one of both expected")
    if arguments.path:
        if arguments.path not in trained.names():
            trained.card_of(arguments.path)
        print(trained.path_of(arguments.path))
    elif arguments.name:
        print(trained.card_of(arguments.name).rstrip())
    elif not trained.names():
        raise InputError(
            f"{trained.FOLDER}: no model found there, one that ships expected; reinstall the package"
        )
    else:
        _list()
    return 0


def _list() -> None:
    rows = [COLUMNS, *(_row(name) for name in trained.names())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    print(f"in {trained.FOLDER}; default of `patch2loc detect`: {trained.DEFAULT}")


def _row(name: str) -> tuple[str, ...]:
    """What a line of the list says of a model; its file is held against its checksum by the way."""
    from patch2loc.models import load_model

    path = trained.path_of(name)
    model = load_model(path)
    reference = model.get("reference")
    cohort = reference["cohort"]["title"] if reference else "?"
    return (
        name,
        model["modality"],
        f"{model['grid']['spacing']:g} mm",
        model["method"],
        f"{cohort} ({len(model['training_subjects'])} scans)",
        f"{len(reference['scans'])} healthy scans" if reference else "no healthy scans",
        f"{path.stat().st_size / 1e6:.1f} MB",
    )
