"""Paths of the results of a run, below the folder `results` of its configuration.

Each method of `Results` stands for one kind of result. Without arguments it returns a pattern, such as
"results/heatmaps/{method}/{dataset}/fold{fold}", with arguments the path of one result.
"""

from dataclasses import dataclass
from typing import Literal

# Folders of scans: {folder}/{dataset}/{subject}.
RAW, PREPROCESSED = "raw", "preprocessed"
PROVENANCE = ".provenance.json"  # suffix of the file beside a result that records its provenance
CRATE = "ro-crate-metadata.json"
DETECTOR = "detector"
READABLE = {"markdown": ".md", "latex": ".tex", "html": ".html"}  # suffixes of a table's formats for people
MetricsKind = Literal["metrics", "at_thresholds", "released_code", "curves"]
METRICS: dict[MetricsKind, str] = {
    "metrics": "",
    "at_thresholds": "_thresholds",
    "released_code": "_released_code",
    "curves": "_curves",
}

Fold = int | str  # a number, or a wildcard such as "{fold}"


@dataclass(frozen=True)
class Results:
    """Paths of the results of a run.

    Attributes:
        root: Folder of the results.
    """

    root: str

    def raw_folder(self) -> str:
        """Folder of the simulated and converted scans of every dataset."""
        return f"{self.root}/{RAW}"

    def raw_dataset(self, dataset: str = "{dataset}") -> str:
        """Folder of a dataset's simulated or converted scans; simulated cohorts are called phantom_{cohort}."""
        return f"{self.raw_folder()}/{dataset}"

    def raw(self, dataset: str = "{dataset}", subject: str = "{subject}") -> str:
        """Folder of a subject's simulated or converted scans."""
        return f"{self.raw_dataset(dataset)}/{subject}"

    def preprocessed_folder(self) -> str:
        """Folder of the preprocessed scans of every dataset."""
        return f"{self.root}/{PREPROCESSED}"

    def preprocessed_dataset(self, dataset: str = "{dataset}") -> str:
        """Folder of a dataset's preprocessed scans."""
        return f"{self.preprocessed_folder()}/{dataset}"

    def preprocessed(self, dataset: str = "{dataset}", subject: str = "{subject}") -> str:
        """Folder of a preprocessed scan, with its masks and its quality control."""
        return f"{self.preprocessed_dataset(dataset)}/{subject}"

    def cohort(self, dataset: str = "{dataset}", cohort: str = "{cohort}") -> str:
        """List of the usable preprocessed scans of a cohort: "all", or a role in a fold such as "train_fold0"."""
        return f"{self.root}/cohorts/{dataset}/{cohort}.json"

    def landmarks(self, modality: str = "{modality}", fold: Fold = "{fold}") -> str:
        """Nyul landmarks of a modality."""
        return f"{self.root}/landmarks/{modality}/fold{fold}.json"

    def training(self, method: str = "{method}", modality: str = "{modality}", fold: Fold = "{fold}") -> str:
        """Folder of a training: its model, its history, and checkpoints while it runs."""
        return f"{self.root}/models/{method}/{modality}/fold{fold}"

    def model(self, method: str = "{method}", modality: str = "{modality}", fold: Fold = "{fold}") -> str:
        """Trained model."""
        return f"{self.training(method, modality, fold)}/model.safetensors"

    def history(self, method: str = "{method}", modality: str = "{modality}", fold: Fold = "{fold}") -> str:
        """Losses of a training."""
        return f"{self.training(method, modality, fold)}/history.csv"

    def detector(self, modality: str = "{modality}", fold: Fold = "{fold}") -> str:
        """Model with the healthy scans that an answer is read by."""
        return f"{self.training(DETECTOR, modality, fold)}/{DETECTOR}.safetensors"

    def heatmaps(self, method: str = "{method}", dataset: str = "{dataset}", fold: Fold = "{fold}") -> str:
        """Folder of the heatmaps of a dataset's test scans, on the grid."""
        return f"{self.root}/heatmaps/{method}/{dataset}/fold{fold}"

    def validation_heatmaps(
        self, method: str = "{method}", dataset: str = "{dataset}", fold: Fold = "{fold}"
    ) -> str:
        """Folder of the heatmaps of a dataset's validation scans, on the grid."""
        return f"{self.root}/heatmaps_validation/{method}/{dataset}/fold{fold}"

    def native_space_heatmaps(
        self, method: str = "{method}", dataset: str = "{dataset}", fold: Fold = "{fold}"
    ) -> str:
        """Folder of the heatmaps of a dataset's test scans, on the voxels of the original scans."""
        return f"{self.root}/heatmaps_native_space/{method}/{dataset}/fold{fold}"

    def calibration(
        self, method: str = "{method}", modality: str = "{modality}", fold: Fold = "{fold}"
    ) -> str:
        """Folder of a calibration: healthy location and scale of a score at every voxel."""
        return f"{self.root}/calibration/{method}/{modality}/fold{fold}"

    def patches(self, method: str = "{method}", dataset: str = "{dataset}", fold: Fold = "{fold}") -> str:
        """Table of a dataset's patches, one row per patch."""
        return f"{self.root}/patches/{method}/{dataset}/fold{fold}.parquet"

    def parts(self, method: str = "{method}", dataset: str = "{dataset}", fold: Fold = "{fold}") -> str:
        """Table of the parts of a method's score as detectors, one row per scan, part, setting and measure."""
        return f"{self.root}/parts/{method}/{dataset}/fold{fold}.parquet"

    def patient(self, dataset: str = "{dataset}", subject: str = "{subject}") -> str:
        """Folder of the answer about a scan without truth."""
        return f"{self.root}/patients/{dataset}/{subject}"

    def metrics(
        self,
        method: str = "{method}",
        dataset: str = "{dataset}",
        fold: Fold = "{fold}",
        *,
        kind: MetricsKind = "metrics",
    ) -> str:
        """Table of an evaluation, of one of the kinds in METRICS."""
        return f"{self.root}/metrics/{method}/{dataset}/fold{fold}{METRICS[kind]}.csv"

    def table(self, name: str = "{table}", suffix: str = ".csv") -> str:
        """Table of the report, in the format of the suffix."""
        return f"{self.root}/tables/{name}{suffix}"

    def figure(self, name: str = "{figure}", suffix: str = ".png") -> str:
        """Figure of the report, in the format of the suffix."""
        return f"{self.root}/figures/{name}{suffix}"

    def learning_curve(
        self, modality: str = "{modality}", fold: Fold = "{fold}", suffix: str = ".png"
    ) -> str:
        """Figure of the losses of a training of Patch2Loc."""
        return self.figure(f"learning_curve_{modality}_fold{fold}", suffix)

    def report(self) -> str:
        """Report, one page."""
        return f"{self.root}/report.html"

    def viewer(self) -> str:
        """Folder of the viewer."""
        return f"{self.root}/report"

    def crate(self) -> str:
        """RO-Crate, the description of every result for machines."""
        return f"{self.root}/{CRATE}"

    def crate_workflow(self) -> str:
        """Folder of the workflow and the configuration that made the results."""
        return f"{self.root}/workflow"

    def log(self, name: str) -> str:
        """Log of a job, by the name of its rule and its wildcards."""
        return f"{self.root}/logs/{name}.log"

    def benchmark(self, name: str) -> str:
        """Time and memory of a job, by the name of its rule and its wildcards."""
        return f"{self.root}/benchmarks/{name}.tsv"
