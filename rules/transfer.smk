# Transfer: whether scans are like those of the training, before any number about lesions is believed.
rule transfer:
    """Location error in healthy tissue by dataset and site: table and figure."""
    input:
        evaluated("patches/{method}/{dataset}/fold{fold}.parquet", HEALTHY + LESION + UNLABELED, LOCATING),
    output:
        **table("transfer"),
        **figure("transfer"),
    log:
        f"{RESULTS}/logs/transfer.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_hash("patch2loc.tables.domain_shift", "patch2loc.figures.domain_shift"),
        methods=LOCATING,
        datasets={name: ABOUT[name] | {"sites": sites(name)} for name in HEALTHY + LESION + UNLABELED},
        training=config["training_data"],
        folds=FOLDS,
        seed=config["seed"],
    script:
        "../workflow/scripts/transfer.py"
