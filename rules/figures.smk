# The paper's figures, learning curves, the viewer, and the report that opens alone.
# What the code's hash does not see: pages and templates.
VIEWER_PAGES = [workflow.source_path(f"../workflow/scripts/patch2loc/report/viewer/{name}") for name in PAGE]
REPORT_PAGES = [
    workflow.source_path(f"../workflow/scripts/patch2loc/report/templates/{name}.j2")
    for name in ("template.html", "parts.html", "style.css")
]


rule fig1:
    """Figure 1: training and inference, drawn with scans, model and numbers of the run."""
    input:
        model=lambda wildcards: (
            f"{RESULTS}/models/patch2loc/{ABOUT[MOST_ABNORMAL]['modality']}/fold{FOLD}/model.safetensors"
        ),
        healthy=lambda wildcards: cohort(healthy_dataset(MOST_ABNORMAL), FOLD, "test"),
        metrics=metrics_of([MOST_ABNORMAL]),
    output:
        **figure("fig1"),
    log:
        f"{RESULTS}/logs/fig1.log",
    conda:
        NETWORK
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
    params:
        code=code_hash("patch2loc.figures.schematic", "patch2loc.methods.patch2loc", "patch2loc.standardize"),
        healthy=lambda wildcards: ABOUT[healthy_dataset(MOST_ABNORMAL)],
        lesion=ABOUT.get(MOST_ABNORMAL),
        preprocessed=f"{RESULTS}/preprocessed/{MOST_ABNORMAL}",
        stride=config["score"]["stride"],
        color_map=config["figures"]["color_map"],
    script:
        "../workflow/scripts/figure_schematic.py"


rule fig2:
    """Figure 2: predicted locations of normal and abnormal patches from the same places."""
    input:
        patches=patches_of([MOST_ABNORMAL]),
        healthy=lambda wildcards: patches_of([healthy_dataset(MOST_ABNORMAL)]),
        background=lambda wildcards: cohort(healthy_dataset(MOST_ABNORMAL), FOLD, "test"),
    output:
        **figure("fig2"),
    log:
        f"{RESULTS}/logs/fig2.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.figures.ellipses"),
        about=ABOUT.get(MOST_ABNORMAL),
        patch=config["patch"],
        seed=config["seed"],
    script:
        "../workflow/scripts/figure_ellipses.py"


rule fig3:
    """Figure 3: distributions of log-error, log-variance and score, tumors."""
    input:
        patches_of([MOST_ABNORMAL]),
    output:
        **figure("fig3"),
    log:
        f"{RESULTS}/logs/fig3.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.figures.kde"),
        datasets=[ABOUT.get(MOST_ABNORMAL)],
        seed=config["seed"],
    script:
        "../workflow/scripts/figure_kde.py"


rule fig4:
    """Figure 4: scan, heatmap and truth, one subject of each dataset."""
    input:
        metrics=metrics_of(LESION),
        heatmaps=heatmaps_of(LESION),
    output:
        **figure("fig4"),
    log:
        f"{RESULTS}/logs/fig4.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.figures.slices"),
        datasets={name: ABOUT[name] for name in LESION},
        preprocessed=f"{RESULTS}/preprocessed",
        color_map=config["figures"]["color_map"],
        rows=1,
    script:
        "../workflow/scripts/figure_lesions.py"


rule fig5:
    """Figure 5: heatmaps of healthy test scans."""
    input:
        heatmaps=heatmaps_of(HEALTHY),
    output:
        **figure("fig5"),
    log:
        f"{RESULTS}/logs/fig5.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.figures.slices"),
        datasets={name: ABOUT[name] for name in HEALTHY},
        subjects={name: subjects(name, FOLD) for name in HEALTHY},
        preprocessed=f"{RESULTS}/preprocessed",
        color_map=config["figures"]["color_map"],
        rows=4,
    script:
        "../workflow/scripts/figure_healthy.py"


rule fig6:
    """Figure 6: distributions as in figure 3, every dataset and the healthy test scans."""
    input:
        patches_of(LESION + HEALTHY),
    output:
        **figure("fig6"),
    log:
        f"{RESULTS}/logs/fig6.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.figures.kde"),
        datasets=[ABOUT[name] for name in LESION + HEALTHY],
        seed=config["seed"],
    script:
        "../workflow/scripts/figure_kde.py"


