"""Scans and masks of a BIDS dataset (bids-specification.readthedocs.io), chosen by the parts of their names.

A choice is written as the end of a file's name: `T1w`, `acq-mprage_T1w`, `desc-brain_mask`, `label-lesion_roi`.
Entities that it does not name may have any value; `run-` without a value asks for names without that entity.
Only the `anat` folders are read, so that the rest of a dataset costs no time.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patch2loc.data.subject_tables import participant
from patch2loc.errors import InputError

ANATOMY = ("anat", "ses-*/anat")  # in the folder of a participant
SPACES = ("space", "res", "den")  # entities that say on which voxels an image is
EXTENSIONS = (".nii", ".nii.gz")
CONTRAST_AGENT = re.compile(r"_ce-[A-Za-z0-9+]+_")


@dataclass(frozen=True)
class Image:
    """An image file, with the entities and the suffix of its name."""

    path: Path
    entities: Mapping[str, str]
    suffix: str


@dataclass(frozen=True)
class NamePattern:
    """The end of a BIDS name: its text, entities (None for one that a name must not have), and suffix."""

    text: str
    entities: Mapping[str, str | None]
    suffix: str

    def matches(self, image: Image) -> bool:
        """True if an image has these entities and this suffix."""
        return image.suffix == self.suffix and all(
            image.entities.get(key) == value for key, value in self.entities.items()
        )


def find_scans(
    root: str | Path,
    scan: str,
    masks: Mapping[str, str | None],
    derivatives: str | None = None,
    *,
    participants: Sequence[str] | None = None,
    all_have_scans: bool = True,
) -> dict[str, dict[str, Path | None]]:
    """Find the scan and the masks of each participant and session.

    A mask belongs to the scan of its participant and session whose entities it shares. Masks in another space than
    the scan's are passed over unless `space` is named.

    Args:
        root: Folder of the dataset.
        scan: End of the scans' names, e.g. "T1w".
        masks: End of the masks' names for each part, e.g. "brain"; None for parts without.
        derivatives: Folder of the masks, relative to `root`; without it they are looked for in the dataset itself and
            in every folder of its `derivatives`.
        participants: Take these only ("sub-01").
        all_have_scans: Refuse participants without a scan; otherwise they are passed over.

    Returns:
        {"sub-01_ses-2": {"scan": path, "brain": path, ...}}, sorted.

    Raises:
        InputError: A folder is not there, a name is ambiguous, or a scan or mask is missing.
    """
    root = Path(root)
    scan_pattern = parse_pattern(scan)
    own_images = images([root])
    groups = by_session(image for image in own_images if scan_pattern.matches(image))
    if participants is not None:
        listed = set(participants)
        groups = {key: group for key, group in groups.items() if participant(key) in listed}
        if all_have_scans:
            _refuse_missing(root, scan_pattern, participants, groups)
    if not groups:
        among = "" if participants is None else f" of the {len(participants)} participants that are chosen"
        raise InputError(
            f"{root}: no image named sub-*_{scan}.nii.gz{among} in its anat folders, one for each subject expected; "
            "correct `root` or `scan`"
        )
    scans = {key: only(group, scan_pattern, "scan: ") for key, group in groups.items()}
    result: dict[str, dict[str, Path | None]] = {key: {"scan": image.path} for key, image in scans.items()}
    folders = [root / derivatives] if derivatives else _derivatives(root)
    searched = folders if derivatives else [root, *folders]
    candidates = ([] if derivatives else own_images) + images(folders) if any(masks.values()) else []
    by_participant = _by_participant(candidates)
    for part, text in masks.items():
        mask_paths = {key: _mask(image, by_participant, text, part) for key, image in scans.items()}
        absent = [key for key, path in mask_paths.items() if text and path is None]
        if absent:
            raise InputError(
                f"{root}: {len(absent)} of {len(mask_paths)} scans have no {part} mask named {text} "
                f"({', '.join(absent[:5])}), in {', '.join(map(str, searched))}; correct `{part}` or "
                "`derivatives`, or leave these subjects out by a list (`split`)"
            )
        for key in result:
            result[key][part] = mask_paths[key]
    return result


def parse_pattern(text: str) -> NamePattern:
    """Parse the end of a BIDS name, such as "acq-mprage_run-_T1w".

    Raises:
        InputError: The text is not one.
    """
    *pairs, suffix = text.split("_")
    split = [pair.split("-", 1) for pair in pairs]
    if not suffix.isalnum() or any(len(pair) != 2 or not pair[0].isalnum() for pair in split):
        raise InputError(
            f"{text!r} found, the end of a BIDS name expected: entities and a suffix, such as acq-mprage_T1w "
            "or label-lesion_mask; correct it in the configuration"
        )
    return NamePattern(text, {key: value or None for key, value in split}, suffix)


def images(folders: Iterable[Path], participants: Sequence[str] = ("sub-*",)) -> list[Image]:
    """All NIfTI files with a BIDS name in the anat folders of datasets, sorted by path.

    Args:
        folders: Folders of datasets.
        participants: Look in the folders of these only ("sub-01").

    Raises:
        InputError: A folder is not there.
    """
    from ancpbids.utils import parse_bids_name  # here: it takes a quarter of a second, and few need it

    result = []
    patterns = [f"{name}/{anat}/*.nii*" for name in participants for anat in ANATOMY]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder, a BIDS dataset expected; correct the configuration")
        for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
            name = parse_bids_name(path.name)
            if name and name["extension"] in EXTENSIONS and "sub" in name["entities"]:
                result.append(Image(path, name["entities"], name["suffix"]))
    return result


def names_contrast_agent(path: Path) -> bool:
    """True if the BIDS name of a scan says that it was taken with a contrast agent."""
    return CONTRAST_AGENT.search(path.name) is not None


def by_session(scans: Iterable[Image]) -> dict[str, list[Image]]:
    """Images by their participant and session ("sub-01_ses-2"), sorted."""
    groups = defaultdict(list)
    for image in scans:
        session = image.entities.get("ses")
        groups[f"sub-{image.entities['sub']}" + (f"_ses-{session}" if session else "")].append(image)
    return dict(sorted(groups.items()))


def only(matches: Sequence[Image], pattern: NamePattern, choice: str) -> Image:
    """The only one of the images that fit a pattern.

    Args:
        matches: The images, one at least, of one participant and session.
        pattern: What they fit.
        choice: How a person chooses: what the end of a name is written behind, such as "scan: ".

    Raises:
        InputError: There are several; the message says what chooses one.
    """
    if len(matches) == 1:
        return matches[0]
    first, second = matches[:2]
    keys = first.entities.keys() | second.entities.keys()
    differs = sorted(key for key in keys if first.entities.get(key) != second.entities.get(key))
    hint = "remove one of them"
    if differs:
        value = first.entities.get(differs[0], "")
        hint = f"choose by `{choice}{differs[0]}-{value}_{pattern.text}`"
    elif first.path.parent != second.path.parent and "derivatives" in second.path.parts:
        hint = "choose by `derivatives`, the folder to look in"
    raise InputError(
        f"{first.path}: {len(matches)} images fit {pattern.text}, this one and {second.path}, exactly one for a "
        f"subject and session expected; {hint}"
    )


def _derivatives(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("derivatives/*") if path.is_dir())


def _by_participant(masks: Iterable[Image]) -> dict[str, list[Image]]:
    groups = defaultdict(list)
    for image in masks:
        groups[image.entities["sub"]].append(image)
    return groups


def _mask(scan: Image, by_participant: Mapping[str, list[Image]], text: str | None, part: str) -> Path | None:
    if not text:
        return None
    pattern = parse_pattern(text)
    masks = [
        image
        for image in by_participant.get(scan.entities["sub"], [])
        if image.path != scan.path and pattern.matches(image) and _belongs(image, scan, pattern)
    ]
    return only(masks, pattern, f"{part}: ").path if masks else None


def _belongs(mask: Image, scan: Image, pattern: NamePattern) -> bool:
    shared = set(mask.entities) & set(scan.entities)
    # A mask of one session, or in one space, is not the mask of a scan without session or space.
    keys = (shared | set(SPACES) | ({"ses"} & set(mask.entities))) - set(pattern.entities)
    return all(mask.entities.get(key) == scan.entities.get(key) for key in keys)


def _refuse_missing(
    root: Path, pattern: NamePattern, participants: Sequence[str], groups: Mapping[str, list[Image]]
) -> None:
    present = {participant(key) for key in groups}
    absent = [name for name in participants if name not in present]
    if absent:
        raise InputError(
            f"{root}: {len(absent)} listed subjects have no image {pattern.text} ({', '.join(absent[:5])}), "
            "participants such as sub-01 expected in the list; take them off it or add the scans"
        )
