# The paper's figures, and learning curves.
TUMOR_DATASET = DELIVERABLES.tumor_dataset  # shown in figures 1 to 3


rule fig1:
    """Figure 1: training and inference, drawn with scans, model and numbers of the run."""
    input:
        model=lambda wildcards: RUN.model("patch2loc", TUMOR_DATASET, FIRST_FOLD),
        healthy=lambda wildcards: RUN.cohort(RUN.training_dataset(TUMOR_DATASET), FIRST_FOLD, role="test"),
        metrics=of_first_fold(RESULTS.metrics(), [TUMOR_DATASET]),
    output:
        **figure("fig1"),
    log:
        RESULTS.log("fig1"),
    benchmark:
        RESULTS.benchmark("fig1")
    conda:
        NETWORK
    resources:
        **growing(mem_mb=3000),
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.figures.schematic",
            "patch2loc.methods.patch2loc",
            "patch2loc.models",
            "patch2loc.standardize",
            "patch2loc.data.labels",
        ),
        healthy=lambda wildcards: LABELS[RUN.training_dataset(TUMOR_DATASET)],
        lesion=LABELS.get(TUMOR_DATASET),
        preprocessed=RESULTS.preprocessed_dataset(TUMOR_DATASET),
        stride=config["score"]["stride"],
        truth=config["truth"],
        color_map=config["figures"]["color_map"],
    script:
        "../workflow/scripts/figure_schematic.py"


rule fig2:
    """Figure 2: predicted locations of normal and abnormal patches from the same places."""
    input:
        patches=of_first_fold(RESULTS.patches(), [TUMOR_DATASET]),
        healthy=lambda wildcards: of_first_fold(RESULTS.patches(), [RUN.training_dataset(TUMOR_DATASET)]),
        background=lambda wildcards: RUN.cohort(RUN.training_dataset(TUMOR_DATASET), FIRST_FOLD, role="test"),
    output:
        **figure("fig2"),
    log:
        RESULTS.log("fig2"),
    benchmark:
        RESULTS.benchmark("fig2")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.figures.ellipses", "patch2loc.data.labels", "patch2loc.data.scans"
        ),
        about=LABELS.get(TUMOR_DATASET),
        patch=config["patch"],
        seed=config["seed"],
    script:
        "../workflow/scripts/figure_ellipses.py"


rule fig3:
    """Figure 3: distributions of log-error, log-variance and score, tumors."""
    input:
        of_first_fold(RESULTS.patches(), [TUMOR_DATASET]),
    output:
        **figure("fig3"),
    log:
        RESULTS.log("fig3"),
    benchmark:
        RESULTS.benchmark("fig3")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash("patch2loc.figures.kde", "patch2loc.data.labels"),
        datasets=[LABELS.get(TUMOR_DATASET)],
        seed=config["seed"],
        densities=config["figures"]["densities"],
    script:
        "../workflow/scripts/figure_kde.py"


rule fig4:
    """Figure 4: scan, heatmap and truth, one subject of each dataset."""
    input:
        metrics=of_first_fold(RESULTS.metrics(), LESION),
        heatmaps=of_first_fold(RESULTS.heatmaps(), LESION),
    output:
        **figure("fig4"),
    log:
        RESULTS.log("fig4"),
    benchmark:
        RESULTS.benchmark("fig4")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.figures.slices", "patch2loc.data.labels", "patch2loc.data.scans"
        ),
        datasets=RUN.labels(LESION),
        preprocessed=RESULTS.preprocessed_folder(),
        truth=config["truth"],
        color_map=config["figures"]["color_map"],
        rows=1,
    script:
        "../workflow/scripts/figure_lesions.py"


rule fig5:
    """Figure 5: heatmaps of healthy test scans."""
    input:
        heatmaps=of_first_fold(RESULTS.heatmaps(), HEALTHY),
    output:
        **figure("fig5"),
    log:
        RESULTS.log("fig5"),
    benchmark:
        RESULTS.benchmark("fig5")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.figures.slices", "patch2loc.data.labels", "patch2loc.data.scans"
        ),
        datasets=RUN.labels(HEALTHY),
        subjects={name: DATASETS[name].subjects(FIRST_FOLD) for name in HEALTHY},
        preprocessed=RESULTS.preprocessed_folder(),
        color_map=config["figures"]["color_map"],
        rows=4,
    script:
        "../workflow/scripts/figure_healthy.py"


rule fig6:
    """Figure 6: distributions as in figure 3, every dataset and the healthy test scans."""
    input:
        of_first_fold(RESULTS.patches(), LESION + HEALTHY),
    output:
        **figure("fig6"),
    log:
        RESULTS.log("fig6"),
    benchmark:
        RESULTS.benchmark("fig6")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash("patch2loc.figures.kde", "patch2loc.data.labels"),
        datasets=[LABELS[name] for name in LESION + HEALTHY],
        seed=config["seed"],
        densities=config["figures"]["densities"],
    script:
        "../workflow/scripts/figure_kde.py"


rule fig7:
    """Figure 7: more heatmaps of healthy test scans."""
    input:
        heatmaps=of_first_fold(RESULTS.heatmaps(), HEALTHY),
    output:
        **figure("fig7"),
    log:
        RESULTS.log("fig7"),
    benchmark:
        RESULTS.benchmark("fig7")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.figures.slices", "patch2loc.data.labels", "patch2loc.data.scans"
        ),
        datasets=RUN.labels(HEALTHY),
        subjects={name: DATASETS[name].subjects(FIRST_FOLD) for name in HEALTHY},
        preprocessed=RESULTS.preprocessed_folder(),
        color_map=config["figures"]["color_map"],
        rows=8,
    script:
        "../workflow/scripts/figure_healthy.py"


for number, name in DELIVERABLES.lesion_figures.items():

    rule:
        """Figures 8 and on, one for each lesion dataset: scan, heatmap and truth of several subjects."""
        name:
            f"fig{number}"
        input:
            metrics=of_first_fold(RESULTS.metrics(), [name]),
            heatmaps=of_first_fold(RESULTS.heatmaps(), [name]),
        output:
            **figure(f"fig{number}", DELIVERABLES.caption(number)),
        log:
            RESULTS.log(f"fig{number}"),
        benchmark:
            RESULTS.benchmark(f"fig{number}")
        conda:
            STATISTICS
        params:
            code=lambda wildcards: code_hash(
                "patch2loc.figures.slices", "patch2loc.data.labels", "patch2loc.data.scans"
            ),
            datasets=RUN.labels([name]),
            preprocessed=RESULTS.preprocessed_folder(),
            truth=config["truth"],
            color_map=config["figures"]["color_map"],
            rows=5,
        script:
            "../workflow/scripts/figure_lesions.py"


rule learning_curve:
    input:
        RESULTS.history("patch2loc"),
    output:
        **figure("learning_curve_{modality}_fold{fold}", "learning_curve"),
    log:
        RESULTS.log("learning_curve_{modality}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("learning_curve_{modality}_fold{fold}")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash("patch2loc.figures.learning_curve", "patch2loc.data.labels"),
        simulated=lambda wildcards: LABELS[RUN.training_data[wildcards.modality]]["simulated"],
    script:
        "../workflow/scripts/figure_learning_curve.py"
