"""Every key of a configuration: type, default, bounds, meaning, and checks that concern one group of keys.

This is their only statement: the schema file and the page of keys are made of it (`configuration.reference`).
Checks of keys of different groups against each other are in `configuration.check`.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Discriminator, Field, Tag, WrapValidator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from patch2loc.configuration.key import Expected, OrWord, Unique, check, group, key, needs
from patch2loc.configuration.method_registry import METHODS
from patch2loc.data.axes import Orientation
from patch2loc.data.modalities import Modality
from patch2loc.data.vocabulary import DatasetRole, Scale, Tiles, Truth
from patch2loc.method_declaration import Budget

ListVersion = Literal["clean", "published"]
Rule = Literal["rank_average", "rank_product", "rank_fisher"]  # names of `score.combination.RULES`
Registration = Literal["affine", "rigid", "translation", "none"]

WHOLE_BRAIN = "whole-brain"  # value of grid.shape
ALL = "all"  # value of methods
MOST_VOXELS = 512**3  # of the grid: 0.5 GB an array, of which a job holds about ten
GRID_MM = (50, 500)  # along each axis; a brain is 130 to 180 mm long
MOST_SCANS = 100_000  # of a dataset

Folder = Annotated[
    str,
    Field(pattern=r"^(?!~)(?!.*://)[^\x00-\x1f{}]+$"),
    Expected("a folder without ://, braces or a leading ~ in its name"),
]
Seed = Annotated[
    int, Field(ge=0, le=2**31 - 1)
]  # what trainings add stays below 2^32, the bound of the libraries
# The neighborhoods that are sorted at a time take 1.8 GB at 15; the time grows with the cube.
FilterWidth = Annotated[int, Field(ge=1, le=15), check(lambda width: width % 2 == 1, "an odd number")]
OddWidth = Annotated[FilterWidth, Expected("an odd number of 1 to 15")]
Count = Annotated[int, Field(ge=1, le=MOST_SCANS)]


def _is_method(name: str) -> bool:
    return "." in name or name in METHODS


MethodName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
        json_schema_extra={"examples": [*METHODS]},
    ),
    check(_is_method, "a method"),
    Expected("the name of a method or a module of your own (a name with a dot)"),
]


def _is_field_of_view(grid: "GridSettings") -> "GridSettings":
    """Refuse a grid that fills the memory, or is no field of view of a brain."""
    shape, spacing = grid["shape"], grid["spacing"]
    if isinstance(shape, str):  # the whole brain
        return grid
    voxels = math.prod(shape)
    if voxels > MOST_VOXELS:
        raise PydanticCustomError(
            "message",
            "{key}.shape: {shape} found, {voxels} voxels, at most {most} expected; lower it, or take a coarser "
            "grid.spacing",
            {"shape": str(shape), "voxels": f"{voxels:,}", "most": f"{MOST_VOXELS:,}"},
        )
    extent = [round(size * spacing, 1) for size in shape]  # mm
    if min(extent) < GRID_MM[0] or max(extent) > GRID_MM[1]:
        raise PydanticCustomError(
            "message",
            "{key}: {shape} voxels of {spacing} mm found, {extent} mm, {least} to {most} mm along each axis expected, "
            "the size of a head; correct grid.shape or grid.spacing",
            {
                "shape": str(shape),
                "spacing": f"{spacing:g}",
                "extent": f"[{', '.join(f'{size:g}' for size in extent)}]",
                "least": GRID_MM[0],
                "most": GRID_MM[1],
            },
        )
    return grid


@group
class GridSettings(TypedDict):
    """The grid that scans are resampled to."""

    shape: Annotated[
        list[Annotated[int, Field(ge=8, le=1024)]],
        Field(min_length=3, max_length=3),
        OrWord(WHOLE_BRAIN),
        Expected("whole-brain, or three whole numbers of 8 to 1024"),
        key(
            "Voxels along x, y and z (z counts axial slices); or `whole-brain`: as many as 192 x 224 x 160 mm take, at "
            "any spacing. The paper's grid holds 87.5 % of the brain and cuts it off above and below; lesion that is "
            "lost this way counts as missed. Use `whole-brain` for your own scans.",
            default=[192, 192, 100],
        ),
    ]
    spacing: Annotated[
        float,
        key(
            "Isotropic voxel size, mm. The grid has at most 512^3 voxels, and 50 to 500 mm along each axis.",
            default=1.0,
            ge=0.1,  # as the smallest voxel of a scan that is believed
            le=10,  # a brain of about 15 voxels
        ),
    ]


@group
class PreprocessSettings(TypedDict):
    """Preprocessing, the same for every dataset."""

    registration: Annotated[
        Registration,
        key(
            "Transform to the atlas; the paper says rigid, its talk and code affine. For scans that others registered "
            "to this atlas: `none` believes their headers, `translation` moves them by whole voxels, for arrays that "
            "were cut since. See [Protocol](../docs/explanation/protocol.md) and [Scans that others have "
            "preprocessed](../docs/how-to/own-data.md#scans-that-others-have-preprocessed).",
            default="affine",
        ),
    ]
    bias_correction: Annotated[
        bool,
        key(
            "Whether the bias field is corrected (N4); false for scans that were corrected before. A model file "
            "records it, and the scans that the model scores are treated in the same way.",
            default=True,
        ),
    ]
    bias_field: Annotated[
        Literal["coarse", "full"],
        key(
            "What the bias field is fitted to: blocks of 8 mm, in seconds; or all voxels, by four levels of 200 "
            "iterations as in the paper's code, in minutes at 2 mm and up to an hour or more at 1 mm.",
            default="coarse",
        ),
    ]
    template: Annotated[
        Literal["same-contrast", "T1"],
        key(
            "Contrast of the atlas that scans are registered to; T1 for every modality in the paper's code.",
            default="same-contrast",
        ),
    ]
    crop: Annotated[
        Literal["atlas", "brain"],
        key(
            "Where the grid lies: at one place of the atlas; or around the brain of each scan, as in the paper's code.",
            default="atlas",
        ),
    ]
    brain_mask: Annotated[
        Literal["half", "any"],
        key(
            "Voxels of the grid that are brain: those that are at least half brain; or those where the interpolated "
            "mask is above 0, as in the paper's code, which dilates it.",
            default="half",
        ),
    ]
    smoothing: Annotated[
        Literal["none", "curvature-flow"],
        key("Smoothing of scans; curvature flow of 3 steps in the paper's code.", default="none"),
    ]


@group
class IntensitySettings(TypedDict):
    """Mapping of intensities to one scale."""

    landmarks: Annotated[
        Literal["brain", "box"],
        key(
            "Voxels that the landmarks of intensities (Nyul) are taken from: the brain; or its bounding box with the "
            "background in it, as in the paper's code, where half of the landmarks are then 0.",
            default="brain",
        ),
    ]
    scale: Annotated[
        Scale,
        key(
            "percentile: division by the 98th percentile of the brain; range: the 1st to the 99th percentile clipped "
            "and mapped to 0 to 1, as in the paper's code.",
            default="percentile",
        ),
    ]


@group
class DetectorSettings(TypedDict):
    """The detector of each modality, which `patch2loc detect` takes."""

    method: Annotated[
        str,
        key(
            "The method that predicts locations; it and zscore must be among `methods`.", default="patch2loc"
        ),
    ]
    healthy: Annotated[
        list[Literal["validation", "test"]],
        Unique(),
        key(
            "Roles of the healthy scans of the training data that results are compared with: one or both; nothing is "
            "trained on either. With both, percentiles rest on more scans, and the healthy test scans no longer test "
            "the results independently.",
            default=["validation"],
            min_length=1,
        ),
    ]
    ages: Annotated[
        list[Annotated[float, Field(ge=0, le=120)]] | None,
        key(
            "Least and greatest age of the training cohort in years; scans of people of other ages get a warning.",
            default=None,
            min_length=2,
            max_length=2,
        ),
    ]


@group
class TrainingSettings(TypedDict):
    """Training of the location network."""

    network: Annotated[
        str,
        key(
            "Name of the network in tables and figures; choose another name when `widths` are not the paper's.",
            default="resnet18",
        ),
    ]
    widths: Annotated[
        list[Annotated[int, Field(ge=4, le=4096, multiple_of=2)]],  # 4096: over a billion weights
        key(
            "Channels of the four layers of the encoder; the paper's are the default.",
            default=[64, 128, 256, 512],
            min_length=4,
            max_length=4,
        ),
    ]
    patches: Annotated[
        int,
        key(
            "Training budget, patches; the paper's 15,000 batches of 8,096 are the default. The number of batches is "
            "`patches / batch`, rounded up.",
            default=121440000,
            ge=1,
            le=10**11,  # about a thousand times the paper's
        ),
    ]
    batch: Annotated[
        int,
        key("Patches per batch.", default=8096, ge=2, le=10**6),  # more than the largest GPU holds
    ]
    learning_rate: Annotated[
        float,
        key(
            "Learning rate of Adam; the highest one if the schedule is one_cycle.", default=0.001, gt=0, le=1
        ),
    ]
    schedule: Annotated[
        Literal["constant", "one_cycle"], key("Learning rate over the batches.", default="constant")
    ]
    candidates: Annotated[
        int | None,
        key(
            "For each patch of `batch`, voxels of the slices that are drawn and kept where there is enough brain, so "
            "that batches vary in size: 4, which are 32,384, in the paper's code. `null`: exactly `batch` accepted "
            "patches.",
            default=None,
            ge=1,
            le=100,  # at least a hundredth of the slices of a batch is accepted
        ),
    ]
    slices: Annotated[
        Literal["independent", "in-turn"],
        key(
            "The slice of each subject in a batch: independent of other batches; or, as in the paper's code, each once "
            "before any comes again.",
            default="independent",
        ),
    ]
    location_unit: Annotated[
        Literal["standardized", "percent"],
        key(
            "Unit of locations in the loss: (location - 50) / 20, because raw percentages stall the training; or "
            "percent, as in the paper's code.",
            default="standardized",
        ),
    ]
    averaging: Annotated[
        float,
        key(
            "Decay per batch of a moving average of the weights and of the statistics of batch normalization, which is "
            "validated and kept instead of them; 0 for none, as in the paper.",
            default=0,
            ge=0,
            lt=1,
        ),
    ]
    beta: Annotated[
        float,
        key(
            "Exponent of the loss, the beta-NLL: 0 is the negative log-likelihood, 1 weights errors as a squared error "
            "does. The network is validated and kept by the likelihood in any case.",
            default=0.5,
            ge=0,
            le=1,
        ),
    ]
    slice_code: Annotated[
        bool, key("Whether the network is told the height of a patch's slice.", default=True)
    ]
    heads: Annotated[
        Literal["separate", "shared"],
        key(
            "`separate`: two networks from the latent vector to the mean and to the log-variance, the paper's; "
            "`shared`: one with two last layers.",
            default="separate",
        ),
    ]
    orientation: Annotated[
        Orientation,
        key(
            "Slices that patches and locations are in. The patch analysis and the paper's figures are of axial slices, "
            "so other ones are for `variants`.",
            default="axial",
        ),
    ]
    subjects: Annotated[
        int | None,
        key(
            "Number of training scans, drawn by `seed`; a smaller number is drawn from among those of a larger one. "
            "`null`: all. Landmarks, validation and test stay. Other methods take all scans, and a detector joins "
            "methods of the same scans, so numbers are for `variants`.",
            default=None,
            ge=1,
            le=MOST_SCANS,
        ),
    ]
    balance_sites: Annotated[
        bool,
        key(
            "Whether methods, those without patches too, learn about as much from each site: each training scan of a "
            "smaller site is repeated as often as the largest site has times its scans, rounded. Sites are in the "
            "column `site` of the training data's list. Landmarks, validation and test stay. [What it "
            "changes](../docs/explanation/more-sites.md).",
            default=False,
        ),
    ]
    validation_patches: Annotated[
        int,
        key(
            "Number of fixed patches that choose the best checkpoint, drawn once from the validation subjects.",
            default=65536,
            ge=2,
            le=10**6,  # of 24 x 24 voxels: 2.3 GB, held throughout the training
        ),
    ]
    validations: Annotated[
        int,
        key(
            "How often, evenly spread over the training, the network is validated and a checkpoint is written.",
            default=60,
            ge=1,
            le=10_000,
        ),
    ]
    threads: Annotated[
        int,
        key(
            "Processor threads of a training; numbers repeat exactly on a CPU only with the same number.",
            default=8,
            ge=1,
            le=1024,  # more than a node has
        ),
    ]
    memory_mb: Annotated[
        int,
        key(
            "Memory that a training asks for, MB: 5 bytes per voxel of every training and validation scan, as often as "
            "`balance_sites` repeats it, plus 2,000 MB.",
            default=24_000,
            ge=500,
            le=10**7,  # 10 TB, more than a node has
        ),
    ]


@group
class ScoreSettings(TypedDict):
    """Heatmaps."""

    stride: Annotated[
        int,
        key(
            "Distance between scored voxels in a slice, at most half of `patch`; above 1 the rest is interpolated. "
            "Scoring time falls with its square.",
            default=1,
            ge=1,
            le=512,  # half of the widest patch
        ),
    ]
    epsilon: Annotated[
        float,
        key(
            "Added to the squared error in the log-error of heatmaps, percent squared; 1.0e-10 in the paper's code. "
            "The patch analysis has 0.5 in any case, as there; so have the detector, its results and `patch2loc "
            "score`.",
            default=0.5,
            gt=0,
            le=10_000,  # the squared length of the grid
        ),
    ]
    tiles: Annotated[
        Tiles,
        key(
            "Patches of the patch analysis: whole ones, from the edge of the grid on; or, as in the paper's code, "
            "centered on the edge and on, so that the first are half outside.",
            default="whole",
        ),
    ]
    median_filter: Annotated[
        OddWidth,
        key(
            "Width of the cubic median filter in voxels, odd, at most 15; 1 means no filter. The same for every "
            "method.",
            default=7,
        ),
    ]
    median_filter_healthy: Annotated[
        FilterWidth | None,
        Expected("an odd number of 1 to 15, or null"),
        key(
            "The same for test scans of healthy datasets; `null`: as `median_filter`; 1, none, in the paper's code.",
            default=None,
        ),
    ]
    threads: Annotated[int, key("Processor threads of a scoring job.", default=4, ge=1, le=1024)]


@group
class ComponentSettings(TypedDict):
    """Settings of the score that the target `parts` tries, each with each, besides those of `score`."""

    epsilons: Annotated[
        list[Annotated[float, Field(gt=0, le=10**6)]],
        Unique(),
        key(
            "Added to the squared error before its logarithm, percent squared. In YAML a number with an exponent needs "
            "a point: `1.0e-10`.",
            default=[1e-10, 0.01, 0.5, 5],
        ),
    ]
    median_filters: Annotated[
        list[OddWidth],
        Unique(),
        key(
            "Widths of the cubic median filter in voxels, odd, at most 15; 1 means no filter.",
            default=[1, 3, 7],
        ),
    ]
    strides: Annotated[
        list[Annotated[int, Field(ge=1, le=512)]],
        Unique(),
        key("Distances between scored voxels in a slice, each at most half of `patch`.", default=[1, 2, 4]),
    ]


@group
class MetricSettings(TypedDict):
    """Choices behind the metrics of a scan."""

    background: Annotated[
        Literal["left-out", "zero"],
        key(
            "Voxels of the grid outside the brain mask: left out, and lesion among them is missed; or, as in the "
            "paper's code, ranked with the score 0, below which confident brain scores.",
            default="left-out",
        ),
    ]
    best_dice: Annotated[
        Literal["exact", "bisection"],
        key(
            "exact: the maximum over all thresholds; bisection: ten steps, as in the paper's code, which can miss it.",
            default="exact",
        ),
    ]
    off_grid: Annotated[
        Literal["missed", "ignored"],
        key(
            "Lesion off the grid: missed, so in the denominators of recall and Dice; or ignored, as in the paper's "
            "code.",
            default="missed",
        ),
    ]


@group
class TableSettings(TypedDict):
    """Choices behind tables."""

    correlation: Annotated[
        Literal["both", "partial", "all"],
        key(
            "Patches of Table 2: those of 10 to 90 % lesion, as the paper says; all, as in its code; or both.",
            default="both",
        ),
    ]


@group
class FigureSettings(TypedDict):
    """Look of the figures."""

    color_map: Annotated[
        Literal["jet", "viridis"],
        key(
            "Color map of heatmaps; jet is the paper's, viridis is safe for color-blind readers.",
            default="jet",
        ),
    ]
    densities: Annotated[
        Literal["whole", "clipped"],
        key(
            "Values that Figures 3 and 6 show: all; or those of each group clipped to its 1st to 99th percentile, as "
            "in the paper's code.",
            default="whole",
        ),
    ]


@group
class ReportSettings(TypedDict):
    """The report and the viewer beside it."""

    viewer_scans: Annotated[
        int,
        key(
            "Number of scans of each dataset in the folder of the viewer ([Report and "
            "viewer](../docs/explanation/report.md)); `patch2loc view` shows every scored scan. 1.5 MB each at 2 mm "
            "with three methods, 11 MB at 1 mm.",
            default=4,
            ge=0,
            le=MOST_SCANS,
        ),
    ]


@group
class PhantomSettings(TypedDict):
    """The simulated cohort, where a dataset's source is of kind phantom."""

    anatomy_spacing: Annotated[
        float, key("Voxel size at which the anatomy is deformed, mm.", default=1.0, ge=1, le=4)
    ]
    voxel_size: Annotated[
        list[
            Annotated[float, Field(ge=0.5, le=15)]
        ],  # below, hundreds of millions of voxels; above, none is believed
        key(
            "Voxel size of the simulated scans, mm, each 0.5 to 15; the third is the slice thickness.",
            default=[1.0, 1.0, 1.0],
            min_length=3,
            max_length=3,
        ),
    ]
    noise: Annotated[
        float,
        key(
            "Standard deviation of the noise over the intensity of white matter.",
            default=0.03,
            ge=0,
            le=1,  # a signal-to-noise ratio of 1
        ),
    ]


