"""The datasets of a run, as its configuration describes them: scans, who trains and is tested, what is missing.

`plan_datasets` makes them, once.  What they read from disk, subject lists and folders of scans, is read when it is
first asked for, and kept: planning asks thousands of times.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from patch2loc.acquire import sources
from patch2loc.acquire.sources import Sources
from patch2loc.data import splits
from patch2loc.data.results import Fold, Results
from patch2loc.errors import InputError
from patch2loc.preprocess.external_tools import TOOLS, find_command

# What tables, figures and the report say of each dataset.
LABELS = ("title", "modality", "role", "simulated", "published_name")
SHOWN_SCANS = 5  # of those that leaked, in a message
ALL = "all"  # cohort of every scan of a dataset

Roles = dict[str, list[str]]


@dataclass(frozen=True, eq=False)
class PlannedDataset:
    """A dataset of a run, one modality.

    Attributes:
        name: key of the configuration's `datasets`.
        settings: its entry there, valid, defaults filled in.
        source: where its scans are, as `acquire.sources` takes it.
        results: paths of the run's results.
        preprocessing: settings of preprocessing, the dataset's own included.
        subject_list: CSV of its subjects, or None.
        published: the list is one of the published ones, and taken as it is: a subject may have several roles.
        trains: models of its modality are trained on it.
    """

    name: str
    settings: Mapping[str, Any]
    source: Mapping[str, Any]
    results: Results
    preprocessing: Mapping[str, Any]
    subject_list: str | None
    published: bool
    trains: bool

    @property
    def role(self) -> str:
        """The kind of scans: lesion, healthy or unlabeled."""
        return self.settings["role"]

    @property
    def modality(self) -> str:
        """T1 or T2."""
        return self.settings["modality"]

    @property
    def kind(self) -> str:
        """The kind of its source, a key of `sources.KINDS`."""
        return self.source["kind"]

    @property
    def preprocessing_request(self) -> dict[str, Any]:
        """What preprocessing is told of each of its scans."""
        return {
            "modality": self.modality,
            "settings": self.preprocessing,
            "lesion_labels": self.source.get("lesion_labels"),
        }

    @property
    def labels(self) -> dict[str, Any]:
        """What tables, figures and the report say of it."""
        return {key: self.settings[key] for key in LABELS}

    @cached_property
    def given_scans(self) -> Sources:
        """Paths of every subject's scan, brain mask and lesion mask, as they are given."""
        return sources.sources(self.source)

    @cached_property
    def scans(self) -> Sources:
        """Paths of the scans that are used: of a DICOM series, what it is converted to; without `leave_out`."""
        used = splits.without(self.given_scans, self.settings["leave_out"], f"datasets.{self.name}.leave_out")
        return {
            subject: (
                {**paths, "scan": Path(self.results.raw(self.name, subject), f"{self.modality}.nii.gz")}
                if sources.is_series(paths["scan"])
                else paths
            )
            for subject, paths in used.items()
        }

    @cached_property
    def painted_pairs(self) -> dict[str, dict[str, Any]]:
        """Of simulated strokes in real scans, which outline is painted into which scan (`sources.pairs`)."""
        return sources.pairs(self.source)

    @property
    def original_scans(self) -> dict[str, dict[str, Any]]:
        """Paths of the scans, or of those that strokes are painted into: a person's scan is the same under both."""
        return self.painted_pairs if self.kind == "painted" else self.given_scans

    @cached_property
    def subject_table(self) -> pd.DataFrame | None:
        """The subject list as a table, or None without one."""
        return splits.read(self.subject_list) if self.subject_list else None

    @cached_property
    def sites(self) -> dict[str, str]:
        """Site of each scan, where the subject list has a column `site`: {scan: site}; {} without one."""
        if not self._lists("site"):
            return {}
        site_of_subject = self.subject_table.set_index("subject")["site"]
        return {
            scan: site
            for subject, site in site_of_subject.items()
            if site
            for scan in sources.scans_of(self.source, self.scans, [subject])
        }

    @cached_property
    def divided(self) -> bool:
        """Whether it has subjects that are not tested.

        Training data, healthy ones with a list, and lesion ones whose list has a column `role`.
        """
        if self.role == "lesion":
            return self._lists("role")
        if self.role != "healthy":
            return False
        return self.trains or bool(self.settings["split"]) or "test" in self.source

    @property
    def validates_lesions(self) -> bool:
        """Whether it has validation scans with lesions, which choose thresholds."""
        return self.role == "lesion" and self.divided

    @cached_property
    def roles(self) -> Callable[[int], Roles]:
        """Scans of a divided dataset by their role in a fold: {"train": [...], "validation": [...], "test": [...]}.

        Raises InputError when nothing says who trains, or training data have nobody to train or validate on.
        """
        return cache(self._read_roles)

    def listed_roles(self, fold: int) -> Roles:
        """Subjects of the list by their role in a fold, whether they have a scan or not."""
        return splits.roles(self.subject_list, fold, self.modality, self.published)

    def subjects(self, fold: Fold, role: str = "test") -> list[str]:
        """Scans of a role in a fold where the dataset is divided, else all."""
        return self.roles(int(fold))[role] if self.divided else list(self.scans)

    def cohort_name(self, fold: Fold, role: str) -> str:
        """The list of scans that later stages take for a role in a fold: "all" where nobody trains."""
        return f"{role}_fold{fold}" if self.divided else ALL

    def members(self, cohort: str) -> list[str]:
        """Scans of a cohort, by its name."""
        role, _, fold = cohort.partition("_fold")
        return self.subjects(fold, role) if fold else list(self.scans)

    def _lists(self, column: str) -> bool:
        return self.subject_table is not None and column in self.subject_table.columns

    def _read_roles(self, fold: int) -> Roles:
        if self.subject_list:
            listed = self.listed_roles(fold)
            by_role = {role: sources.scans_of(self.source, self.scans, listed[role]) for role in splits.ROLES}
        elif self.kind == "phantom":
            table = splits.divide(list(self.scans), self.source["validation"], self.source["test"])
            by_role = {
                role: list(table.loc[table[f"fold{fold}"] == role, "subject"]) for role in splits.ROLES
            }
        else:
            raise InputError(
                f"datasets.{self.name}: no `split` found, a CSV of who trains and who is tested expected"
            )
        if self.trains and not (by_role["train"] and by_role["validation"]):
            raise InputError(
                f"datasets.{self.name}: {len(by_role['train'])} training and {len(by_role['validation'])} validation "
                f"scans in fold {fold}, some of each expected for training data; add a column fold{fold} to its list"
            )
        return by_role


