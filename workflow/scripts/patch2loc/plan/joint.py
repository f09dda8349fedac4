"""Joint datasets as a configuration declares them: scans of several contrasts of the same people, scored together.

A joint dataset has no scans, models or methods of its own. Every row of the tables is joined in it: the heatmaps that
the row has of the T1 and of the T2 scan of a person become one, by a rule of combinations.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

from patch2loc.configuration.combinations import MOST_LETTERS, NAME, RULE_NAMES
from patch2loc.configuration.keys import DatasetSettings, Joint, Rule
from patch2loc.data.modalities import Modality
from patch2loc.data.results import Fold
from patch2loc.data.seeds import fold_of
from patch2loc.data.vocabulary import DatasetInfo, DatasetRole, SubjectRole
from patch2loc.errors import InputError, first_of
from patch2loc.plan.datasets import Datasets, PlannedDataset, StoredRow
from patch2loc.plan.missing_scans import named

JOINED_ROLES: tuple[DatasetRole, ...] = ("lesion", "healthy")
MOST_NAMED = 2  # scans in a message
# Keys of a source that say whose scans they are: two values are two groups of people.
WHOSE = ("registry", "cohort")


@dataclass(frozen=True, eq=False)
class JointDataset:
    """Datasets of several contrasts of the same people, who are known by the names of their scans.

    Attributes:
        name: Key of the configuration's `joint`, or of healthy people whom planning adds.
        parts: Its datasets, one for each contrast. Title and truth are those of the first.
        joined_by: Rule by which the heatmaps of a person are joined.
        folds: Folds of the run; the same people are tested in each.
        healthy: Name of the joint dataset of the healthy people that go with it.
    """

    name: str
    parts: tuple[PlannedDataset, ...]
    joined_by: Rule
    folds: Sequence[int]
    healthy: str = ""

    @property
    def has_lesion_validation(self) -> bool:
        """False: validation scans of healthy people alone are joined."""
        return False

    @property
    def role(self) -> DatasetRole:
        """Kind of its scans."""
        return self.parts[0].role

    @property
    def part_names(self) -> list[str]:
        """Names of its datasets."""
        return [part.name for part in self.parts]

    @property
    def contrasts(self) -> str:
        """Its modalities: "T1+T2"."""
        return "+".join(sorted(part.modality for part in self.parts))

    @property
    def labels(self) -> DatasetInfo:
        """Its description in tables. No printed numbers are of several contrasts."""
        return {
            "title": self.parts[0].settings["title"],
            # Tables show it. A type of its own would be an edit of a module that every training imports.
            "modality": cast(Modality, self.contrasts),
            "role": self.role,
            "simulated": any(part.settings["simulated"] for part in self.parts),
            "published_name": None,
        }

    def stored(self, row: str) -> StoredRow:
        """Where the heatmaps of a row of tables are: each row has its own, calibrated before they are joined."""
        return StoredRow(row, "", needs_calibration=False)

    def cohort_name(self, fold: Fold, role: SubjectRole) -> str:
        """Name of the cohort of a role in a fold."""
        return f"{role}_fold{fold_of(fold)}"

    def subjects(self, fold: Fold, role: SubjectRole = "test") -> list[str]:
        """Scans of the people who have a role in a fold in all parts."""
        first, *others = (part.subjects(fold, role) for part in self.parts)
        common = set(first).intersection(*others)
        return [scan for scan in first if scan in common]

    def listed_scans(self, fold: Fold) -> list[str]:
        """Scans that the list of any part has to be tested in a fold, each name once."""
        return list(dict.fromkeys(scan for part in self.parts for scan in part.listed_scans(fold)))

    def n_listed(self, fold: Fold) -> int:
        """Number of `listed_scans`."""
        return len(self.listed_scans(fold))

    @cached_property
    def incomplete(self) -> list[str]:
        """Scans that some part lists for the test, of people who are not tested in all parts."""
        complete = set(self.subjects(self.folds[0]))
        return [scan for scan in self.listed_scans(self.folds[0]) if scan not in complete]

    @property
    def incomplete_count(self) -> str:
        """How many people are left out, as they are not tested in all parts: "3 of 30"."""
        return f"{len(self.incomplete):,} of {self.n_listed(self.folds[0]):,}"


JointDatasets = Mapping[str, JointDataset]
AnyDataset = PlannedDataset | JointDataset


def plan_joint(
    configured: Mapping[str, Joint],
    datasets: Datasets,
    settings: Mapping[str, DatasetSettings],
    training_data: Mapping[Modality, str],
    folds: Sequence[int],
) -> dict[str, JointDataset]:
    """Plan the joint datasets of a run, those with lesions first.

    Thresholds come from healthy validation scans, so the training data of the same modalities are joined alike, unless
    `configured` does it.

    Args:
        configured: The configuration's `joint`.
        datasets: Of the run. A joint dataset of others is left out.
        settings: The configuration's `datasets`, of which the run may use fewer.
        training_data: For each modality, the dataset that its models are trained on.
        folds: Of the run.

    Raises:
        InputError: A joint dataset cannot be made of its parts; the message names its key.
    """
    for name, joint in configured.items():
        _check_names(name, joint, settings)
    planned: dict[str, JointDataset] = {}
    for name in available_joint(configured, datasets):
        joint = configured[name]
        planned[name] = JointDataset(name, tuple(datasets[part] for part in joint["of"]), joint["by"], folds)
        _check_people(f"joint.{name}.of", planned[name].parts, "test", folds)
    for joint_dataset in list(planned.values()):
        parts = tuple(datasets[training_data[part.modality]] for part in joint_dataset.parts)
        key = f"joint.{joint_dataset.name}: training data"
        for role in ("validation", "test"):
            _check_people(key, parts, role, folds)
        if not _healthy(joint_dataset, planned.values(), training_data):
            name = "_".join([*(part.name for part in parts), joint_dataset.joined_by])
            planned[name] = JointDataset(name, parts, joint_dataset.joined_by, folds)
    return {
        name: replace(joint, healthy=_healthy(joint, planned.values(), training_data))
        for role in JOINED_ROLES
        for name, joint in planned.items()
        if joint.role == role
    }


def available_joint(configured: Mapping[str, Joint], datasets: Datasets) -> list[str]:
    """Names of the joint datasets all of whose parts the run uses."""
    return [name for name, joint in configured.items() if set(joint["of"]) <= set(datasets)]


def unavailable_note(configured: Mapping[str, Joint], datasets: Datasets) -> str:
    """A warning of the joint datasets that are not available; "" when all are."""
    available = available_joint(configured, datasets)
    absent = {
        name: [part for part in joint["of"] if part not in datasets]
        for name, joint in configured.items()
        if name not in available
    }
    needs = "; ".join(f"{name} needs {', '.join(parts)}" for name, parts in absent.items())
    return needs and f"Joint datasets left out, whose parts this run does not use: {needs}."


def incomplete_notes(joint_datasets: JointDatasets) -> list[str]:
    """A sentence for each joint dataset some of whose people are not tested in all parts, with the first of them."""
    return [
        f"joint.{name}: {joint.incomplete_count} people are not tested in each of {', '.join(joint.part_names)}, and "
        f"are left out: {named(joint.incomplete)}."
        for name, joint in joint_datasets.items()
        if joint.incomplete
    ]


def joint_note(joint_datasets: JointDatasets) -> str:
    """One sentence for the notes of tables on what each joint dataset is; "" without any."""
    parts = "; ".join(
        f"{joint.labels['title']}, {joint.contrasts}, {RULE_NAMES[joint.joined_by]} of "
        f"{' and '.join(joint.part_names)}, truth of {joint.part_names[0]}"
        + (f", without {joint.incomplete_count} people, not tested in each" if joint.incomplete else "")
        for joint in joint_datasets.values()
    )
    return parts and (
        "Joint datasets, each row of the ranks of a voxel within the scans of a person, in the brain that these share: "
        f"{parts}."
    )


def _healthy(
    joint: JointDataset, others: Iterable[JointDataset], training_data: Mapping[Modality, str]
) -> str:
    """Name of the joint dataset of the training data, by the same rule; "" if there is none."""
    wanted = {training_data[part.modality] for part in joint.parts}
    return next(
        (
            other.name
            for other in others
            if set(other.part_names) == wanted and other.joined_by == joint.joined_by
        ),
        "",
    )


def _check_names(name: str, joint: Joint, settings: Mapping[str, DatasetSettings]) -> None:
    """Raise InputError for a name that cannot be a joint dataset's, or parts that do not go together."""
    if not NAME.fullmatch(name) or name in settings:
        raise InputError(
            f"joint: the name {name[:80]!r} found, letters, digits and _ expected, at most {MOST_LETTERS}, no digit "
            "first, and no dataset's name; rename it"
        )
    unknown = [part for part in joint["of"] if part not in settings]
    if unknown:
        raise InputError(
            f"joint.{name}.of: {', '.join(unknown)} found, names of `datasets` expected: {', '.join(settings)}; "
            "correct the name"
        )
    modalities = {part: settings[part]["modality"] for part in joint["of"]}
    roles = {part: settings[part]["role"] for part in joint["of"]}
    if len(set(modalities.values())) < max(len(joint["of"]), 2):
        raise InputError(
            f"joint.{name}.of: {_described(modalities)} found, at least two datasets expected, each of another "
            "modality; add the one that is missing, or leave one out"
        )
    if len(set(roles.values())) > 1 or not set(roles.values()) <= set(JOINED_ROLES):
        raise InputError(
            f"joint.{name}.of: {_described(roles)} found, one role expected, {' or '.join(JOINED_ROLES)}; join "
            "datasets of the same people"
        )


def _described(values: Mapping[str, str]) -> str:
    return ", ".join(f"{part} ({value})" for part, value in values.items())


def _check_people(key: str, parts: Sequence[PlannedDataset], role: SubjectRole, folds: Sequence[int]) -> None:
    """Raise InputError where parts are not of the same people, or nobody has a role in all of them in some fold."""
    names = " and ".join(part.name for part in parts)
    for whose in WHOSE:
        values = [part.source[whose] for part in parts if whose in part.source]
        if len(set(values)) > 1:
            raise InputError(
                f"{key}: {names} found, of {whose} {' and '.join(values)}, scans of the same people expected; join "
                "datasets of one source"
            )
    for fold in folds:
        scans = [part.subjects(fold, role) for part in parts]
        if not set.intersection(*map(set, scans)):
            called = "; ".join(
                f"{part.name} has {first_of(subjects, MOST_NAMED) or 'none'}"
                for part, subjects in zip(parts, scans, strict=True)
            )
            raise InputError(
                f"{key}: {names} found, without a {role} scan of the same name in fold {fold} ({called}), one person "
                "with a scan in each expected; give the scans of a person one name, or leave the joint dataset out"
            )
