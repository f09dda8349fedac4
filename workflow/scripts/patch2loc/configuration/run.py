"""A run as its configuration plans it: methods, datasets, folds, and the files that each job takes from earlier stages.

Nothing here depends on the workflow engine. Methods go by three kinds of names (`method_names`): those that are
configured, combinations of them, and evaluated ones, some of which are a second score of the same heatmaps.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, cast

from patch2loc.configuration import missing_scans
from patch2loc.configuration.ablation_rows import AblationRow
from patch2loc.configuration.check import check_configuration, check_paths
from patch2loc.configuration.combinations import Combination, available_combinations, check_combinations
from patch2loc.configuration.datasets import PlannedDataset, names_with_role, plan_datasets
from patch2loc.configuration.joint import JointDataset, healthy_joint, joint_note, plan_joint
from patch2loc.configuration.leakage import overlap_notes, refuse_leakage
from patch2loc.configuration.method_names import base_method, is_calibrated, subfolder, table_rows
from patch2loc.configuration.method_registry import declaration, locates, runs_network
from patch2loc.configuration.needed_data import NeededData
from patch2loc.configuration.outputs import Outputs
from patch2loc.configuration.prerequisites import fallback_note, methods_needed
from patch2loc.configuration.protocol import protocol
from patch2loc.configuration.training_scans import check_training_scans
from patch2loc.configuration.variants import (
    ablation_row,
    base_row,
    check_variants,
    configuration_of,
    variant_rows,
)
from patch2loc.configuration.vocabulary import Configuration
from patch2loc.data.axes import Orientation
from patch2loc.data.image_files import image_files
from patch2loc.data.results import Fold, Results
from patch2loc.data.seeds import fold_of, further_trainings
from patch2loc.data.vocabulary import DatasetInfo, DatasetRole, Modality, SubjectRole, Tiles
from patch2loc.errors import InputError
from patch2loc.method_interface import MARK
from patch2loc.metrics.released_code import MetricChoices

# The atlas that nilearn carries; any other one is a folder below the configuration's `data`.
ICBM152 = "icbm152"
ZSCORE = "zscore"  # the method that a detector joins with one that localizes
ONE_SCAN_MB = 3000  # of a training that reads one scan after another
PREPROCESSING_MINUTES = {"coarse": 20, "full": 120}  # by what the bias field is fitted to


@dataclass(frozen=True, eq=False)
class Run:
    """A run of the workflow.

    Attributes:
        config: Its configuration, valid, defaults filled in.
        registry_path: CSV of the public data.
        scan_files_path: CSV of the public scans that are fetched one by one; None: no scan is.
        datasets: The datasets that it uses, by name.
        listed_datasets: Those of the configuration, of which a run that skips missing scans may use fewer.
        joint: Its joint datasets, by name, that of the healthy people included.
        obstacle: Function that says why no run can do with the scans that are there; "" if one can.
    """

    config: Configuration
    registry_path: str
    scan_files_path: str | None
    datasets: Mapping[str, PlannedDataset]
    listed_datasets: Mapping[str, PlannedDataset]
    joint: Mapping[str, JointDataset]
    obstacle: Callable[[], str]

    @cached_property
    def results(self) -> Results:
        """Paths of its results."""
        return Results(self.config["results"])

    @property
    def folds(self) -> list[int]:
        """Folds of cross-validation."""
        return self.config["folds"]

    @property
    def trainings(self) -> list[Fold]:
        """Trainings of repeated methods: each fold, then the first fold with further seeds."""
        return [*self.folds, *further_trainings(self.folds, self.config["seeds_of_first_fold"])]

    @property
    def repeated_methods(self) -> list[str]:
        """Rows of methods that are trained with several seeds: those that run a network."""
        rows = table_rows([name for name in self.methods if runs_network(name)])
        return rows if self.config["seeds_of_first_fold"] > 1 else []

    @property
    def training_data(self) -> Mapping[Modality, str]:
        """For each modality that has scans, the dataset that its models are trained on."""
        return {
            modality: name for modality, name in self.config["training_data"].items() if name in self.datasets
        }

    @property
    def methods(self) -> list[str]:
        """Methods that are trained."""
        return self.config["methods"]

    @cached_property
    def variants(self) -> list[str]:
        """Variants of its methods, rows of the table `ablations` alone."""
        return variant_rows(self.config["variants"])

    @property
    def trained_methods(self) -> list[str]:
        """Methods and variants: each has models."""
        return [*self.methods, *self.variants]

    @cached_property
    def combinations(self) -> dict[str, Combination]:
        """Combinations all of whose parts are of methods or variants of the run."""
        return available_combinations(self.config["combinations"], self.trained_methods)

    @cached_property
    def ablation_rows(self) -> dict[str, AblationRow]:
        """Rows of the table `ablations` by name: methods with variants, these, and combinations with one."""
        with_variant = [name for name in self.combinations if self._has_variant(name)]
        bases = {name: base_row(self.parts(name)) for name in [*self.variants, *with_variant]}
        return {
            name: ablation_row(name, base, self.parts(name), self.config, self._most_training_scans)
            for name, base in ({base: base for base in bases.values()} | bases).items()
        }

    def datasets_scored_by(self, method: str) -> list[str]:
        """Datasets that a method scores: all; a variant those with lesions, and the healthy ones that go with them."""
        if method not in self.variants:
            return list(self.datasets)
        lesion = names_with_role(self.datasets, "lesion")
        return list(dict.fromkeys([*lesion, *map(self.training_dataset, lesion)]))

    @property
    def _most_training_scans(self) -> int:
        datasets = [self.datasets[name] for name in self.training_data.values()]
        return max(len(dataset.subjects(self.folds[0], "train")) for dataset in datasets)

    def configuration_of(self, method: str) -> dict[str, Any]:
        """The configuration that a method or variant is trained and scored by; of a combination, that of the run."""
        return configuration_of(method, self.config)

    def orientation(self, method: str) -> Orientation:
        """Slices that a method or variant sees."""
        return cast(Orientation, self._training_of(method)["orientation"] if locates(method) else "axial")

    def training_subjects(self, method: str) -> int | None:
        """Number of training scans of a method or variant; None for all."""
        return cast(int | None, self._training_of(method)["subjects"] if locates(method) else None)

    def _training_of(self, method: str) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], self.configuration_of(method)["training"])

    def _has_variant(self, combination: str) -> bool:
        return any(MARK in part for part in self.parts(combination))

    @property
    def locating_methods(self) -> list[str]:
        """Methods that predict locations."""
        return [name for name in self.methods if locates(name)]

    @property
    def calibrated_methods(self) -> list[str]:
        """Methods whose score is also evaluated calibrated."""
        return [name for name in self.methods if declaration(name).calibrated]

    @property
    def scored_methods(self) -> list[str]:
        """Methods and combinations of them, all of which make heatmaps."""
        return [*self.methods, *(name for name in self.combinations if not self._has_variant(name))]

    @property
    def evaluated_methods(self) -> list[str]:
        """Rows of tables: scores, some also calibrated, some with the post-processing of their authors."""
        return table_rows(self.scored_methods)

    @property
    def labeled_datasets(self) -> list[str]:
        """Datasets that are evaluated: those with lesion masks, and those without lesions."""
        return names_with_role(self.datasets, "lesion") + names_with_role(self.datasets, "healthy")

    @property
    def datasets_with_sites(self) -> list[str]:
        """Labeled datasets whose lists name the site of a scan."""
        return [name for name in self.labeled_datasets if self.datasets[name].sites]

    def datasets_of_kind(self, *kinds: str) -> list[str]:
        """Datasets whose source is of one of the kinds."""
        return [name for name, dataset in self.datasets.items() if dataset.kind in kinds]

    def labels(self, datasets: Iterable[str]) -> dict[str, DatasetInfo]:
        """Descriptions of datasets, joint ones too, for tables, figures and the report, by name."""
        return {name: self._described(name).labels for name in datasets}

    def labels_and_sites(self, datasets: Iterable[str]) -> dict[str, DatasetInfo]:
        """`labels` with the site of each scan, where a dataset's list names it."""
        return {
            name: {**labels, "sites": self.datasets[name].sites}
            for name, labels in self.labels(datasets).items()
        }

    def labels_and_lesions(self, datasets: Iterable[str]) -> dict[str, DatasetInfo]:
        """`labels` with what is changed in datasets of controlled lesions, where, and how much."""
        return {
            name: {
                **labels,
                "change": self.datasets[name].source["change"],
                "lesions": {
                    subject: (str(lesion["scan"]), lesion["diameter_mm"], lesion["amount"])
                    for subject, lesion in self.datasets[name].made_of.items()
                },
            }
            for name, labels in self.labels(datasets).items()
        }

    def labels_and_counts(self, datasets: Iterable[str]) -> dict[str, DatasetInfo]:
        """`labels` with the number of scans that the list of a dataset has to be tested."""
        return {
            name: {**labels, "n_listed": self._described(name).n_listed(self.folds[0])}
            for name, labels in self.labels(datasets).items()
        }

    def joint_with_role(self, role: DatasetRole) -> list[str]:
        """Names of the joint datasets with a role."""
        return [name for name, joint in self.joint.items() if joint.role == role]

    def _described(self, dataset: str) -> PlannedDataset | JointDataset:
        return self.joint[dataset] if dataset in self.joint else self.datasets[dataset]

    @cached_property
    def outputs(self) -> Outputs:
        """Its tables and figures."""
        return Outputs(self)

    @cached_property
    def overlap_notes(self) -> str:
        """Sentences on the overlaps of published subject lists; "" without any."""
        return overlap_notes(self.datasets, self.folds)

    @property
    def missing_note(self) -> str:
        """A sentence on whose scans are passed over because they are not there; "" for nobody's."""
        return missing_scans.sentence(self.listed_datasets, self.datasets) if self.skips_missing else ""

    @property
    def subject_roles(self) -> list[dict[str, str]]:
        """Role of each person in each fold, of the datasets that have roles: dataset, subject, fold0, ..."""
        return [
            {"dataset": name, **row}
            for name, dataset in self.datasets.items()
            if dataset.has_roles
            for row in dataset.subject_roles
        ]

    @cached_property
    def skips_missing(self) -> bool:
        """True if it uses the scans that are there, and can do with them."""
        return self.config["missing_scans"] == "skip" and not self.obstacle()

    @property
    def missing_scans(self) -> list[dict[str, str]]:
        """Scans that it passes over because they are not there: dataset, subject, files."""
        return missing_scans.rows(self.listed_datasets) if self.skips_missing else []

    @cached_property
    def protocol(self) -> str:
        """Sentences on how the numbers of its tables were computed."""
        return self.protocol_by(self.config["metrics"])

    def protocol_by(self, metrics: MetricChoices) -> str:
        """The protocol of tables whose metrics follow these choices, whatever those of the run are."""
        without_weights = fallback_note(self.methods, self.config["pretrained"])
        part = missing_scans.caption(self.listed_datasets, self.datasets) if self.skips_missing else ""
        combinations = {
            name: self.combinations[name] for name in self.scored_methods if name in self.combinations
        }
        notes = part, self.overlap_notes, without_weights, joint_note(self.joint)
        return protocol(self.config, combinations, *notes, metrics=metrics)

    @property
    def atlas(self) -> str:
        """Name of the atlas that nilearn carries, or the folder of another one."""
        name = self.config["atlas"]
        return name if name == ICBM152 else str(Path(self.config["data"], name))

    @cached_property
    def data(self) -> NeededData:
        """Data that it reads from outside: scans, atlas, weights."""
        sources: dict[str, Mapping[str, Any]] = {
            name: dataset.source_with_left_out for name, dataset in self.listed_datasets.items()
        }
        if self.atlas != ICBM152:
            sources["sri24"] = {"name": "sri24", "kind": "atlas", "root": self.atlas, "registry": "sri24"}
        return NeededData(
            self.config["data"],
            self.registry_path,
            self.scan_files_path,
            sources,
            self.config["pretrained"],
            self.config["checksums"],
            skips_missing=self.config["missing_scans"] == "skip",
            obstacle=self.obstacle,
        )

    def scan_parts(self, dataset: str, subject: str) -> dict[str, str]:
        """Files of a subject's scan, of its brain and lesion masks if it has them, and of the scan it was made of.

        Of an image that is a pair of files, the other one too.

        Raises:
            InputError: Data of the run are missing.
        """
        self.data.stop_for_missing()
        planned = self.datasets[dataset]
        named = {part: path for part, path in planned.scans[subject].items() if isinstance(path, Path)}
        if planned.is_changed:
            named["acquired"] = planned.acquired_scans[subject]
        other_halves = {
            f"{part}_other_half": str(file)
            for part, path in named.items()
            for file in image_files(path)
            if file != path
        }
        return {part: str(path) for part, path in named.items()} | other_halves

    def scans_of_cohort(self, dataset: str, cohort: str) -> list[str]:
        """Folders of the preprocessed scans of a cohort.

        Raises:
            InputError: Data of the run are missing.
        """
        self.data.stop_for_missing()
        return [self.results.preprocessed(dataset, scan) for scan in self.datasets[dataset].members(cohort)]

    def unusable_scans_of_cohort(self, dataset: str, cohort: str) -> list[str]:
        """Folders of scans of a cohort that preprocessing left out, and `leave_out` does now.

        The list of the cohort was made from them, too, without them in it. They stay what it is made from, so that to
        accept that a scan is left out computes nothing anew.
        """
        unusable = self.datasets[dataset].unusable_members(cohort)
        return [self.results.preprocessed(dataset, scan) for scan in unusable]

    def cohort(self, dataset: str, fold: Fold, *, role: SubjectRole) -> str:
        """List of a dataset's scans of a role in a fold, or of all scans of a dataset without roles."""
        if dataset in self.joint:
            return self.results.cohort(dataset, f"{role}_fold{fold_of(fold)}")
        return self.results.cohort(dataset, self.datasets[dataset].cohort_name(fold, role))

    def training_cohort(self, modality: Modality, fold: Fold, *, role: SubjectRole) -> str:
        """List of the scans of a role in the training data of a modality."""
        return self.cohort(self.training_data[modality], fold, role=role)

    def test_scans(self, dataset: str, fold: Fold) -> list[str]:
        """Test scans of a dataset."""
        return self.datasets[dataset].subjects(fold)

    def test_scan_files(self, dataset: str, fold: Fold) -> list[str]:
        """Files of the test scans of a dataset, before preprocessing."""
        scans = self.datasets[dataset].scans
        return [str(scans[subject]["scan"]) for subject in self.test_scans(dataset, fold)]

    def training_dataset(self, dataset: str) -> str:
        """The healthy dataset that the models of a dataset's modality are trained on; of a joint one, a joint one."""
        if dataset in self.joint:
            return healthy_joint(self.joint[dataset], self.joint, self.training_data)
        return self.training_data[self.datasets[dataset].modality]

    def model(self, method: str, dataset: str, fold: Fold) -> str:
        """Model of a method that scores a dataset."""
        return self.results.model(method, self.datasets[dataset].modality, fold)

    def detector(self, dataset: str) -> str:
        """Detector that answers about a dataset's scans: that of the first fold."""
        return self.results.detector(self.datasets[dataset].modality, self.folds[0])

    @property
    def has_detector(self) -> bool:
        """True if the methods that a detector takes are among those of the run."""
        name = self.config["detector"]["method"]
        return locates(name) and {name, ZSCORE} <= set(self.methods)

    def controls_of_detectors(self, datasets: Iterable[str]) -> dict[Modality, str]:
        """For the modalities of datasets, whom the healthy scans of a detector are: a phrase."""
        roles = " and ".join(self.config["detector"]["healthy"])
        return {
            modality: f"{roles} scans of {self.datasets[self.training_data[modality]].settings['title']} in fold "
            f"{self.folds[0]}, which nothing was trained on"
            for modality in dict.fromkeys(self.datasets[name].modality for name in datasets)
        }

    def parts_of_detector(self, modality: Modality, fold: Fold) -> dict[str, str | list[str]]:
        """Models and lists of scans that a detector is made of.

        Raises:
            InputError: A method that it takes is not among those of the run.
        """
        name = self.config["detector"]["method"]
        missing = [each for each in (name, ZSCORE) if each not in self.methods]
        if missing or not locates(name):
            raise InputError(
                f"detector.method: {name}, and methods: {', '.join(self.methods)} found; a method that localizes, and "
                f"both it and {ZSCORE} among `methods`, expected; correct the configuration"
            )
        return {
            "model": self.results.model(name, modality, fold),
            "zscore": self.results.model(ZSCORE, modality, fold),
            "training": self.training_cohort(modality, fold, role="train"),
            "healthy": [
                self.training_cohort(modality, fold, role=role) for role in self.config["detector"]["healthy"]
            ],
        }

    def about_detector(self, modality: Modality) -> dict[str, Any]:
        """What a detector says of the people that it was trained on: title, simulated, ages."""
        dataset = self.datasets[self.training_data[modality]]
        known = dataset.ages.values()
        ages = self.config["detector"]["ages"] or ([min(known), max(known)] if known else None)
        return {
            "title": dataset.settings["title"],
            "simulated": bool(dataset.settings["simulated"]),
            "ages": ages,
        }

    def sites_of_training(self, modality: Modality) -> dict[str, str]:
        """Site of each scan of the training data of a modality, where the list names it."""
        return self.datasets[self.training_data[modality]].sites

    def balanced_sites(self, method: str, modality: Modality) -> dict[str, str] | None:
        """`sites_of_training` for a method or variant that learns as much from each of them; None for any other."""
        return self.sites_of_training(modality) if self._training_of(method)["balance_sites"] else None

    @property
    def preprocessing_minutes(self) -> int:
        """Time that the preprocessing of a scan asks for."""
        return PREPROCESSING_MINUTES[self.config["preprocess"]["bias_field"]]

    def training_memory_mb(self, method: str) -> int:
        """Memory that the training of a method asks for, MB: networks hold all scans, other methods one at a time."""
        return self.config["training"]["memory_mb"] if runs_network(method) else ONE_SCAN_MB

    def needed_models(self, method: str, modality: Modality, fold: Fold) -> list[str]:
        """Models of other methods that the training of a method takes."""
        return [self.results.model(name, modality, fold) for name in self.needed_methods(method)]

    def models_behind(self, method: str, dataset: str, fold: Fold) -> list[str]:
        """Models that made the heatmaps of an evaluated method: for a combination, the models of its parts.

        For a joint dataset, those of each of its contrasts.
        """
        if dataset in self.joint:
            names = self.joint[dataset].part_names
            return [model for name in names for model in self.models_behind(method, name, fold)]
        parts = map(base_method, self.parts(base_method(method)))
        return [self.model(part, dataset, self.scoring_fold(part, dataset, fold)) for part in parts]

    def parts(self, method: str) -> list[str]:
        """Evaluated methods that a combination is made of; for any other method, itself."""
        return list(self.combinations[method]["of"]) if method in self.combinations else [method]

    def median_filter(self, dataset: str) -> int:
        """Width, voxels, of the median filter of a dataset's test scans."""
        score = self.config["score"]
        of_healthy = score["median_filter_healthy"]
        healthy = self.datasets[dataset].role == "healthy"
        return of_healthy if healthy and of_healthy is not None else score["median_filter"]

    def epsilon(self, method: str) -> float | None:
        """What is added to the squared errors of a method that predicts locations; None for another one."""
        return self.config["score"]["epsilon"] if locates(method) else None

    def tiles(self, method: str) -> Tiles:
        """Patches of the patch analysis of a method that predicts locations."""
        return self.config["score"]["tiles"] if locates(method) else "whole"

    def heatmaps(self, method: str, dataset: str, fold: Fold) -> str:
        """Heatmaps of a dataset's test scans by an evaluated method; of a joint one, the row's own."""
        if dataset in self.joint:
            return self.results.heatmaps(method, dataset, fold)
        scored = base_method(method)
        return self.results.heatmaps(scored, dataset, self.scoring_fold(scored, dataset, fold))

    def every_heatmaps(self, datasets: Iterable[str]) -> list[str]:
        """Heatmaps of the test scans of datasets by every scored method in every fold, each folder once."""
        folders = (
            self.heatmaps(method, dataset, fold)
            for method in self.scored_methods
            for dataset in datasets
            for fold in self.folds
        )
        return list(dict.fromkeys(folders))

    def scoring_fold(self, method: str, dataset: str, fold: Fold) -> Fold:
        """The fold with whose model a scored method scores a dataset for the evaluation of a fold.

        It is the fold itself, but for a method that says SCORED_ONCE: the first fold with the same test scans, whose
        models were trained and validated on the same scans, so that none of them is refused in one fold alone.
        Intensities that are clipped, or have landmarks of the background, depend on the landmarks even in their ranks.
        """
        training = self.training_dataset(dataset)
        intensities = self.config["intensities"]
        ranks_stay = (intensities["landmarks"], intensities["scale"]) == ("brain", "percentile")
        if method not in self.methods or not declaration(method).scored_once or not ranks_stay:
            return fold

        def scans(of_fold: Fold) -> tuple[list[str], set[str]]:
            fitted = (self.datasets[training].subjects(of_fold, role) for role in ("train", "validation"))
            return self.test_scans(dataset, of_fold), set().union(*fitted)

        wanted = scans(fold)
        return next((each for each in self.folds if scans(each) == wanted), fold)

    def validation_heatmaps(self, method: str, dataset: str, fold: Fold) -> str:
        """Heatmaps of a dataset's validation scans by an evaluated method; of a joint one, the row's own."""
        if dataset in self.joint:
            return self.results.validation_heatmaps(method, dataset, fold)
        return self.results.validation_heatmaps(base_method(method), dataset, fold)

    def healthy_heatmaps(self, method: str, dataset: str, fold: Fold) -> str:
        """Heatmaps of the healthy test scans that go with a dataset."""
        return self.heatmaps(method, self.training_dataset(dataset), fold)

    def healthy_validation_heatmaps(self, method: str, dataset: str, fold: Fold) -> str:
        """Heatmaps of the healthy validation scans that go with a dataset."""
        return self.validation_heatmaps(method, self.training_dataset(dataset), fold)

    def heatmaps_of_parts(self, method: str, dataset: str, fold: Fold) -> list[str]:
        """Heatmaps of a dataset's test scans by the parts of a combination."""
        return [self.heatmaps(part, dataset, fold) for part in self.parts(method)]

    def validation_heatmaps_of_parts(self, method: str, dataset: str, fold: Fold) -> list[str]:
        """Heatmaps of a dataset's validation scans by the parts of a combination."""
        return [self.validation_heatmaps(part, dataset, fold) for part in self.parts(method)]

    def cohorts_to_join(self, dataset: str, fold: Fold) -> list[str]:
        """Lists of the test scans of the parts of a joint dataset."""
        return [self.cohort(part, fold, role="test") for part in self.joint[dataset].part_names]

    def heatmaps_to_join(self, method: str, dataset: str, fold: Fold) -> list[str]:
        """Heatmaps of the test scans of the parts of a joint dataset, by an evaluated method."""
        return [self.heatmaps(method, part, fold) for part in self.joint[dataset].part_names]

    def validation_heatmaps_to_join(self, method: str, dataset: str, fold: Fold) -> list[str]:
        """Heatmaps of the validation scans of the parts of a joint dataset, by an evaluated method."""
        return [self.validation_heatmaps(method, part, fold) for part in self.joint[dataset].part_names]

    def calibrations_to_join(self, method: str, dataset: str, fold: Fold) -> list[str]:
        """Calibrations of a row in the parts of a joint dataset, each of its own modality; none of other rows."""
        if not is_calibrated(method):
            return []
        return [self.calibration(method, part, fold) for part in self.joint[dataset].part_names]

    def subfolder_of_heatmaps(self, method: str, dataset: str) -> str:
        """Folder of an evaluated method's heatmaps within `heatmaps`; "" for the folder itself."""
        return "" if dataset in self.joint else subfolder(method)

    def has_lesion_validation(self, dataset: str) -> bool:
        """True for a dataset with validation scans that have lesions; joint ones have none."""
        return dataset in self.datasets and self.datasets[dataset].has_lesion_validation

    def calibrating_heatmaps(self, method: str, modality: Modality, fold: Fold) -> str:
        """Heatmaps of the healthy validation scans, which a calibration is made from."""
        return self.validation_heatmaps(method, self.training_data[modality], fold)

    def calibration(self, method: str, dataset: str, fold: Fold) -> str:
        """Calibration of an evaluated method's scores in a dataset."""
        return self.results.calibration(base_method(method), self.datasets[dataset].modality, fold)

    def calibrations_of_parts(self, method: str, dataset: str, fold: Fold) -> list[str]:
        """Calibrations of the calibrated parts of a combination, in the order of the parts."""
        return [self.calibration(part, dataset, fold) for part in self.parts(method) if is_calibrated(part)]

    @cached_property
    def needed_methods(self) -> Callable[[str], tuple[str, ...]]:
        """Function of a method: the methods whose models of the same modality and fold its training takes."""
        return cache(partial(methods_needed, configured=self.methods))


