"""A run as its configuration plans it: datasets, methods, folds.

Nothing here depends on the workflow engine. Methods go by three kinds of names (`method_names`): those that are
configured, combinations of them, and evaluated ones, some of which are a second score of the same heatmaps. The files
that jobs take follow from a plan, by functions in a module for each stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, cast

from patch2loc.configuration.check import check_configuration, check_paths
from patch2loc.configuration.combinations import available_combinations, check_combinations
from patch2loc.configuration.keys import Combination, Configuration
from patch2loc.configuration.method_names import table_rows
from patch2loc.configuration.variants import check_variants, variant_rows
from patch2loc.data.modalities import Modality
from patch2loc.data.results import Fold, Results
from patch2loc.data.seeds import further_trainings
from patch2loc.method_interface import MARK
from patch2loc.plan import missing_scans
from patch2loc.plan.datasets import PlannedDataset, plan_datasets
from patch2loc.plan.joint import AnyDataset, JointDataset, plan_joint
from patch2loc.plan.leakage import refuse_leakage
from patch2loc.plan.needed_data import NeededData
from patch2loc.plan.training_scans import check_training_scans

# The atlas that nilearn carries; any other one is a folder below the configuration's `data`.
ICBM152 = "icbm152"


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run of the workflow computes.

    Attributes:
        config: Configuration, valid, defaults filled in.
        listed_datasets: Datasets of the configuration, by name.
        datasets: Listed datasets that are used; a run that skips missing scans may use fewer.
        joint: Joint datasets, by name, those of healthy people included.
        data: Data from outside: scans, atlas, weights.
    """

    config: Configuration
    listed_datasets: Mapping[str, PlannedDataset]
    datasets: Mapping[str, PlannedDataset]
    joint: Mapping[str, JointDataset]
    data: NeededData

    @cached_property
    def all_datasets(self) -> dict[str, AnyDataset]:
        """Datasets by name, joint ones too."""
        return {**self.datasets, **self.joint}

    @cached_property
    def results(self) -> Results:
        """Paths of the results."""
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
        """Variants of the methods, rows of the table `ablations` alone."""
        return variant_rows(self.config["variants"])

    @property
    def trained_methods(self) -> list[str]:
        """Methods and variants: each has models."""
        return [*self.methods, *self.variants]

    @cached_property
    def combinations(self) -> dict[str, Combination]:
        """Combinations all of whose parts are of methods or variants of the run."""
        return available_combinations(self.config["combinations"], self.trained_methods)

    def parts(self, method: str) -> list[str]:
        """Evaluated methods that a combination is made of; for any other method, itself."""
        return list(self.combinations[method]["of"]) if method in self.combinations else [method]

    def has_variant(self, method: str) -> bool:
        """True for a variant, and for a combination with one."""
        return any(MARK in part for part in self.parts(method))

    @property
    def scored_methods(self) -> list[str]:
        """Methods and combinations of them, all of which make heatmaps of every dataset."""
        return [*self.methods, *(name for name in self.combinations if not self.has_variant(name))]

    @property
    def evaluated_methods(self) -> list[str]:
        """Rows of tables: scores, some also calibrated, some with the post-processing of their authors."""
        return table_rows(self.scored_methods)


def make_plan(config: Configuration, registry_path: str, scan_files_path: str | None = None) -> Plan:
    """Plan the run of a configuration.

    Args:
        config: Valid by the schema, defaults filled in.
        registry_path: CSV of the public data.
        scan_files_path: CSV of the public scans that are fetched one by one; None: no scan is.

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
    sources: dict[str, Mapping[str, Any]] = {
        name: dataset.source_with_left_out for name, dataset in listed.items()
    }
    if config["atlas"] != ICBM152:
        sources["sri24"] = {"name": "sri24", "kind": "atlas", "root": atlas(config), "registry": "sri24"}
    data = NeededData(
        config["data"],
        registry_path,
        scan_files_path,
        sources,
        cast(Mapping[str, str | None], config["pretrained"]),
        config["checksums"],
        skips_missing=config["missing_scans"] == "skip",
        obstacle=obstacle,
    )
    return Plan(config, listed, datasets, joint, data)


def atlas(config: Configuration) -> str:
    """Name of the atlas that nilearn carries, or the folder of another one."""
    name = config["atlas"]
    return name if name == ICBM152 else str(Path(config["data"], name))
