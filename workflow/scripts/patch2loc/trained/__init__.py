"""The models that ship with the package, {name}.safetensors each, with a card {name}.md beside it."""

from pathlib import Path

from patch2loc.errors import InputError

DEFAULT = "t1-2mm"  # modality and voxel size
FOLDER = Path(__file__).parent
SUFFIX = ".safetensors"


def names() -> list[str]:
    """Names of the models that ship with the package, sorted."""
    return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}"))


def path_of(name_or_path: str | Path) -> Path:
    """The file of a model: of one that ships, by its name, or the file that a path leads to.

    Raises:
        InputError: It is neither a name nor a file.
    """
    path = Path(name_or_path)
    if str(name_or_path) in names():
        return FOLDER / f"{name_or_path}{SUFFIX}"
    if not path.is_file():
        raise InputError(f"{name_or_path}: neither a file nor a model that ships; {_expected()}")
    return path


def card_of(name: str) -> str:
    """The card of a model that ships, Markdown: what it was trained on, what it is for, and how well it does.

    Raises:
        InputError: None of this name ships.
    """
    if name not in names():
        raise InputError(f"{name}: no model that ships; {_expected()}")
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def _expected() -> str:
    shipped = ", ".join(names()) or "none is in this installation: reinstall it, or give the file of a model"
    return f"expected one of those that `patch2loc models` lists ({shipped})"
