"""The datasets of a run: their scans, the roles of these in each fold, and labels for tables and figures.

`plan_datasets` makes them once. Subject lists and folders of scans are read from disk on first use and kept, because
planning asks for them thousands of times.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import pandas as pd

from patch2loc.acquire import sources
from patch2loc.acquire.sources import ScanPaths, Sources
from patch2loc.configuration.keys import Configuration, DatasetSettings, DrawnSplit, ListVersion
from patch2loc.configuration.method_names import base_method, is_calibrated, subfolder
from patch2loc.configuration.results_folder import REPOSITORY
from patch2loc.data import splits
from patch2loc.data.drawn_splits import drawn_roles
from patch2loc.data.modalities import Modality
from patch2loc.data.results import Fold, Results
from patch2loc.data.seeds import fold_of
from patch2loc.data.subject_tables import participant, participant_label
from patch2loc.data.vocabulary import QUALITY, DatasetInfo, DatasetRole, SubjectRole
from patch2loc.errors import InputError
from patch2loc.files import read_json
from patch2loc.preprocess.external_tools import TOOLS, find_command

PARTICIPANTS = "participants.tsv"  # in the root of a BIDS dataset
DESCRIBED = ("bids", "folder", "table")  # kinds of sources that may have one
ALL_SCANS = "all"  # name of the cohort of every scan of a dataset

Roles = dict[SubjectRole, list[str]]


class StoredRow(NamedTuple):
    """The files that hold the heatmaps of a row of tables.

    Attributes:
        method: Name of their folder among the heatmaps.
        subfolder: Folder within each of these; "" for the folder itself.
        needs_calibration: True if they are calibrated when they are read.
    """

    method: str
    subfolder: str
    needs_calibration: bool


@dataclass(frozen=True, eq=False)
class PlannedDataset:
    """A dataset of a run, of one modality.

    Attributes:
        name: Key of the configuration's `datasets`.
        settings: Its entry there, valid, defaults filled in.
        source: Location of its scans, as `acquire.sources` takes it.
        results: Paths of the run's results.
        preprocessing: Settings of preprocessing, the dataset's own included.
        subject_list: Table of its subjects, a list or participants.tsv, or None.
        uses_published_lists: The list is a published one and taken as it is: a subject may have several roles.
        healthy: Name of the healthy dataset that the models of its modality are trained on.
        is_training_data: That dataset is this one.
        skips_missing: Subjects of whom a file is not there are passed over.
        folds: Folds of the run.
    """

    name: str
    settings: DatasetSettings
    source: Mapping[str, Any]
    results: Results
    preprocessing: Mapping[str, Any]
    subject_list: str | None
    uses_published_lists: bool
    healthy: str
    is_training_data: bool
    skips_missing: bool
    folds: Sequence[int]

    @property
    def role(self) -> DatasetRole:
        """Kind of its scans."""
        return self.settings["role"]

    @property
    def modality(self) -> Modality:
        """Modality of its scans."""
        return self.settings["modality"]

    @property
    def parts(self) -> tuple["PlannedDataset", ...]:
        """Datasets that it is made of: itself."""
        return (self,)

    @property
    def joined_by(self) -> None:
        """None: its heatmaps are not joined from those of other datasets."""
        return None

    def stored(self, row: str) -> StoredRow:
        """Where the heatmaps of a row of tables are: rows of one method share them."""
        return StoredRow(base_method(row), subfolder(row), is_calibrated(row))

    @property
    def kind(self) -> str:
        """Kind of its source, a key of `sources.KINDS`."""
        return str(self.source["kind"])

    @property
    def is_changed(self) -> bool:
        """True if its scans are real ones in which lesions or contrasts are simulated."""
        return self.kind in sources.CHANGED

    @property
    def preprocessing_parameters(self) -> dict[str, Any]:
        """Parameters of the preprocessing of each of its scans."""
        return {
            "modality": self.modality,
            "settings": self.preprocessing,
            "lesion_labels": self.source.get("lesion_labels"),
            "interpolated_masks": bool(self.source.get("interpolated_masks")),
        }

    @property
    def expected_labels(self) -> list[int] | None:
        """Labels that some lesion file of each cohort has to hold; None for a dataset without lesions.

        None of a dataset whose scans have roles: a small cohort of it may lack one. Some lesion is expected there, too.
        """
        if self.role != "lesion":
            return None
        return [] if self.has_roles else list(self.source.get("lesion_labels", ()))

    @property
    def labels(self) -> DatasetInfo:
        """Its description in tables, figures and the report."""
        labels: DatasetInfo = {
            "title": self.settings["title"],
            "modality": self.modality,
            "role": self.role,
            "simulated": self.settings["simulated"],
            "published_name": self.settings["published_name"],
        }
        if "diameter_mm" in self.painted_size:
            labels["lesion_diameter_mm"] = self.painted_size["diameter_mm"]
        return labels

    @cached_property
    def source_scans(self) -> Sources:
        """Paths of every subject's scan, brain mask and lesion mask in the dataset's source."""
        return sources.sources(self.source)

    @cached_property
    def missing_files(self) -> dict[str, list[Path]]:
        """Files that are not there, by subject, of those who lack one; without the subjects under `leave_out`."""
        return sources.missing_files(self.source_with_left_out)

    @property
    def source_with_left_out(self) -> Mapping[str, Any]:
        """Its source, with the subjects of whom nothing is needed."""
        return {**self.source, "leave_out": self.settings["leave_out"]}

    @cached_property
    def scans(self) -> Sources:
        """Paths of the scans that are used, of a DICOM series the file it is converted to.

        Without those under `leave_out`, and without those that are not there if these are passed over.
        """
        kept_scans = splits.without(
            self.source_scans, self.settings["leave_out"], f"datasets.{self.name}.leave_out"
        )
        absent = self.missing_files if self.skips_missing else {}
        return {
            subject: self._as_image(subject, paths)
            for subject, paths in kept_scans.items()
            if subject not in absent
        }

    @cached_property
    def made_of(self) -> Mapping[str, Mapping[str, Any]]:
        """For what is simulated in real scans: each subject's healthy scan, and what is changed in it."""
        return sources.CHANGED[self.kind](self.source)

    @property
    def painted_size(self) -> dict[str, float]:
        """Size and strength of its simulated strokes, those of all alike that the source names."""
        return {
            key: self.source[key] for key in ("diameter_mm", "strength") if self.source.get(key) is not None
        }

    @property
    def series(self) -> list[str]:
        """Subjects whose scan is a DICOM series, which the run converts."""
        return [
            subject
            for subject, paths in self.scans.items()
            if paths["scan"] != self.source_scans[subject]["scan"]
        ]

    @cached_property
    def acquired_scans(self) -> dict[str, Path]:
        """Each subject's scan as it was acquired: the real one, where something is simulated in it."""
        if self.is_changed:
            return {subject: parts["scan"] for subject, parts in self.made_of.items()}
        return {subject: paths["scan"] for subject, paths in self.source_scans.items()}

    @cached_property
    def subject_table(self) -> pd.DataFrame | None:
        """The subjects that `where` chooses from the table of subjects, or None without one."""
        return splits.read(self.subject_list, self.settings["where"]) if self.subject_list else None

    @property
    def drawn_split(self) -> DrawnSplit | None:
        """Numbers and seed by which its people are divided; None if a list says who trains."""
        split = self.settings["split"]
        return cast(DrawnSplit, split) if isinstance(split, Mapping) and "test" in split else None

    @cached_property
    def sites(self) -> dict[str, str]:
        """Site of each scan by the column `site` of the subject list, {scan: site}; {} without such a column."""
        return self._column("site")

    @cached_property
    def ages(self) -> dict[str, float]:
        """Age at each scan by the column `age` of the subject list, years, where it is a number."""
        return {
            scan: float(age) for scan, age in self._column("age").items() if re.fullmatch(r"\d+(\.\d*)?", age)
        }

    @cached_property
    def has_roles(self) -> bool:
        """True if its scans have roles, so that not all of them are tested.

        Training data have them, healthy datasets with a list, and lesion datasets whose list has a column `role`.
        """
        if self.role == "lesion":
            return self.subject_table is not None and "role" in self.subject_table.columns
        if self.role != "healthy":
            return False
        return self.is_training_data or bool(self.settings["split"]) or "test" in self.source

    @property
    def has_lesion_validation(self) -> bool:
        """True if it has validation scans with lesions, which choose thresholds."""
        return self.role == "lesion" and self.has_roles

    @cached_property
    def roles(self) -> Callable[[int], Roles]:
        """Function of a fold: scans of each role in it, {"train": [...], "validation": [...], "test": [...]}.

        For datasets that have roles only.

        Raises:
            InputError: By the function, for a dataset without a list of roles, and for training data without a
                training or a validation scan.
        """
        return cache(self._read_roles)

    def listed_roles(self, fold: int) -> Roles:
        """Subjects of each role in a fold by the subject list, with or without a scan; or drawn from those with one.

        Raises:
            InputError: The dataset has no list, or one that `splits.roles` refuses, or too few people to draw from.
        """
        if self.drawn_split:
            return self._drawn_roles(fold)
        if not self.subject_list:
            raise InputError(
                f"datasets.{self.name}: no `split` found, a CSV of who trains and who is tested expected, or how many: "
                "{validation: 10, test: 20, seed: 1}"
            )
        return splits.roles(
            self.subject_list,
            fold,
            self.modality,
            self.uses_published_lists,
            where=self.settings["where"],
        )

    @property
    def subject_roles(self) -> list[dict[str, str]]:
        """Role of each of its people in each fold of the run: subject, fold0, fold1, ..., in the form of a list.

        A person of several sessions has one row. Several roles, as the published lists give, are joined by a space.
        """
        by_person = self.kind == "bids" or bool(self.drawn_split)
        rows: dict[str, dict[str, str]] = {}
        for fold in self.folds:
            for role, scans in self.roles(fold).items():
                for person in dict.fromkeys(map(participant, scans) if by_person else scans):
                    row = rows.setdefault(
                        person, {"subject": person} | {f"fold{each}": "" for each in self.folds}
                    )
                    row[f"fold{fold}"] = f"{row[f'fold{fold}']} {role}".strip()
        return [rows[person] for person in sorted(rows)]

    def subjects(self, fold: Fold, role: SubjectRole = "test") -> list[str]:
        """Scans of a role in a fold, or all scans of a dataset without roles."""
        return self.roles(fold_of(fold))[role] if self.has_roles else list(self.scans)

    def listed_scans(self, fold: Fold) -> list[str]:
        """Scans that its list has to be tested in a fold, those under `leave_out` included.

        Without roles, all scans of its source.
        """
        if self.has_roles:
            return self._scans_by_role(fold_of(fold), self.source_scans)["test"]
        return list(self.source_scans)

    def n_listed(self, fold: Fold) -> int:
        """Number of `listed_scans`."""
        return len(self.listed_scans(fold))

    def cohort_name(self, fold: Fold, role: SubjectRole) -> str:
        """Name of the cohort of a role in a fold; "all" for a dataset without roles."""
        return f"{role}_fold{fold_of(fold)}" if self.has_roles else ALL_SCANS

    def members(self, cohort: str) -> list[str]:
        """Scans of a cohort, by its name."""
        role, _, fold = cohort.partition("_fold")
        return self.subjects(fold, cast(SubjectRole, role)) if fold else list(self.scans)

    def unusable_members(self, cohort: str) -> list[str]:
        """Scans under `leave_out` that belong to a cohort by its name, and that preprocessing left out, too."""
        if not self._unusable_scans:
            return []
        role, _, fold = cohort.partition("_fold")
        if not fold:
            return self._unusable_scans
        return self._scans_by_role(fold_of(fold), self._unusable_scans)[cast(SubjectRole, role)]

    @cached_property
    def _unusable_scans(self) -> list[str]:
        return [scan for scan in self.settings["leave_out"] if self.left_out(scan)]

    def left_out(self, scan: str) -> str | None:
        """Why preprocessing left out a scan; None if it did not, or has not been done."""
        try:
            report = read_json(Path(self.results.preprocessed(self.name, scan), QUALITY), dict)
        except (OSError, InputError):
            return None
        reason: str | None = report.get("left_out")
        return reason

    def _column(self, name: str) -> dict[str, str]:
        """Value of each scan in a column of the subject list, without empty cells; {} without such a column.

        Also of scans under `leave_out`: to leave one out is no reason to make tables over the others anew.
        """
        table = self.subject_table
        if table is None or name not in table.columns:
            return {}
        return {
            scan: value
            for subject, value in zip(table["subject"], table[name], strict=True)
            if value
            for scan in sources.scans_of(self.source, self.source_scans, [subject])
        }

    def _as_image(self, subject: str, paths: ScanPaths) -> ScanPaths:
        """Paths of a subject, a DICOM series replaced by the image it is converted to."""
        if not sources.is_series(paths["scan"]):
            return paths
        image_path = Path(self.results.raw(self.name, subject), f"{self.modality}.nii.gz")
        return {**paths, "scan": image_path}

    def _scans_of(self, subjects: Sequence[str], scans: Collection[str]) -> list[str]:
        """Names of the subjects' scans; all sessions of people that were drawn."""
        if not self.drawn_split:
            return sources.scans_of(self.source, scans, subjects)
        people = set(subjects)
        return [scan for scan in scans if participant(scan) in people]

    def _drawn_roles(self, fold: int) -> Roles:
        """People of each role in a fold, those under `leave_out` included: to leave one out changes no other's role."""
        drawn, table = self.drawn_split, self.subject_table
        assert drawn is not None
        sites: dict[str, str] = {}
        if table is not None and "site" in table.columns:
            names = table["subject"].map(participant_label) if self.kind == "bids" else table["subject"]
            sites = dict(zip(names, table["site"], strict=True))
        people = list(dict.fromkeys(map(participant, self.source_scans)))
        try:
            return drawn_roles(people, fold, **drawn, folds=self.folds, sites=sites)
        except InputError as error:
            raise InputError(f"datasets.{self.name}.split: {error}") from None

    def used_roles(self, fold: int) -> Roles:
        """Scans of each role in a fold, as `roles`, whether there are any or not."""
        return self._scans_by_role(fold, self.scans)

    def _scans_by_role(self, fold: int, scans: Collection[str]) -> Roles:
        """Those of some scans that have each role in a fold."""
        if self.kind == "phantom" and not self.subject_list:
            table = splits.divide(list(self.source_scans), self.source["validation"], self.source["test"])
            return {
                role: [scan for scan in table.loc[table[f"fold{fold}"] == role, "subject"] if scan in scans]
                for role in splits.ROLES
            }
        subjects = self.listed_roles(fold)
        return {role: self._scans_of(subjects[role], scans) for role in splits.ROLES}

    def _read_roles(self, fold: int) -> Roles:
        by_role = self.used_roles(fold)
        if self.is_training_data and not (by_role["train"] and by_role["validation"]):
            raise InputError(
                f"datasets.{self.name}: {len(by_role['train'])} training and {len(by_role['validation'])} validation "
                f"scans in fold {fold}, some of each expected for training data; add a column fold{fold} to its list"
            )
        return by_role