@group
class PretrainedSettings(TypedDict):
    """Files of weights trained elsewhere. Methods that can use one run without it where none is named, and say so."""

    resnet18_imagenet: Annotated[
        str | None, key("Path of torchvision's resnet18-f37072fd.pth.", default=None, min_length=1)
    ]
    vgg19_imagenet: Annotated[
        str | None, key("Path of torchvision's vgg19-dcbb9e9d.pth.", default=None, min_length=1)
    ]
    squeezenet1_1_imagenet: Annotated[
        str | None, key("Path of torchvision's squeezenet1_1-b8a52dc0.pth.", default=None, min_length=1)
    ]
    lpips_squeezenet: Annotated[
        str | None,
        key(
            "Path of squeeze.pth, the heads of LPIPS for SqueezeNet; goes with squeezenet1_1_imagenet.",
            default=None,
            min_length=1,
        ),
    ]


@group
class Combination(TypedDict):
    """A combination of methods."""

    of: Annotated[
        list[str],
        Unique(),
        key(
            "The methods to combine, at least two; calibrated and as-published ones have names of their own, e.g. "
            "patch2loc_calibrated."
        ),
    ]
    by: Annotated[Rule, key("How the ranks of a voxel among the voxels of its scan, 0 to 1, are combined.")]
    optional: Annotated[
        bool, key("true: no note where its methods are not all among `methods`.", default=False)
    ]


