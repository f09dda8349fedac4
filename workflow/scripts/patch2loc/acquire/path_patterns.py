"""Scans and masks in a folder, by patterns of their paths such as "{subject}/{subject}_t1*.nii.gz"."""

import re
from pathlib import Path

from patch2loc.errors import InputError


def find_subjects(root: Path, pattern: str, name: str) -> list[dict[str, str]]:
    """Find the subjects whose paths match a pattern.

    Args:
        root: Folder that the pattern starts from.
        pattern: A path with {subject}, at one or more places; `*` stands for anything within a folder.
        name: Of the dataset, for messages.

    Returns:
        [{"subject": ...}, ...], sorted.

    Raises:
        InputError: The pattern has another field or none, or no path matches.
    """
    fields = set(re.findall(r"{([^{}]*)}", pattern))
    if fields != {"subject"}:
        raise InputError(
            f"{name}: pattern {pattern!r} asks for {', '.join(sorted(fields)) or 'no field'}, but without a list "
            "of subjects (`split`) only {subject} can be filled in; add it, give the list, or use * for the rest"
        )
    paths = _matching(root, pattern.replace("{subject}", "*"), name)
    form = re.compile(_expression(pattern))
    matches = [form.fullmatch(path.relative_to(root).as_posix()) for path in paths]
    subjects = sorted({match["subject"] for match in matches if match})
    if not subjects:
        raise InputError(
            f"{root / pattern}: no such scan found, one for each subject expected ({name}); put the scans there "
            "or correct `root` or `scan`"
        )
    return [{"subject": subject} for subject in subjects]


def _expression(pattern: str) -> str:
    """Regular expression for a path pattern: {subject} is the same everywhere, `*` anything within a folder."""
    first, *others = pattern.split("{subject}")
    parts = ["[^/]*".join(map(re.escape, part.split("*"))) for part in (first, *others)]
    return parts[0] + "(?P<subject>[^/]+)" + "(?P=subject)".join(parts[1:])


def find_file(root: Path, pattern: str, row: dict[str, str], name: str) -> Path:
    """Find the file of a subject.

    Args:
        root: Folder that the pattern starts from.
        pattern: A path with fields such as {subject}; `*` stands for anything within a folder.
        row: Values of the fields.
        name: Of the dataset, for messages.

    Returns:
        The file, which need not exist if the pattern has no `*`.

    Raises:
        InputError: A field has no value, or several files match.
    """
    try:
        relative = re.sub(r"{([^{}]*)}", lambda field: row[field[1]], pattern)
    except KeyError as error:
        raise InputError(
            f"{name}: pattern {pattern!r} asks for {error}, but the subjects CSV has {', '.join(row)}; "
            "add the column"
        ) from error
    if "*" not in relative:
        return root / relative
    matches = sorted(_matching(root, relative, name))
    if len(matches) > 1:
        raise InputError(
            f"{root / relative}: {len(matches)} files match ({matches[0].name}, {matches[1].name}, ...), "
            "exactly one expected; make the pattern stricter"
        )
    return matches[0] if matches else root / relative


def _matching(root: Path, pattern: str, name: str) -> list[Path]:
    try:
        return list(root.glob(pattern)) if root.is_dir() else []
    except (ValueError, NotImplementedError) as error:
        raise InputError(
            f"{name}: pattern {pattern!r} found ({error}), a path below `root` expected; correct it"
        ) from error
