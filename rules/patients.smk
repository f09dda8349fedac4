# Reports about scans without truth, by the run's own detector: what `patch2loc detect` says.


rule patient:
    input:
        unpack(by_wildcards(RUN.scan_parts, "dataset", "subject")),
        detector=by_wildcards(RUN.detector, "dataset"),
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
        atlas=RUN.atlas,
        device=config["device"],
        precision=config["precision"],
    script:
        "../workflow/scripts/patient.py"
