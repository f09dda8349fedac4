# Reports about scans without truth, by the run's own detector: what `patch2loc detect` says.
from patch2loc.plan.detector import detector
from patch2loc.plan.preprocess import scan_parts


rule patient:
    input:
        unpack(planned(scan_parts, "dataset", "subject")),
        detector=planned(detector, "dataset"),
    output:
        directory(RESULTS.patient()),
    log:
        RESULTS.log("patient/{dataset}/{subject}"),
    benchmark:
        RESULTS.benchmark("patient/{dataset}/{subject}")
    wildcard_constraints:
        dataset=any_of(UNLABELED),
    conda:
        NETWORK
    threads: config["score"]["threads"]
    resources:
        **growing(mem_mb=4000, runtime=120),
        gpu=GPU,
    params:
        code=lambda wildcards: code_hash(
            module_name(config["detector"]["method"]),
            module_name("zscore"),
            "patch2loc.own_scan",
            "patch2loc.tables.patients",
        ),
        method=config["detector"]["method"],
        skull_strip=lambda wildcards: DATASETS[wildcards.dataset].settings["skull_strip"],
        age=lambda wildcards: DATASETS[wildcards.dataset].ages.get(wildcards.subject),
        atlas=atlas(PLAN.config),
        device=config["device"],
        precision=config["precision"],
    script:
        "../workflow/scripts/patient.py"
