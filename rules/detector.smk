# A detector: a localizing model, the voxelwise z-score, and the healthy validation scans that answers are read by.


rule detector:
    """Detector of a modality: one file that `patch2loc detect` takes."""
    input:
        unpack(by_wildcards(RUN.parts_of_detector, "modality", "fold")),
    output:
        RESULTS.detector(),
    log:
        RESULTS.log("detector/{modality}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("detector/{modality}_fold{fold}")
    conda:
        NETWORK
    resources:
        **growing(mem_mb=6000, runtime=240),
    params:
        code=lambda wildcards: code_hash(
            module_name(config["detector"]["method"]), module_name("zscore"), "patch2loc.score.detector"
        ),
        about=by_wildcards(RUN.about_detector, "modality"),
        sites=by_wildcards(RUN.sites_of_training, "modality"),
        median_filter=config["score"]["median_filter"],
    script:
        "../workflow/scripts/detector.py"