@group
class Joint(TypedDict):
    """A dataset made of several contrasts of the same people."""

    of: Annotated[
        list[str],
        Unique(),
        key(
            "Datasets of the same people, one for each modality, at least two, in which a person's scans have the same "
            "name. Lesions and title are those of the first."
        ),
    ]
    by: Annotated[
        Rule,
        key(
            "How the ranks that a voxel has in each scan of a person, among the voxels that all these scans score, are "
            "combined.",
            default="rank_average",
        ),
    ]


def _given_keys(training: Any, validate: Any) -> dict[str, Any]:
    """Validate changes of `training`, without the defaults of other keys."""
    filled = validate(training)
    return {name: filled[name] for name in training}


@group
class Variant(TypedDict):
    """A method trained with other settings."""

    method: Annotated[
        str,
        key(
            "The method of `methods`, one that predicts locations, whose settings the variant changes.",
            default="patch2loc",
        ),
    ]
    training: Annotated[
        TrainingSettings,
        WrapValidator(_given_keys),
        key("Keys of `training` that have another value.", default={}),
    ]
    patch_mm: Annotated[
        float | None,
        key(
            "Width of a patch, mm, instead of `patch`; an even number of voxels.",
            default=None,
            ge=0.8,  # 8 voxels of the finest grid
            le=500,
        ),
    ]


