# Nyul landmarks, per modality and fold, from training subjects only.
from patch2loc.plan.train import training_cohort


rule landmarks:
    input:
        planned(training_cohort, "modality", "fold", role="train"),
    output:
        RESULTS.landmarks(),
    log:
        RESULTS.log("landmarks/{modality}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("landmarks/{modality}_fold{fold}")
    conda:
        IMAGING
    resources:
        **growing(mem_mb=1500, runtime=60),
    params:
        code=lambda wildcards: code_hash("patch2loc.standardize"),
        intensities=config["intensities"],
    script:
        "../workflow/scripts/landmarks.py"
