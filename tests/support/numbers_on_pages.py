"""Values that pages print, read from the files that hold them: the names of docs/numbers_on_pages.yaml."""

import re
import sys
from importlib import import_module

import pandas as pd
import yaml as yaml_files
from repository_paths import LIBRARY, ROOT
from studies import CONFIGURATION

NUMBER = re.compile(r"(?<![\w.,-])\d[\d,]*(?:\.\d+)?(?!\w)(?![.,]\d)")
BRACED = re.compile(r"\{([^}]*)\}")
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")  # of a network; they are no parameters
MODEL = LIBRARY / "trained/t1-2mm.safetensors"


def names():
    """What expressions of the table may use."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import card_tables as card
    import rates

    from patch2loc.configuration.method_registry import METHODS
    from patch2loc.configuration.presets import completed
    from patch2loc.estimate.costs import run_costs
    from patch2loc.estimate.hours import Work, estimate_note
    from patch2loc.estimate.page import Machine, cost_summary
    from patch2loc.method_interface import declaration
    from patch2loc.own_scan import load_detector
    from patch2loc.own_scan.sentence import expected_ml
    from patch2loc.score.reference import THRESHOLD, THRESHOLDS

    commands = pd.read_csv(ROOT / "benchmarks/commands.csv").set_index("command")
    people = pd.read_csv(ROOT / "splits/model_t1.csv")
    stages = run_costs(rates.planned("config"), "cuda")
    summary = cost_summary(stages, Machine(16, 1, 50))
    detector = load_detector(MODEL)
    false_ml = detector.reference.false_positive_ml["joined"]
    study = completed(yaml_files.safe_load(CONFIGURATION)) | {"device": "cpu"}
    work = Work(trainings=2, scorings=80, preprocessings=120, answers=20, others=[])

    weights = detector.scorer.model["state"]["weights"]

    def yaml(path):
        return yaml_files.safe_load((ROOT / path).read_text(encoding="utf-8"))

    def in_role(role, site=""):
        return int(((people["fold0"] == role) & people["site"].str.startswith(site)).sum())

    def tested_in(path, site):
        rows = pd.read_csv(ROOT / path)
        return int(((rows["fold0"] == "test") & rows["site"].str.startswith(site)).sum())

    def strokes(low, high, column):
        all_strokes = card.inserted()
        scans = all_strokes[
            (all_strokes["map"] == "joined")
            & (all_strokes["contrast"] == "0.25")
            & all_strokes["lesion_ml"].between(low, high, inclusive="left")
        ]
        return int(scans[column].sum()), len(scans)

    measured = card.MEASURED[card.MEASURED["map"] == "joined"]
    return {
        "card": card,
        "yaml": yaml,
        "in_role": in_role,
        "strokes": strokes,
        "minutes": lambda command: commands.loc[command, "minutes"],
        "results_gb": lambda command: commands.loc[command, "results_gb"],
        "paper": lambda key: float(re.sub(r"[^\d.]", "", summary[key])),
        "paper_stages": lambda start, column: sum(
            getattr(stage, column) for stage in stages if stage.name.startswith(start)
        ),
        "trained_on": lambda site="": in_role("train", site),
        "healthy": lambda group="": measured[
            (measured["kind"] == "healthy") & measured["group"].str.startswith(group)
        ],
        "folds": lambda group: card.FOLDS[(card.FOLDS["map"] == "joined") & (card.FOLDS["group"] == group)],
        "tested_in": tested_in,
        "joined": lambda subject: card.patient(subject).loc["joined"],
        "patients": lambda: [card.patient(subject) for subject in card.PATIENTS],
        "reference": lambda: expected_ml(false_ml[:, list(THRESHOLDS).index(THRESHOLD)]),
        "study_hours": lambda: float(
            re.search(r"about ([\d.]+) hours", estimate_note(work, study, cores=2))[1]
        ),
        "parameters": lambda: sum(
            value.size for name, value in weights.items() if not name.endswith(BUFFERS)
        ),
        "constant": lambda module, name: getattr(import_module(f"patch2loc.{module}"), name),
        "table1_methods": lambda: [name for name in METHODS if declaration(name).role == "table1"],
        "subjects": lambda name: len(pd.read_csv(ROOT / f"splits/{name}.csv")),
    }