@group
class Lists(TypedDict):
    """Two lists of subjects, of which `split` of the run chooses one."""

    clean: str
    published: str


@group
class DrawnSplit(TypedDict):
    """A split that is drawn: numbers of people that validate in each fold and that are tested."""

    validation: Count
    test: Count
    seed: Seed


Bound = Annotated[float, Field(ge=-(10**9), le=10**9)]
End = Annotated[str, Field(pattern="^(from|to)$")]
Cell = str | int | float
Condition = Annotated[
    Cell | Annotated[list[Cell], Field(min_length=1)] | Annotated[dict[End, Bound], Field(min_length=1)],
    Expected(
        "text (yes, no and dates in quotes), a number, a list of these, or a range such as {from: 18, to: 60}"
    ),
]

# Keys of a source, each of several kinds.
Root = Annotated[
    str,
    key("Folder that paths are relative to, itself relative to `data`. Without it, paths start from `data`."),
]
Registry = Annotated[
    str,
    key(
        "Name in config/registry.csv, which says where the scans come from, and whether a run fetches them by itself "
        "(`fetch: scans`)."
    ),
]
LesionLabels = Annotated[
    list[Annotated[int, Field(ge=1, le=65535)]],  # label maps have 16 bits
    Unique(),
    key(
        "Labels of the lesion mask that are lesion; without this key, all labels above 0. A label that no scan of the "
        "dataset has is refused before one of its scans is scored; of a dataset divided by `role`, only if none of its "
        "labels occurs.",
        min_length=1,
    ),
]
InterpolatedMasks = Annotated[
    bool,
    key(
        "True if the brain and lesion masks were resampled to the scans' voxels by interpolation, so that they hold "
        "fractions of voxels: brain and lesion are where there is at least half, and `truth: any` takes all above 0. "
        "Excludes `lesion_labels`, as labels cannot be told apart after interpolation."
    ),
]


