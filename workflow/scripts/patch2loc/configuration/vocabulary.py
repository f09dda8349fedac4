"""The keys of a configuration that planning reads, as types; all of them are in workflow/schemas/config.schema.yaml."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from patch2loc.configuration.combinations import Combination, Rule
from patch2loc.configuration.variants import Variant
from patch2loc.data.axes import Orientation
from patch2loc.data.conditions import Conditions
from patch2loc.data.vocabulary import DatasetRole, Modality, Scale, SubjectRole, Tiles, Truth
from patch2loc.metrics.released_code import MetricChoices

ListVersion = Literal["clean", "published"]


class DrawnSplit(TypedDict):
    """A split that is drawn: numbers of people, of the validation in each fold and of the test."""

    validation: int
    test: int
    seed: int


class DatasetSettings(TypedDict):
    """An entry of `datasets`."""

    title: str
    modality: Modality
    role: DatasetRole
    simulated: bool
    published_name: str | None
    source: Mapping[str, Any]
    split: str | Mapping[ListVersion, str] | DrawnSplit | None
    where: Conditions
    leave_out: list[str]
    skull_strip: str
    registration: Literal["affine", "rigid", "translation", "none"] | None
    bias_correction: bool | None


class Joint(TypedDict):
    """An entry of `joint`."""

    of: list[str]  # datasets, one for each contrast
    by: Rule


class GridSettings(TypedDict):
    """The grid that scans are brought to."""

    shape: list[int]
    spacing: float


class IntensitySettings(TypedDict):
    """How intensities are brought on one scale."""

    landmarks: Literal["brain", "box"]
    scale: Scale


class ScoreSettings(TypedDict):
    """How scans are scored; voxels, and threads of a job."""

    stride: int
    epsilon: float
    tiles: Tiles
    median_filter: int
    median_filter_healthy: int | None
    threads: int


class PartsOfConfiguration(TypedDict):
    """Settings of the score that its parts are tried with, besides the run's own."""

    epsilons: list[float]
    median_filters: list[int]
    strides: list[int]


class TrainingSettings(TypedDict):
    """The training of location networks."""

    network: str
    widths: list[int]
    patches: int
    orientation: Orientation
    subjects: int | None
    candidates: int | None
    threads: int
    memory_mb: int


class DetectorSettings(TypedDict):
    """The detector of each modality."""

    method: str
    healthy: list[SubjectRole]
    ages: list[float] | None


class Configuration(TypedDict):
    """A configuration, valid by the schema, defaults filled in."""

    results: str
    seed: int
    data: str
    atlas: str
    grid: GridSettings
    patch: int
    folds: list[int]
    seeds_of_first_fold: int
    split: ListVersion
    methods: list[str]
    budget: str
    method_settings: Mapping[str, Mapping[str, Any]]
    combinations: Mapping[str, Combination]
    variants: Mapping[str, Variant]
    joint: Mapping[str, Joint]
    pretrained: Mapping[str, str | None]
    checksums: Mapping[str, str]
    training_data: Mapping[Modality, str]
    preprocess: Mapping[str, Any]
    intensities: IntensitySettings
    detector: DetectorSettings
    training: TrainingSettings
    score: ScoreSettings
    parts: PartsOfConfiguration
    truth: Truth
    metrics: MetricChoices
    without: list[str]
    missing_scans: Literal["stop", "skip"]
    device: str
    tables: Mapping[str, Any]
    figures: Mapping[str, Any]
    datasets: Mapping[str, DatasetSettings]
