# A detector: a localizing model, the voxelwise z-score, and the healthy validation scans that answers are read by.
from patch2loc.plan.detector import about_detector, parts_of_detector
from patch2loc.plan.train import sites


rule detector:
    """Detector of a modality: one file that `patch2loc detect` takes."""
    input:
        unpack(planned(parts_of_detector, "modality", "fold")),
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
        about=planned(about_detector, "modality"),
        sites=planned(sites, "modality"),
        median_filter=config["score"]["median_filter"],
    script:
        "../workflow/scripts/detector.py"