@group
class TableSource(TypedDict):
    """Scans of a table of paths."""

    kind: Literal["table"]
    table: Annotated[str, key("CSV with the columns subject, modality, scan, brain, lesion.")]
    root: NotRequired[Root]
    lesion_labels: NotRequired[LesionLabels]
    interpolated_masks: NotRequired[InterpolatedMasks]
    registry: NotRequired[Registry]


@group
class FolderSource(TypedDict):
    """Scans found by patterns of their paths."""

    kind: Literal["folder"]
    scan: Annotated[
        str,
        key(
            "Pattern of a scan's path: {subject} and other columns of the split are filled in, * must match exactly "
            "once."
        ),
    ]
    root: NotRequired[Root]
    brain: NotRequired[Annotated[str | None, key("Pattern of the brain mask's path.")]]
    lesion: NotRequired[Annotated[str | None, key("Pattern of the lesion mask's path.")]]
    lesion_labels: NotRequired[LesionLabels]
    interpolated_masks: NotRequired[InterpolatedMasks]
    registry: NotRequired[Registry]


@group
class BidsSource(TypedDict):
    """Scans of a BIDS dataset."""

    kind: Literal["bids"]
    root: Root
    scan: NotRequired[
        Annotated[str, key("End of a scan's name, such as acq-mprage_T1w; by default the modality's suffix.")]
    ]
    brain: NotRequired[Annotated[str | None, key("End of the brain mask's name, such as desc-brain_mask.")]]
    lesion: NotRequired[
        Annotated[str | None, key("End of the lesion mask's name, such as label-lesion_mask.")]
    ]
    derivatives: NotRequired[
        Annotated[
            str,
            key(
                "Folder of the masks, relative to `root`; without it, the dataset and every folder of its derivatives."
            ),
        ]
    ]
    lesion_labels: NotRequired[LesionLabels]
    interpolated_masks: NotRequired[InterpolatedMasks]
    registry: NotRequired[Registry]


@group
class PhantomSource(TypedDict):
    """A simulated cohort."""

    kind: Literal["phantom"]
    cohort: Annotated[Literal["healthy", "tumor", "ms", "stroke", "wmh"], key("What is simulated.")]
    count: Annotated[Count, key("Number of subjects; healthy: at least 5 x `validation` + `test`.")]
    validation: NotRequired[
        Annotated[Count, key("Healthy: subjects that a fold validates on; goes with `test`.")]
    ]
    test: NotRequired[Annotated[Count, key("Healthy: subjects kept for the test; goes with `validation`.")]]


