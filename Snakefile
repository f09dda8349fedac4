# Patch2Loc: configuration, includes and targets.  The stages are in rules/, their code in workflow/scripts/.
from snakemake.utils import min_version

min_version("9.0")

# Less than a whole configuration is read on top of the paper's.
if not {"datasets", "training_data"} <= config.keys():

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/acquire.smk"
include: "rules/preprocess.smk"
include: "rules/standardize.smk"
include: "rules/train.smk"
include: "rules/score.smk"
include: "rules/detector.smk"
include: "rules/patients.smk"
include: "rules/evaluate.smk"
include: "rules/parts.smk"
include: "rules/outputs.smk"
include: "rules/results.smk"
include: "rules/report.smk"


from snakemake_scripts import compare_by_content

# Not those of a workflow that imports this one.
compare_by_content(rule for rule in workflow.rules if rule.module_globals is globals())


onsuccess:
    # A finished training needs no checkpoint, which is four times as large as its model.
    for model in filter(Path.exists, map(Path, results_of(RESULTS.model(), "train"))):
        for checkpoint in model.parent.glob("*checkpoint-*.pt"):
            checkpoint.unlink()
    # Once more, since the jobs have moved it off the screen.
    if note := missing_note(PLAN):
        logger.warning(note, extra={"event": "note"})
    # A whole run has failed then (every_scan_used); a run of one target, such as quality, has not.
    if note := unused_scans_note(PLAN):
        logger.warning(as_told(note), extra={"event": "note"})


# Targets that gather several results.  Each table and figure is one too: `snakemake --list-target-rules`.
localrules:
    all,
    figures,
    models,
    detectors,
    heatmaps,
    metrics,
    native_space,


rule all:
    """Everything: tables, figures, and the report that opens alone."""
    input:
        rules.report_page.output,
        rules.crate.output,
        rules.every_scan_used.output,
        [RESULTS.table(name) for name in OUTPUTS.tables],
        rules.subject_lists.output,
        results_of(RESULTS.learning_curve(), "learning_curve"),
        [RESULTS.figure(name, suffix) for name in OUTPUTS.figures for suffix in (".png", ".pdf")],
        every_heatmaps(PLAN, UNLABELED),


rule figures:
    """All figures: the paper's, those beyond it, learning curves."""
    input:
        [RESULTS.figure(name) for name in OUTPUTS.figures],
        results_of(RESULTS.learning_curve(), "learning_curve"),


rule models:
    """Models of every method, variant, modality and fold."""
    input:
        results_of(RESULTS.model(), "train"),


rule detectors:
    """A detector of every modality, of the first fold: what `patch2loc detect --model` takes."""
    input:
        expand(RESULTS.detector(), modality=tuple(PLAN.training_data), fold=FIRST_FOLD),


rule heatmaps:
    """Heatmaps of every method, dataset and fold, on the grid."""
    input:
        results_of(RESULTS.heatmaps(), "score", "combine"),


rule metrics:
    """Metrics of every row, dataset, fold and subject."""
    input:
        results_of(RESULTS.metrics(), "evaluate"),


rule native_space:
    """Patch2Loc's heatmaps of lesion and unlabeled datasets, carried back to the voxels of the scans."""
    input:
        every(RESULTS.native_space_heatmaps(), LESION + UNLABELED, ["patch2loc"], FOLDS),
