"""A run as its configuration describes it: methods, datasets, folds, and which files a job takes from earlier stages.

Nothing here knows of the workflow's engine.  Methods have the names of `method_names`: configured ones, combinations of
them, and evaluated ones, of which some are a second score of the same heatmaps.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from patch2loc.configuration.check import check_configuration, check_paths
from patch2loc.configuration.combinations import available_combinations, check_combinations
from patch2loc.configuration.datasets import (
    PlannedDataset,
    names_of,
    overlap_notes,
    plan_datasets,
    stop_for_trained_scans,
)
from patch2loc.configuration.deliverables import Deliverables, deliverables, protocol
from patch2loc.configuration.method_names import base_method, is_calibrated, table_rows
from patch2loc.configuration.method_registry import declaration, locates
from patch2loc.configuration.needed_data import NeededData
from patch2loc.configuration.prerequisites import fallback_note, methods_needed
from patch2loc.data.results import Fold, Results

ICBM152 = (
    "icbm152"  # atlas that comes with nilearn; every other one is a folder below the configuration's `data`
)


@dataclass(frozen=True, eq=False)
class Run:
    """A run of the workflow.

    Attributes:
        config: its configuration, valid, defaults filled in.
        registry_path: CSV of the public data.
        datasets: those of the configuration, by name.
    """

    config: Mapping[str, Any]
    registry_path: str
    datasets: Mapping[str, PlannedDataset]

    @cached_property
    def results(self) -> Results:
        """Paths of its results."""
        return Results(self.config["results"])

    @property
    def folds(self) -> list[int]:
        """The folds."""
        return self.config["folds"]

    @property
    def training_data(self) -> Mapping[str, str]:
        """The dataset that models of each modality are trained on."""
        return self.config["training_data"]

    @property
    def methods(self) -> list[str]:
        """The methods that are trained."""
        return self.config["methods"]

    @cached_property
    def combinations(self) -> dict[str, Mapping[str, Any]]:
        """The combinations whose parts are all of methods of the run."""
        return available_combinations(self.config["combinations"], self.methods)

    @property
    def locating(self) -> list[str]:
        """The methods that predict locations."""
        return [name for name in self.methods if locates(name)]

    @property
    def calibrated(self) -> list[str]:
        """The methods whose score is also evaluated calibrated."""
        return [name for name in self.methods if declaration(name).calibrated]

    @property
    def scored(self) -> list[str]:
        """What there are heatmaps of: methods and combinations."""
        return [*self.methods, *self.combinations]

    @property
    def evaluated(self) -> list[str]:
        """What is evaluated: scores, some also calibrated, some with the post-processing of their authors."""
        return table_rows(self.scored)

    @property
    def labeled(self) -> list[str]:
        """The datasets that are evaluated: those with lesion masks, and those without lesions."""
        return names_of(self.datasets, "lesion") + names_of(self.datasets, "healthy")

    @property
    def with_sites(self) -> list[str]:
        """The labeled datasets whose lists name the site of a scan."""
        return [name for name in self.labeled if self.datasets[name].sites]

    def of_kind(self, *kinds: str) -> list[str]:
        """The datasets whose source is of one of the kinds."""
        return [name for name, dataset in self.datasets.items() if dataset.kind in kinds]

    def labels(self, datasets: Iterable[str]) -> dict[str, dict[str, Any]]:
        """What tables, figures and the report say of datasets, by name."""
        return {name: self.datasets[name].labels for name in datasets}

    def labels_and_sites(self, datasets: Iterable[str]) -> dict[str, dict[str, Any]]:
        """`labels`, and under "sites" the site of each scan."""
        return {
            name: labels | {"sites": self.datasets[name].sites}
            for name, labels in self.labels(datasets).items()
        }

    @cached_property
    def deliverables(self) -> Deliverables:
        """Its tables and figures."""
        return deliverables(self.datasets, self.folds)

    @cached_property
    def overlap_notes(self) -> str:
        """What published subject lists put into several roles; "" where nothing."""
        return overlap_notes(self.datasets, self.folds)

    @cached_property
    def protocol(self) -> str:
        """How the numbers of its tables were computed."""
        without_weights = fallback_note(self.methods, self.config["pretrained"])
        return protocol(self.config, self.combinations, self.overlap_notes, without_weights)

    @property
    def atlas(self) -> str:
        """The name of the atlas that comes with nilearn, or the folder of another one."""
        name = self.config["atlas"]
        return name if name == ICBM152 else str(Path(self.config["data"], name))

    @cached_property
    def data(self) -> NeededData:
        """What it reads from outside: scans, atlas, weights."""
        sources = {name: dataset.source for name, dataset in self.datasets.items()}
        if self.atlas != ICBM152:
            sources["sri24"] = {"name": "sri24", "kind": "atlas", "root": self.atlas, "registry": "sri24"}
        return NeededData(self.config["data"], self.registry_path, sources, self.config["pretrained"])

    def scan_parts(self, dataset: str, subject: str) -> dict[str, str]:
        """A subject's scan, and brain and lesion where given; InputError when data of the run are missing."""
        self.data.stop_for_missing()
        paths = self.datasets[dataset].scans[subject]
        return {part: str(path) for part, path in paths.items() if path}

    def scans_of_cohort(self, dataset: str, cohort: str) -> list[str]:
        """Folders of the preprocessed scans of a cohort; InputError when data of the run are missing."""
        self.data.stop_for_missing()
        return [self.results.preprocessed(dataset, scan) for scan in self.datasets[dataset].members(cohort)]

    def cohort(self, dataset: str, fold: Fold, *, role: str) -> str:
        """List of a dataset's scans of a role in a fold, or of all where nobody trains."""
        return self.results.cohort(dataset, self.datasets[dataset].cohort_name(fold, role))

    def training_cohort(self, modality: str, fold: Fold, *, role: str) -> str:
        """List of the scans of a role that the models of a modality and fold learn from."""
        return self.cohort(self.training_data[modality], fold, role=role)

    def tested(self, dataset: str, fold: Fold) -> list[str]:
        """The test scans of a dataset."""
        return self.datasets[dataset].subjects(fold)

    def original_scans(self, dataset: str, fold: Fold) -> list[str]:
        """Files of the test scans of a dataset, as they came."""
        scans = self.datasets[dataset].scans
        return [str(scans[subject]["scan"]) for subject in self.tested(dataset, fold)]

    def training_dataset(self, dataset: str) -> str:
        """The healthy dataset with the modality of another one, which its models are trained on."""
        return self.training_data[self.datasets[dataset].modality]

    def model(self, method: str, dataset: str, fold: Fold) -> str:
        """The model that scores a dataset."""
        return self.results.model(method, self.datasets[dataset].modality, fold)

    def needed_models(self, method: str, modality: str, fold: Fold) -> list[str]:
        """Models of other methods that the training of a method takes."""
        return [self.results.model(name, modality, fold) for name in self.needed_methods(method)]

    def models_behind(self, method: str, dataset: str, fold: Fold) -> list[str]:
        """The models that made the heatmaps of an evaluated method: of a combination, those of its parts."""
        parts = map(base_method, self.parts(base_method(method)))
        return [self.model(part, dataset, fold) for part in parts]

    def parts(self, method: str) -> list[str]:
        """What a combination is made of, names of evaluated methods; of another method, itself."""
        return list(self.combinations[method]["of"]) if method in self.combinations else [method]

    def heatmaps(self, method: str, dataset: str, fold: Fold) -> str:
        """Heatmaps of a dataset's test scans by an evaluated method."""
        return self.results.heatmaps(base_method(method), dataset, fold)

    def validation_heatmaps(self, method: str, dataset: str, fold: Fold) -> str:
        """Heatmaps of a dataset's validation scans by an evaluated method."""
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

    def calibrating_heatmaps(self, method: str, modality: str, fold: Fold) -> str:
        """Heatmaps that a calibration is made of: those of the healthy validation scans."""
        return self.validation_heatmaps(method, self.training_data[modality], fold)

    def calibration(self, method: str, dataset: str, fold: Fold) -> str:
        """The calibration that an evaluated method's heatmaps of a dataset are seen through."""
        return self.results.calibration(base_method(method), self.datasets[dataset].modality, fold)

    def calibrations_of_parts(self, method: str, dataset: str, fold: Fold) -> list[str]:
        """What the calibrated parts of a combination are seen through, in turn."""
        return [self.calibration(part, dataset, fold) for part in self.parts(method) if is_calibrated(part)]

    @cached_property
    def needed_methods(self) -> Callable[[str], tuple[str, ...]]:
        """The methods whose models of the same modality and fold a method takes."""
        return cache(partial(methods_needed, configured=self.methods))


def plan_run(config: Mapping[str, Any], registry_path: str) -> Run:
    """The run of a configuration, which is valid by its schema and has its defaults filled in.

    Raises InputError when the configuration contradicts itself, a dataset cannot be used, or a scan would be trained on
    and tested (invariant 3).
    """
    check_configuration(config)
    check_paths(config)
    check_combinations(config["combinations"])
    datasets = plan_datasets(config)
    stop_for_trained_scans(datasets, config["folds"])
    return Run(config, registry_path, datasets)