@group
class PaintedSource(TypedDict):
    """Simulated strokes in real healthy scans."""

    kind: Literal["painted"]
    table: Annotated[str, key("CSV with the columns subject, scan, brain, mask, mirrored, seed.")]
    diameter_mm: NotRequired[
        Annotated[
            float,
            key(
                "The outlines are scaled to the volume of a ball of this diameter, mm, about their innermost point; "
                "without this key they keep their size.",
                ge=1,
                le=100,
            ),
        ]
    ]
    strength: NotRequired[
        Annotated[
            float,
            key(
                "Share of the way from tissue to fluid by which all lesions are darkened; drawn for each without this "
                "key.",
                gt=0,
                le=1,
            ),
        ]
    ]
    registry: NotRequired[Registry]


@group
class ControlledSource(TypedDict):
    """One kind of change of the tissue of real healthy scans, at set places and of set sizes (simulated)."""

    kind: Literal["controlled"]
    table: Annotated[str, key("CSV with the columns subject, scan, brain, seed, diameter_mm, amount.")]
    change: Annotated[
        Literal[
            "bright",
            "dark",
            "texture",
            "mass_effect",
            "blurred_border",
            "thick_cortex",
            "missing_sulci",
            "atrophy",
        ],
        key(
            "Change of the ball that a row's seed and diameter_mm set, by its amount, 0 to 1 ([what each "
            "is](../docs/explanation/controlled-lesions.md#changes))."
        ),
    ]
    registry: NotRequired[Registry]


@group
class RecontrastedSource(TypedDict):
    """Real healthy T1 scans, each rendered in a T2 contrast that is drawn (simulated)."""

    kind: Literal["recontrasted"]
    table: Annotated[str, key("CSV with the columns subject, scan, brain, seed.")]
    registry: NotRequired[Registry]


def _kind(source: Any) -> str | None:
    """The tag of a source, which no key is called like."""
    return f"kind {source.get('kind')}" if isinstance(source, Mapping) else None


def _one_description_of_labels(source: Any) -> Any:
    if source.get("interpolated_masks") and source.get("lesion_labels"):
        raise PydanticCustomError(
            "message",
            "{key}: lesion_labels and interpolated_masks found, one of them expected, as labels cannot be told apart "
            "after interpolation; leave one out",
        )
    return source


def _both_roles(source: Any) -> Any:
    present, absent = ("validation", "test") if "validation" in source else ("test", "validation")
    if present in source and absent not in source:
        raise PydanticCustomError(
            "message",
            "{key}: {present} found without {absent}, both expected, or none; add {absent}, or leave {present} out",
            {"present": present, "absent": absent},
        )
    return source


Source = Annotated[
    Annotated[TableSource, AfterValidator(_one_description_of_labels), Tag("kind table")]
    | Annotated[FolderSource, AfterValidator(_one_description_of_labels), Tag("kind folder")]
    | Annotated[BidsSource, AfterValidator(_one_description_of_labels), Tag("kind bids")]
    | Annotated[PhantomSource, AfterValidator(_both_roles), Tag("kind phantom")]
    | Annotated[PaintedSource, Tag("kind painted")]
    | Annotated[ControlledSource, Tag("kind controlled")]
    | Annotated[RecontrastedSource, Tag("kind recontrasted")],
    Discriminator(_kind),
]


def _by_pattern(dataset: Mapping[str, Any]) -> bool:
    """True for a source that has no masks unless they are named; a table has them in its rows."""
    return dataset["source"]["kind"] in ("folder", "bids")


@group
class DatasetSettings(TypedDict):
    """A dataset of one modality and one role. Two modalities of the same subjects are two datasets."""

    title: Annotated[str, key("Name in tables and figures.")]
    modality: Annotated[Modality, key("Contrast of the scans.")]
    role: Annotated[
        DatasetRole,
        key(
            "healthy: training, validation and test subjects by the split, or all tested where no model trains on it; "
            "lesion: tested, except validation subjects of its list; unlabeled: scans without truth, which get "
            "heatmaps and quality control, no numbers."
        ),
    ]
    split: Annotated[
        str | Lists | DrawnSplit | None,
        Expected(
            "a CSV, null, {clean: CSV, published: CSV}, or numbers of people and a seed such as {validation: 10, test: "
            "20, seed: 1}"
        ),
        key(
            "CSV with a column subject and, for training data, fold0, fold1, ... (train, validation, test or empty); "
            "or two of them, `{clean: CSV, published: CSV}`; or numbers of people, of whom the seed draws who "
            "validates in each fold and who is tested, `{validation: 10, test: 20, seed: 1}`. See [Subject "
            "lists](README.md#subject-lists).",
            default=None,
        ),
    ]
    where: Annotated[
        dict[str, Condition],
        key(
            "Only the subjects whose row in the table of subjects (`split`, or participants.tsv in the root) has these "
            "values, e.g. `{group: control, sex: [F, O], age: {from: 18, to: 60}}`. See [Choosing "
            "subjects](README.md#choosing-subjects).",
            default={},
        ),
    ]
    simulated: Annotated[
        bool,
        key(
            "True if the scans or their lesions are simulated; every table and figure says so.", default=False
        ),
    ]
    registration: Annotated[
        Registration | None,
        key(
            "Registration of this dataset, instead of preprocess.registration; none: the scans are already in the "
            "space of the atlas, as BraTS's are in SRI24's, and are only resampled to the grid.",
            default=None,
        ),
    ]
    bias_correction: Annotated[
        bool | None,
        key("Bias correction of this dataset, instead of preprocess.bias_correction.", default=None),
    ]
    leave_out: Annotated[
        list[str],
        Unique(),
        key(
            "Subjects that are known to be unusable; a run that had to leave out any other subject ends with an error.",
            default=[],
        ),
    ]
    published_name: Annotated[
        Literal["BraTS21", "MSLUB", "ATLAS", "WMH"] | None,
        key("Dataset of the paper whose published numbers stand beside ours.", default=None),
    ]
    skull_strip: Annotated[
        Literal["given", "none", "atlas", "auto", "hd-bet", "synthstrip"],
        key(
            "given: by the brain masks that come with the scans; none: the scans are stripped, and the brain is "
            "everything above 0; atlas: by registration of the atlas and by intensities, without learned weights; "
            "auto: as none for a scan that is stripped already, else as atlas; hd-bet, synthstrip: by these programs, "
            "which must be installed. See [Preprocessing](../docs/explanation/preprocessing.md).",
            default="atlas",
        ),
    ]
    source: Annotated[
        Source,
        key("Where the scans are."),
    ]


