# What the rules did, for the crate: read from the rules themselves.
from itertools import product
from types import SimpleNamespace


def jobs_of(name, about=None, **wildcards):
    """What a rule did, for every combination of its wildcards."""
    made_by = getattr(getattr(rules, name), "rule")
    for values in product(*wildcards.values()):
        chosen = dict(zip(wildcards, map(str, values)))
        code = made_by.params.code
        yield {
            "rule": name,
            "about": about or made_by.docstring or "",
            "code": code(SimpleNamespace(**chosen)) if callable(code) else code,
            # Files of the repository lie in a cache, whose name is another one in each run.
            "inputs": [str(path).rpartition("/rules/../")[2] for path in made_by.expand_input(chosen)[0]],
            "outputs": [str(path) for path in made_by.expand_output(chosen)[0]],
        }


def scan_jobs():
    """What made the scans, a dataset at a time, and the lists of those that a stage takes."""
    for name, dataset in DATASETS.items():
        source = dataset["source"]
        raw = {
            "phantom": (f"phantom_{source.get('cohort')}", "simulate_phantom", "Scans."),
            "painted": (name, "paint_stroke", "Scans with simulated strokes."),
        }.get(source["kind"])
        if raw:
            folder, maker, about = raw
            made = {"rule": maker, "about": about, "code": getattr(rules, maker).params.code}
            yield made | {"inputs": [], "outputs": [f"{RESULTS}/raw/{folder}"]}
        scans_folder = f"{RESULTS}/preprocessed/{name}"
        yield {
            "rule": "preprocess",
            "about": "Scans on the grid, with brain and lesion masks and quality control.",
            "code": rules.preprocess.params.code,
            "inputs": [f"{RESULTS}/raw/{raw[0]}"] if raw else [],
            "outputs": [scans_folder],
        }
        for chosen in ["all", *(f"{role}_fold{fold}" for fold in FOLDS for role in splits.ROLES)]:
            yield {
                "rule": "cohort",
                "about": "List of preprocessed scans.",
                "code": rules.cohort.params.code,
                "inputs": [scans_folder],
                "outputs": [f"{RESULTS}/cohorts/{name}/{chosen}.json"],
            }


def every_job():
    """What the rules did, in the order of the stages; of results that a run does not have, the crate says nothing."""
    modalities, labeled = list(config["training_data"]), LESION + HEALTHY
    yield from scan_jobs()
    yield from jobs_of("landmarks", "Nyul landmarks.", modality=modalities, fold=FOLDS)
    yield from jobs_of(
        "train", "Model and its training history.", method=METHODS, modality=modalities, fold=FOLDS
    )
    yield from jobs_of("score", "Heatmaps of test scans.", method=METHODS, dataset=DATASETS, fold=FOLDS)
    yield from jobs_of(
        "score_validation", "Heatmaps of validation scans.", method=METHODS, dataset=DATASETS, fold=FOLDS
    )
    combinations = {"method": COMBINATIONS, "dataset": DATASETS, "fold": FOLDS}
    yield from jobs_of("combine", "Heatmaps of test scans, combined from others.", **combinations)
    yield from jobs_of(
        "combine_validation", "Heatmaps of validation scans, combined from others.", **combinations
    )
    yield from jobs_of("analyze_patches", "One row a patch.", method=LOCATING, dataset=DATASETS, fold=FOLDS)
    calibrated = [method for method in METHODS if method in method_names.CALIBRATED]
    yield from jobs_of("calibrate", method=calibrated, modality=modalities, fold=FOLDS)
    yield from jobs_of("evaluate", "One row a scan.", method=EVALUATED, dataset=labeled, fold=FOLDS)
    for name in [*TABLES, *(["cases"] if LESION else []), "quality", "subject_lists"]:
        yield from jobs_of(name)
    for number in FIGURES:
        yield from jobs_of(f"fig{number}")
    for name in [name for name in MORE_FIGURES if name not in TABLES]:
        yield from jobs_of(name)
    yield from jobs_of("learning_curve", "Losses of a training.", modality=modalities, fold=FOLDS)
    yield from jobs_of("viewer")
    yield from jobs_of("report_page")