def plan_run(config: Configuration, registry_path: str, scan_files_path: str | None = None) -> Run:
    """Plan the run of a configuration.

    Args:
        config: Valid by the schema, defaults filled in.
        registry_path: CSV of the public data.
        scan_files_path: CSV of the public scans that are fetched one by one.

    Raises:
        InputError: The configuration contradicts itself, a dataset cannot be used, or a scan would be trained on and
            tested (invariant 3).
    """
    check_configuration(config)
    check_paths(config)
    check_variants(config)
    check_combinations(config["combinations"], variant_rows(config["variants"]))
    listed = plan_datasets(config)
    obstacle = cache(partial(missing_scans.obstacle, listed, config["training_data"], config["folds"]))
    datasets = listed
    if config["missing_scans"] == "skip":
        # With an obstacle all are planned, so that `snakemake data` can get what is missing; a job would stop.
        used = missing_scans.usable(listed, config["training_data"])
        datasets = missing_scans.complete(listed) if obstacle() else used
    refuse_leakage(datasets, config["folds"])
    check_training_scans(config, datasets)
    joint = plan_joint(
        config["joint"], datasets, config["datasets"], config["training_data"], config["folds"]
    )
    return Run(config, registry_path, scan_files_path, datasets, listed, joint, obstacle)