Datasets = Mapping[str, PlannedDataset]


def plan_datasets(config: Configuration) -> dict[str, PlannedDataset]:
    """Plan the datasets of a configuration.

    Args:
        config: Valid, defaults filled in (`configuration.presets.completed`).

    Returns:
        The datasets by name, in the order of the configuration.

    Raises:
        InputError: The training data are not healthy scans of their modality, a modality has none, or a tool for
            brain extraction is not installed.
    """
    # Without its training data a modality is left out.
    without = {modality for modality, name in config["training_data"].items() if name in config["without"]}
    datasets = {
        name: _plan_dataset(name, config)
        for name, settings in config["datasets"].items()
        if name not in config["without"] and settings["modality"] not in without
    }
    _check_training_data(
        datasets, {key: name for key, name in config["training_data"].items() if key not in without}
    )
    for tool in {dataset.settings["skull_strip"] for dataset in datasets.values()} & set(TOOLS):
        find_command(tool)
    return datasets


def _plan_dataset(name: str, config: Configuration) -> PlannedDataset:
    settings = config["datasets"][name]
    results = Results(config["results"])
    of_kind = cast(Mapping[str, Any], settings["source"])
    source: dict[str, Any] = {"name": name, "modality": settings["modality"], **of_kind}
    if source["kind"] == "phantom":
        source["root"] = results.raw_folder()
    elif source["kind"] in sources.CHANGED:
        source |= {"root": results.raw_dataset(name), "data": config["data"]}
    else:
        source["root"] = str(Path(config["data"], source.get("root", ".")))
    subject_list, chooses = _subject_list(name, settings, source, config["split"])
    source |= {"subjects": subject_list if chooses else None, "where": settings["where"]}
    of_its_own = {"registration": settings["registration"], "bias_correction": settings["bias_correction"]}
    return PlannedDataset(
        name=name,
        settings=settings,
        source=source,
        results=results,
        preprocessing={
            **config["preprocess"],
            "skull_strip": settings["skull_strip"],
            **{key: value for key, value in of_its_own.items() if value is not None},
        },
        subject_list=subject_list,
        uses_published_lists=config["split"] == "published",
        healthy=config["training_data"].get(settings["modality"], ""),
        is_training_data=name in config["training_data"].values(),
        skips_missing=config["missing_scans"] == "skip",
        folds=config["folds"],
    )