Datasets = Mapping[str, PlannedDataset]


def plan_datasets(config: Mapping[str, Any]) -> dict[str, PlannedDataset]:
    """The datasets of a configuration, by name, in its order.

    config: valid, defaults filled in (`configuration.check_schema`).  Raises InputError when the training data are not
    healthy scans of their modality, a modality has none, or a tool for brain extraction is not installed.
    """
    datasets = {name: _planned(name, config) for name in config["datasets"]}
    _check_training_data(datasets, config["training_data"])
    for tool in {dataset.settings["skull_strip"] for dataset in datasets.values()} & set(TOOLS):
        find_command(tool)
    return datasets


def names_of(datasets: Datasets, role: str) -> list[str]:
    """Datasets of a role: lesion, healthy or unlabeled."""
    return [name for name, dataset in datasets.items() if dataset.role == role]


def stop_for_trained_scans(datasets: Datasets, folds: Iterable[int]) -> None:
    """Refuse a scan that trains or validates in one dataset and is tested in another one.

    Or in the same one, under another name, except for training data: their published lists do so, and say it.
    Raises InputError, naming the scans.
    """
    for learned in [dataset for dataset in datasets.values() if dataset.trains or dataset.validates_lesions]:
        for fold in folds:
            roles = learned.roles(fold)
            seen = {learned.given_scans[subject]["scan"] for subject in roles["train"] + roles["validation"]}
            for tested in datasets.values():
                if tested is learned and not learned.validates_lesions:
                    continue
                subjects = tested.subjects(fold)
                leaked = [subject for subject in subjects if tested.original_scans[subject]["scan"] in seen]
                if leaked:
                    raise InputError(
                        f"datasets.{tested.name}: {len(leaked)} test scans are training or validation scans of "
                        f"{learned.name} in fold {fold} ({', '.join(leaked[:SHOWN_SCANS])}), none expected; take them "
                        "off one of the lists"
                    )


def overlap_notes(datasets: Datasets, folds: Iterable[int]) -> str:
    """What published subject lists that are used as they are put into several roles, for tables; "" where nothing."""
    notes = [
        splits.overlap_note(name, splits.overlaps({fold: dataset.listed_roles(fold) for fold in folds}))
        for name, dataset in datasets.items()
        if dataset.role == "healthy" and dataset.published and dataset.subject_list
    ]
    return " ".join(note for note in notes if note)


def _planned(name: str, config: Mapping[str, Any]) -> PlannedDataset:
    settings = config["datasets"][name]
    results = Results(config["results"])
    split = settings["split"]
    subject_list = split[config["split"]] if isinstance(split, Mapping) else split
    source = settings["source"]
    described = {"name": name, "modality": settings["modality"], "subjects": subject_list, **source}
    if source["kind"] == "phantom":
        described["root"] = results.raw_folder()
    elif source["kind"] == "painted":
        described |= {"root": results.raw_dataset(name), "data": config["data"]}
    else:
        described["root"] = str(Path(config["data"], source.get("root", ".")))
    return PlannedDataset(
        name=name,
        settings=settings,
        source=described,
        results=results,
        preprocessing={
            **config["preprocess"],
            "skull_strip": settings["skull_strip"],
            **({"registration": settings["registration"]} if settings["registration"] else {}),
        },
        subject_list=subject_list,
        published=config["split"] == "published",
        trains=name in config["training_data"].values(),
    )


def _check_training_data(datasets: Datasets, training_data: Mapping[str, str]) -> None:
    for modality, name in training_data.items():
        role, of_modality = (
            (datasets[name].role, datasets[name].modality) if name in datasets else ("unknown", "unknown")
        )
        if (role, of_modality) != ("healthy", modality):
            raise InputError(
                f"training_data.{modality}: dataset {name} of role {role} and modality {of_modality} found, a healthy "
                f"{modality} dataset expected; correct the configuration"
            )
    for name, dataset in datasets.items():
        if dataset.modality not in training_data:
            raise InputError(
                f"datasets.{name}: no model for {dataset.modality}; name a healthy dataset in "
                f"training_data.{dataset.modality}"
            )