Dataset = Annotated[
    DatasetSettings,
    needs(lambda dataset: _by_pattern(dataset) and dataset["role"] == "lesion", "source.lesion"),
    needs(lambda dataset: _by_pattern(dataset) and dataset["skull_strip"] == "given", "source.brain"),
]
DatasetName = Annotated[
    str, Field(pattern=r"^[a-z0-9_]{1,100}$"), Expected("small letters, digits and _, at most 100,")
]
VariantName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_]{1,60}$"), Expected("letters, digits and _, at most 60,")
]
Checksum = Annotated[
    str,
    Field(pattern=r"^(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})$"),
    Expected("md5: or sha256: and 32 or 64 hexadecimal digits, small letters"),
]


@group
class Configuration(TypedDict):
    """A run. Unknown keys are refused. Paths are relative to the folder that Snakemake runs in."""

    preset: Annotated[
        Literal["cpu-2mm"] | None,
        key(
            "Settings that go together, each of which another key replaces. cpu-2mm: a study of own scans on a "
            "processor, in hours. See [Preset](README.md#preset).",
            default=None,
        ),
    ]
    results: Annotated[
        Folder,
        key(
            "Folder of all results. A run owns its folder: `make demo` uses `results/demo`, `make real` "
            "`results/real`, the paper `results/paper`."
        ),
    ]
    data: Annotated[
        Folder,
        key(
            "Folder that the roots of datasets are relative to. Give it on the command line with `--config "
            "data=/path/to/data`.",
            default="data",
        ),
    ]
    seed: Annotated[
        Seed,
        key(
            "Seed of simulation, initial weights, batches and bootstrap. A fold adds its number to that of its models. "
            "The same seed, configuration and kind of device give the same numbers.",
            default=3141,
        ),
    ]
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        key(
            "Precision of the network's encoder, in training and scoring; auto is bfloat16 on devices that multiply it "
            "faster (GPUs, processors with AMX or AVX512-BF16), else float32, which is without TF32 on a GPU, too. The "
            "published training is in float32 ([Precision of a "
            "training](../docs/explanation/performance.md#precision-of-a-training)).",
            default="auto",
        ),
    ]
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        key(
            "Device that networks run on; auto uses a GPU if there is one. Numbers of a CPU and of a GPU differ in the "
            "last digits.",
            default="auto",
        ),
    ]
    folds: Annotated[
        list[Annotated[int, Field(ge=0, le=99)]],  # a hundred trainings of every method
        Unique(),
        key(
            "Folds of cross-validation to train; the columns fold0, fold1, ... of the splits. `[0]` trains one model "
            "per method and modality.",
            default=[0, 1, 2, 3, 4],
            min_length=1,
        ),
    ]
    seeds_of_first_fold: Annotated[
        int,
        key(
            "Number of trainings of the first fold, each with another seed: of every method that runs a network. Above "
            "1, the table `seeds` holds the spread over seeds against that over folds; `ablations` takes all "
            "trainings, all other tables the first one of each fold.",
            default=1,
            ge=1,
            le=100,
        ),
    ]
    split: Annotated[
        ListVersion,
        key(
            "Which of two lists of subjects is used where a dataset names both; published is the list of the paper's "
            "code, in which some test subjects are also training subjects.",
            default="clean",
        ),
    ]
    methods: Annotated[
        list[MethodName],
        check(lambda methods: "patch2loc" in methods, "all or a list with patch2loc in it"),
        Unique(),
        OrWord(ALL, "all or a list with patch2loc in it"),
        key(
            "Methods to train and compare: names of the [table of methods](../docs/reference/methods/index.md), and "
            "modules of your own such as `mypackage.mymethod` ([Own method](../docs/how-to/add-a-method.md)). `all` "
            "instead of the list means every method of the package, that is the methods of Table 1, those that use "
            "Patch2Loc's network (dae_patch2loc, fae_patch2loc, patch2loc_inpainted), thresh_dark and the "
            "[controls](../docs/reference/methods/controls.md), without the variants of Patch2Loc.",
            default=["patch2loc", "thresh", "zscore"],
        ),
    ]
    combinations: Annotated[
        dict[str, Combination],
        key(
            "Methods made of the heatmaps of several methods, without a training of their own: `{both: {of: "
            "[patch2loc, dae], by: rank_average}}`. See [Combinations](README.md#combinations).",
            default={},
        ),
    ]
    joint: Annotated[
        dict[str, Joint],
        key(
            "Datasets made of several contrasts of the same people: for each, every method of the tables gets the "
            "heatmaps of a person's scans joined, under a modality such as T1+T2: `{both: {of: [own_t1, own_t2]}}`. "
            "See [Both contrasts of a subject](../docs/how-to/both-contrasts.md).",
            default={},
        ),
    ]
    variants: Annotated[
        dict[VariantName, Variant],
        key(
            "Methods of the table and figure `ablations`: a method with other settings, against the method as it is, "
            "in every lesion dataset and seed of the first fold: `{beta0: {training: {beta: 0}}}`. See "
            "[Variants](README.md#variants).",
            default={},
        ),
    ]
    budget: Annotated[
        Budget,
        key(
            "Length of training of the methods other than patch2loc and its variants: paper is as long as their "
            "authors', short a quarter of it or less, smoke takes minutes on a processor, with small networks. "
            "Patch2Loc and its variants follow `training`.",
            default="paper",
        ),
    ]
    method_settings: Annotated[
        dict[str, dict[str, Any]],
        key(
            "Single settings of methods other than patch2loc, which override those of the budget: `{ae: {steps: "
            "500}}`; for its variants, besides `training`: `{patch2loc_robust: {changes: []}}`. "
            "[Methods](../docs/reference/methods/index.md) lists them. Unknown names and values of another type are "
            "refused.",
            default={},
        ),
    ]
    training_data: Annotated[
        dict[Modality, str],
        key(
            "For each modality, the healthy dataset that its models are trained on, for example `{T1: ixi_t1, T2: "
            "ixi_t2}`. Every modality of `datasets` needs an entry."
        ),
    ]
    without: Annotated[
        list[str],
        Unique(),
        key(
            "Names of `datasets` that this run does without, for example because their scans cannot be had: `--config "
            "'without=[brats21]'`. With training data goes their modality: `'without=[ixi_t2]'` is T1 alone.",
            default=[],
        ),
    ]
    missing_scans: Annotated[
        Literal["stop", "skip"],
        key(
            "Scans that are not there: stop, one message about all of them, and nothing runs; skip, the run uses what "
            "is there, and tables say of how many: `--config missing_scans=skip`. See [A part of the "
            "data](../docs/how-to/data.md#a-part-of-the-data).",
            default="stop",
        ),
    ]
    checksums: Annotated[
        dict[str, Checksum],
        key(
            "Checksums that replace those of registry.csv, by the file's name there: `{IXI-T1.tar: 'md5:...'}`. The "
            "file with this checksum, of whatever size, is trusted and used. `snakemake data` names the checksum to "
            "state when a source has another release than the registry knows "
            "([Data](../docs/how-to/data.md#what-is-checked)).",
            default={},
        ),
    ]
    atlas: Annotated[
        str,
        key(
            "icbm152: the ICBM152 2009a maps that nilearn carries; or the folder of SRI24 (the paper's), relative to "
            "`data`, with spgr.nii and late.nii."
        ),
    ]
    patch: Annotated[
        int,
        key(
            "Width and height of a patch in voxels, 0.125 of the slice's width. At 2 mm: 12 voxels on a 96 x 96 slice.",
            default=24,
            ge=8,
            le=1024,  # as the grid; at most as wide as its slice
            multiple_of=2,
        ),
    ]
    truth: Annotated[
        Truth,
        key(
            "Which voxels of the grid are lesion: those that lesion fills at least half of; or any of, as in the code "
            "behind the printed tables, which dilates lesions ([Lesions on the "
            "grid](../docs/explanation/protocol.md#lesions-on-the-grid)). Metrics, thresholds, tables, patches and "
            "figures follow it. The columns auprc_any and best_dice_any are by any of a voxel whatever the key is. "
            "Another value repeats the evaluation, no training and no scoring.",
            default="half",
        ),
    ]
    grid: Annotated[GridSettings, AfterValidator(_is_field_of_view), key(default={})]
    preprocess: Annotated[PreprocessSettings, key(default={})]
    intensities: Annotated[IntensitySettings, key(default={})]
    training: Annotated[TrainingSettings, key(default={})]
    score: Annotated[ScoreSettings, key(default={})]
    detector: Annotated[DetectorSettings, key(default={})]
    parts: Annotated[ComponentSettings, key(default={})]
    metrics: Annotated[MetricSettings, key(default={})]
    tables: Annotated[TableSettings, key(default={})]
    figures: Annotated[FigureSettings, key(default={})]
    report: Annotated[ReportSettings, key(default={})]
    phantom: Annotated[PhantomSettings, key(default={})]
    pretrained: Annotated[PretrainedSettings, key(default={})]
    datasets: Annotated[dict[DatasetName, Dataset], key("The scans, by the name that paths and tables use.")]