rule fig7:
    """Figure 7: more heatmaps of healthy test scans."""
    input:
        heatmaps=heatmaps_of(HEALTHY),
    output:
        **figure("fig7"),
    log:
        f"{RESULTS}/logs/fig7.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.figures.slices"),
        datasets={name: ABOUT[name] for name in HEALTHY},
        subjects={name: subjects(name, FOLD) for name in HEALTHY},
        preprocessed=f"{RESULTS}/preprocessed",
        color_map=config["figures"]["color_map"],
        rows=8,
    script:
        "../workflow/scripts/figure_healthy.py"


for number, name in LESION_FIGURES.items():

    rule:
        """Figures 8 and on, one for each lesion dataset: scan, heatmap and truth of several subjects."""
        name:
            f"fig{number}"
        input:
            metrics=metrics_of([name]),
            heatmaps=heatmaps_of([name]),
        output:
            **figure(f"fig{number}", CAPTIONS[number]),
        log:
            f"{RESULTS}/logs/fig{number}.log",
        conda:
            STATISTICS
        params:
            code=code_hash("patch2loc.figures.slices"),
            datasets={name: ABOUT[name]},
            preprocessed=f"{RESULTS}/preprocessed",
            color_map=config["figures"]["color_map"],
            rows=5,
        script:
            "../workflow/scripts/figure_lesions.py"


rule learning_curve:
    input:
        f"{RESULTS}/models/patch2loc/{{modality}}/fold{{fold}}/history.csv",
    output:
        **figure("learning_curve_{modality}_fold{fold}", "learning_curve"),
    log:
        f"{RESULTS}/logs/learning_curve_{{modality}}_fold{{fold}}.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.figures.learning_curve"),
        simulated=lambda wildcards: ABOUT[config["training_data"][wildcards.modality]]["simulated"],
    script:
        "../workflow/scripts/figure_learning_curve.py"


rule viewer:
    """The interactive viewer: its page, and the files of some scans of every dataset."""
    input:
        heatmaps=expand(
            f"{RESULTS}/heatmaps/{{method}}/{{dataset}}/fold{FOLD}", method=SCORED, dataset=list(DATASETS)
        ),
        calibrations=[
            calibration_of(method, name, FOLD)
            for method in filter(method_names.is_calibrated, EVALUATED)
            for name in DATASETS
        ],
        metrics=metrics_of(LESION + HEALTHY),
        cohorts=[cohort(name, FOLD, "test") for name in DATASETS],
        pages=VIEWER_PAGES,
    output:
        directory(f"{RESULTS}/report"),
    log:
        f"{RESULTS}/logs/viewer.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        code=code_hash("patch2loc.report.viewer.folder"),
        datasets=ABOUT,
        methods=sorted(
            [method for method in EVALUATED if not method_names.is_as_published(method)],
            key=lambda method: method_names.scored_by(method) != "patch2loc",
        ),
        scans_shown=config["report"]["viewer_scans"],
        fold=FOLD,
        color_map=config["figures"]["color_map"],
    script:
        "../workflow/scripts/viewer.py"


rule report_page:
    """The report: one HTML page with all tables, figures, subjects and quality control, opens offline."""
    input:
        tables=expand(f"{RESULTS}/tables/{{table}}.html", table=TABLES),
        provenance=expand(f"{RESULTS}/tables/{{table}}.csv.provenance.json", table=TABLES),
        metrics=evaluated("metrics/{method}/{dataset}/fold{fold}.csv", LESION + HEALTHY, EVALUATED),
        figures=expand(f"{RESULTS}/figures/fig{{number}}.png", number=FIGURES),
        captions=[workflow.source_path(f"../workflow/report/{CAPTIONS[number]}.rst") for number in FIGURES],
        more_figures=expand(f"{RESULTS}/figures/{{name}}.png", name=MORE_FIGURES),
        more_captions=[workflow.source_path(f"../workflow/report/{name}.rst") for name in MORE_FIGURES],
        transfer=rules.transfer.output.csv,
        curves=LEARNING_CURVES,
        quality=rules.quality.output,
        viewer=rules.viewer.output,
        pages=REPORT_PAGES,
    output:
        f"{RESULTS}/report.html",
    log:
        f"{RESULTS}/logs/report_page.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    params:
        code=code_hash("patch2loc.report.page"),
        preprocessed=f"{RESULTS}/preprocessed",
        datasets=ABOUT,
        configuration={key: value for key, value in config.items() if key != "datasets"},
        protocol=PROTOCOL,
        main_figures=["fig4"] if LESION else ["fig5"],
    script:
        "../workflow/scripts/report_page.py"
