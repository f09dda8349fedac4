"""The keys of a configuration that planning reads, as types; all of them are in workflow/schemas/config.schema.yaml."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from patch2loc.configuration.combinations import Combination
from patch2loc.data.vocabulary import DatasetRole, Modality, Truth

ListVersion = Literal["clean", "published"]


class DatasetSettings(TypedDict):
    """An entry of `datasets`."""

    title: str
    modality: Modality
    role: DatasetRole
    simulated: bool
    published_name: str | None
    source: Mapping[str, Any]
    split: str | Mapping[ListVersion, str] | None
    leave_out: list[str]
    skull_strip: str
    registration: str | None


class GridSettings(TypedDict):
    """The grid that scans are brought to."""

    spacing: float


class ScoreSettings(TypedDict):
    """How scans are scored; voxels."""

    stride: int
    median_filter: int


class TrainingSettings(TypedDict):
    """The training of location networks."""

    network: str
    patches: int


class DetectorSettings(TypedDict):
    """The detector of each modality."""

    method: str
    ages: list[float] | None


class Configuration(TypedDict):
    """A configuration, valid by the schema, defaults filled in."""

    results: str
    data: str
    atlas: str
    grid: GridSettings
    folds: list[int]
    seeds_of_first_fold: int
    split: ListVersion
    methods: list[str]
    combinations: Mapping[str, Combination]
    pretrained: Mapping[str, str | None]
    training_data: Mapping[Modality, str]
    preprocess: Mapping[str, Any]
    detector: DetectorSettings
    training: TrainingSettings
    score: ScoreSettings
    truth: Truth
    datasets: Mapping[str, DatasetSettings]
