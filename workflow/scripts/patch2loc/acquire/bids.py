"""Scans and masks of a BIDS dataset (bids-specification.readthedocs.io), chosen by the parts of their names.

What is wanted is written as the end of a file's name: `T1w`, `acq-mprage_T1w`, `desc-brain_mask`,
`label-lesion_roi`. Entities that are not named may have any value; `run-` without a value asks for names
without that entity. Only the `anat` folders are read, so that what else a dataset holds costs no time.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patch2loc.data.subject_tables import participant
from patch2loc.errors import InputError

ANATOMY = ("sub-*/anat", "sub-*/ses-*/anat")
SPACES = ("space", "res", "den")  # entities that say on which voxels an image is
EXTENSIONS = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Image:
    """An image file: the entities and the suffix of its name."""

    path: Path
    entities: Mapping[str, str]
    suffix: str


@dataclass(frozen=True)
class Wanted:
    """What a name has to contain: entities, None for one that it must not have, and the suffix."""

    text: str
    entities: Mapping[str, str | None]
    suffix: str

    def fits(self, image: Image) -> bool:
        """Whether an image is what is wanted."""
        return image.suffix == self.suffix and all(
            image.entities.get(key) == value for key, value in self.entities.items()
        )


def find_scans(
    root: str | Path,
    scan: str,
    masks: Mapping[str, str | None],
    derivatives: str | None = None,
    participants: Sequence[str] | None = None,
) -> dict[str, dict[str, Path | None]]:
    """Scan and masks of each participant and session: {"sub-01_ses-2": {"scan": path, "brain": path, ...}}.

    scan: the wanted scan, e.g. "T1w".  masks: the wanted mask of each part, None for parts without.
    derivatives: folder of the masks, relative to `root`; without it they are looked for in the dataset
    itself and in every folder of its `derivatives`.  participants: take only these ("sub-01").
    A mask belongs to the scan of its participant and session whose entities it shares; masks in another
    space than the scan's are passed over unless `space` is among what is wanted.
    Raises InputError when a folder is not there, a name is ambiguous, or a scan or mask is missing.
    """
    root = Path(root)
    wanted = parse_wanted(scan)
    own = images([root])
    groups = _grouped(image for image in own if wanted.fits(image))
    if participants is not None:
        listed = set(participants)
        groups = {key: found for key, found in groups.items() if participant(key) in listed}
        _refuse_missing(root, wanted, participants, groups)
    if not groups:
        raise InputError(
            f"{root}: no image named sub-*_{scan}.nii.gz in its anat folders, one for each subject expected; "
            "correct `root` or `scan`"
        )
    chosen = {key: _only(found, wanted, "scan") for key, found in groups.items()}
    result: dict[str, dict[str, Path | None]] = {key: {"scan": image.path} for key, image in chosen.items()}
    folders = [root / derivatives] if derivatives else _derivatives(root)
    searched = folders if derivatives else [root, *folders]
    candidates = ([] if derivatives else own) + images(folders) if any(masks.values()) else []
    by_participant = _by_participant(candidates)
    for part, text in masks.items():
        found = {key: _mask(image, by_participant, text, part) for key, image in chosen.items()}
        absent = [key for key, path in found.items() if text and path is None]
        if absent:
            raise InputError(
                f"{root}: {len(absent)} of {len(found)} scans have no {part} mask named {text} "
                f"({', '.join(absent[:5])}), in {', '.join(map(str, searched))}; correct `{part}` or "
                "`derivatives`, or leave these subjects out by a list (`split`)"
            )
        for key in result:
            result[key][part] = found[key]
    return result


def parse_wanted(text: str) -> Wanted:
    """What a text such as "acq-mprage_run-_T1w" asks for. Raises InputError when it is no such text."""
    *pairs, suffix = text.split("_")
    split = [pair.split("-", 1) for pair in pairs]
    if not suffix.isalnum() or any(len(pair) != 2 or not pair[0].isalnum() for pair in split):
        raise InputError(
            f"{text!r} found, the end of a BIDS name expected: entities and a suffix, such as acq-mprage_T1w "
            "or label-lesion_mask; correct it in the configuration"
        )
    return Wanted(text, {key: value or None for key, value in split}, suffix)


def images(folders: Iterable[Path]) -> list[Image]:
    """Every NIfTI file with a BIDS name in the anat folders of datasets, sorted by path."""
    from ancpbids.utils import parse_bids_name  # here: it takes a quarter of a second, and few need it

    found = []
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder, a BIDS dataset expected; correct the configuration")
        for path in sorted(path for anat in ANATOMY for path in folder.glob(f"{anat}/*.nii*")):
            name = parse_bids_name(path.name)
            if name and name["extension"] in EXTENSIONS and "sub" in name["entities"]:
                found.append(Image(path, name["entities"], name["suffix"]))
    return found


def _derivatives(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("derivatives/*") if path.is_dir())


def _grouped(found: Iterable[Image]) -> dict[str, list[Image]]:
    groups = defaultdict(list)
    for image in found:
        session = image.entities.get("ses")
        groups[f"sub-{image.entities['sub']}" + (f"_ses-{session}" if session else "")].append(image)
    return dict(sorted(groups.items()))


def _by_participant(found: Iterable[Image]) -> dict[str, list[Image]]:
    groups = defaultdict(list)
    for image in found:
        groups[image.entities["sub"]].append(image)
    return groups


def _mask(scan: Image, by_participant: Mapping[str, list[Image]], text: str | None, part: str) -> Path | None:
    if not text:
        return None
    wanted = parse_wanted(text)
    found = [
        image
        for image in by_participant.get(scan.entities["sub"], [])
        if image.path != scan.path and wanted.fits(image) and _belongs(image, scan, wanted)
    ]
    return _only(found, wanted, part).path if found else None


def _belongs(mask: Image, scan: Image, wanted: Wanted) -> bool:
    shared = set(mask.entities) & set(scan.entities)
    # A mask of one session, or in one space, is no mask of a scan that is of none.
    keys = (shared | set(SPACES) | ({"ses"} & set(mask.entities))) - set(wanted.entities)
    return all(mask.entities.get(key) == scan.entities.get(key) for key in keys)


def _only(found: Sequence[Image], wanted: Wanted, part: str) -> Image:
    if len(found) == 1:
        return found[0]
    first, second = found[:2]
    keys = first.entities.keys() | second.entities.keys()
    differs = sorted(key for key in keys if first.entities.get(key) != second.entities.get(key))
    hint = "`derivatives`, the folder to look in"
    if differs:
        value = first.entities.get(differs[0], "")
        hint = f"`{part}: {differs[0]}-{value}_{wanted.text}`"
    raise InputError(
        f"{first.path}: {len(found)} images fit {wanted.text}, this one and {second.path}, exactly one for a "
        f"subject and session expected; choose by {hint}"
    )


def _refuse_missing(
    root: Path, wanted: Wanted, participants: Sequence[str], groups: Mapping[str, list[Image]]
) -> None:
    there = {participant(key) for key in groups}
    absent = [name for name in participants if name not in there]
    if absent:
        raise InputError(
            f"{root}: {len(absent)} listed subjects have no image {wanted.text} ({', '.join(absent[:5])}), "
            "participants such as sub-01 expected in the list; take them off it or add the scans"
        )
