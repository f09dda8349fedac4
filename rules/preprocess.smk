# Skull stripping, registration to the atlas, one resampling, bias correction: one job per scan.  With few input and
# params functions, because Snakemake calls each of them for thousands of scans.
from patch2loc.plan import preprocess
from patch2loc.preprocess.external_tools import TOOLS

STRIPPED_ON_GPU = [name for name in DATASETS if GPU and DATASETS[name].settings["skull_strip"] in TOOLS]
# Of each dataset; put together once, not for every scan.
PREPROCESSING_PARAMETERS = {name: dataset.preprocessing_parameters for name, dataset in DATASETS.items()}


rule preprocess:
    input:
        unpack(planned(preprocess.scan_parts, "dataset", "subject")),
    output:
        report(
            directory(RESULTS.preprocessed()),
            patterns=["qc.png"],
            category="Quality control",
            subcategory="{dataset}",
            labels={"subject": "{subject}"},
            caption="../workflow/report/qc.rst",
        ),
    log:
        RESULTS.log("preprocess/{dataset}/{subject}"),
    benchmark:
        RESULTS.benchmark("preprocess/{dataset}/{subject}")
    group:
        "preprocess"
    conda:
        IMAGING
    resources:
        **growing(mem_mb=2000, runtime=preprocess.minutes(PLAN)),
        gpu=(lambda wildcards: int(wildcards.dataset in STRIPPED_ON_GPU)) if STRIPPED_ON_GPU else 0,
    params:
        code=lambda wildcards: code_hash(*PREPROCESSING),
        device=config["device"],
        atlas=atlas(PLAN.config),
        grid=config["grid"],
        dataset=lambda wildcards: PREPROCESSING_PARAMETERS[wildcards.dataset],
    script:
        "../workflow/scripts/preprocess.py"


# A list of scans, so that a later stage depends on one file instead of thousands.
rule cohort_list:
    input:
        planned(preprocess.scans_of_cohort, "dataset", "cohort"),
        # As they are: what is under `leave_out` is not preprocessed again.
        before_update(planned(preprocess.unusable_scans_of_cohort, "dataset", "cohort")),
    output:
        RESULTS.cohort(),
    log:
        RESULTS.log("cohorts/{dataset}_{cohort}"),
    benchmark:
        RESULTS.benchmark("cohorts/{dataset}_{cohort}")
    wildcard_constraints:
        cohort=r"all|(?:train|validation|test)_fold\d+",
    conda:
        IMAGING
    resources:
        **growing(mem_mb=500, runtime=30),
    params:
        code=lambda wildcards: code_hash("patch2loc.data.scans"),
        modality=lambda wildcards: DATASETS[wildcards.dataset].modality,
        expected_labels=lambda wildcards: DATASETS[wildcards.dataset].expected_labels,
    script:
        "../workflow/scripts/cohort_list.py"


rule quality:
    """Quality control: one table of every scan, with the ones that were left out and why."""
    input:
        [RESULTS.preprocessed(name, scan) for name, dataset in DATASETS.items() for scan in dataset.scans],
    output:
        in_report(RESULTS.table("quality"), "Tables", "quality", table="quality control", format="CSV"),
    log:
        RESULTS.log("quality"),
    benchmark:
        RESULTS.benchmark("quality")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash("patch2loc.tables.quality"),
        modalities={name: dataset.modality for name, dataset in DATASETS.items()},
    script:
        "../workflow/scripts/quality.py"


rule subject_lists:
    """Who trains, validates and is tested in each fold, and how many, also of subjects with two of these roles."""
    output:
        counts=in_report(
            RESULTS.table("subject_lists"), "Tables", "subject_lists", table="subject lists", format="CSV"
        ),
        roles=RESULTS.table("subject_roles"),
        missing=RESULTS.table("missing_scans"),
    log:
        RESULTS.log("subject_lists"),
    benchmark:
        RESULTS.benchmark("subject_lists")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash("patch2loc.data.splits"),
        split=config["split"],
        roles=preprocess.subject_roles(PLAN),
        missing=preprocess.passed_over(PLAN),
        lists={
            name: {fold: DATASETS[name].roles(fold) for fold in FOLDS}
            for name in HEALTHY
            if DATASETS[name].has_roles
        },
    script:
        "../workflow/scripts/subject_lists.py"
