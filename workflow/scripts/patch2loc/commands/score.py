"""patch2loc score: heatmaps of scans with a model of the workflow."""

import argparse

from patch2loc.commands.memory import tell_little_memory
from patch2loc.commands.options import (
    SKULL_STRIP,
    Subcommands,
    add_computing_options,
    add_mask_option,
    add_method_option,
)
from patch2loc.commands.scans import Progress, folders_of, matching, one_by_one, one_for_each
from patch2loc.data.modalities import MODALITIES

DESCRIPTION = """\
Preprocess scans as the model's training scans were, score every voxel of the brain, and write to DIR
(with several scans to DIR/NAME, NAME being the scan's file name):

  heatmap.nii.gz        abnormality score on the scan's own voxels, NaN outside the brain
  heatmap_atlas.nii.gz  the same on the grid of the atlas
  heatmap.png           slices of scan and heatmap
  summary.json          numbers, and what they depend on
  preprocessed/         scan and brain mask on the grid, transform, quality control (qc.png)

What is in DIR already is kept if it would come out the same, and made again if it is damaged; anything else there
is refused. One command at a time works in DIR."""


def add(commands: Subcommands) -> None:
    """Add the subcommand."""
    score = commands.add_parser(
        "score",
        help="make heatmaps of scans with a workflow model",
        usage="%(prog)s SCAN [SCAN ...] --model MODEL --output DIR [--mask MASK] [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
    )
    score.add_argument(
        "scans", metavar="SCAN", nargs="+", help="NIfTI scan as the scanner gave it, or skull-stripped"
    )
    score.add_argument(
        "--model", required=True, help="model.safetensors of the workflow, or a .ckpt of the paper's authors"
    )
    score.add_argument("--output", required=True, metavar="DIR", help="folder to write to")
    add_mask_option(score)
    score.add_argument(
        "--skull-strip",
        choices=SKULL_STRIP,
        help="how the brain is found: a mask (given), all above 0 (none, for stripped scans), without trained "
        "weights (atlas), none or atlas by what the scan is (auto), or by an installed program; default: given with "
        "--mask, else atlas",
    )
    add_computing_options(score)
    add_method_option(score)
    checkpoint_options = score.add_argument_group(
        "for a .ckpt", "It stores neither modality nor landmarks; --atlas has to be the folder of SRI24."
    )
    checkpoint_options.add_argument("--modality", choices=list(MODALITIES))
    checkpoint_options.add_argument(
        "--landmarks",
        metavar="FILE",
        help="landmarks/T1/fold0.json of the workflow (config/released_code.yaml), or the .npy of "
        "intensity-normalization's save_standard_histogram",
    )
    score.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    tell_little_memory()

    from patch2loc.engine.device import select_device, select_precision
    from patch2loc.own_scan import STAGES, load_scorer, score_own_scan

    scans = matching(arguments.scans)
    folders = folders_of(scans, arguments.output)
    masks = one_for_each(scans, "--mask", arguments.mask)
    device = select_device(arguments.device)
    scorer = load_scorer(
        arguments.model,
        device,
        atlas=arguments.atlas,
        modality=arguments.modality,
        landmarks_path=arguments.landmarks,
        precision=select_precision(arguments.precision, device),
        method=arguments.method,
    )

    def score(place: int, progress: Progress) -> None:
        scan, folder, mask = scans[place], folders[place], masks[place]
        summary = score_own_scan(
            scorer,
            scan,
            folder,
            mask_path=mask,
            skull_strip=arguments.skull_strip or ("given" if mask else "atlas"),
            stage_done=progress.stage_done,
            notify=progress.notify,
        )
        for flag in summary["flags"]:
            progress.notify(f"{scan}: {flag}: look at {folder}/preprocessed/qc.png")
        progress.tell(f"{folder}/heatmap.nii.gz")

    return 1 if one_by_one(scans, folders, STAGES, score) else 0