def _subject_list(
    name: str, settings: DatasetSettings, source: Mapping[str, Any], version: ListVersion
) -> tuple[str | None, bool]:
    """Table of a dataset's subjects, or None; and whether it says who they are, or only, as of a drawn split, more."""
    split, where = settings["split"], settings["where"]
    if isinstance(split, str):
        return _list_path(split), True
    if split and "clean" in split:
        return _list_path(cast(Mapping[ListVersion, str], split)[version]), True
    participants = Path(source["root"], PARTICIPANTS)
    if source["kind"] in DESCRIBED and (split or where) and participants.is_file():
        return str(participants), bool(where)
    if where:
        raise InputError(
            f"datasets.{name}.where: no table of the subjects found, {participants} expected; put it there, or name a "
            "list with these columns as `split`"
        )
    return None, False


def _list_path(path: str) -> str:
    """Path of a subject list; one that is not where the workflow runs may be one that comes with the workflow."""
    own = REPOSITORY / path
    return str(own) if own.is_file() and not Path(path).exists() else path


def _check_training_data(datasets: Datasets, training_data: Mapping[Modality, str]) -> None:
    for modality, name in training_data.items():
        role, dataset_modality = (
            (datasets[name].role, datasets[name].modality) if name in datasets else ("unknown", "unknown")
        )
        if (role, dataset_modality) != ("healthy", modality):
            raise InputError(
                f"training_data.{modality}: dataset {name} of role {role} and modality {dataset_modality} found, a "
                f"healthy {modality} dataset expected; correct the configuration"
            )
    for name, dataset in datasets.items():
        if dataset.modality not in training_data:
            raise InputError(
                f"datasets.{name}: no model for {dataset.modality}; name a healthy dataset in "
                f"training_data.{dataset.modality}"
            )
