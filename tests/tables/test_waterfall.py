from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from patch2loc.configuration.released_code import ELEMENTS, value_of, with_released
from patch2loc.configuration.waterfall import KEPT, START, step_configuration, waterfall_steps
from patch2loc.errors import InputError
from patch2loc.figures.waterfall import waterfall_figure
from patch2loc.tables.formats import to_markdown
from patch2loc.tables.waterfall import COLUMNS, StepResult, waterfall_layout, waterfall_table

DATASETS = {
    "strokes": {"title": "strokes", "modality": "T1", "role": "lesion", "simulated": True},
    "ms": {"title": "MS", "modality": "T2", "role": "lesion", "simulated": False},
}
CONFIG = {
    "results": "results/any",
    "methods": ["patch2loc", "thresh"],
    "folds": [0],
    "training": {"learning_rate": 0.001, "patches": 1000},
    "score": {"median_filter": 3},
    "truth": "any",
}


def result(name, gain=0.0, patches=("partial", "all"), **about):
    """A step in which every scan gains as much, in both metrics."""
    scans = pd.DataFrame(
        {
            "subject": ["a", "b", "c"],
            "auprc": np.array([0.1, 0.2, 0.6]) + gain,
            "best_dice": np.array([0.2, 0.3, 0.4]) + gain,
        }
    )
    correlations = pd.DataFrame(
        [
            {
                "dataset": dataset,
                "patches": selection,
                "quantity": quantity,
                "spearman": (0.2 if selection == "partial" else 0.5) + gain,
                "n_subjects": 3,
                "n_folds": 1,
            }
            for dataset in DATASETS
            for selection in patches
            for quantity in ("log_error", "log_variance", "score")
        ]
    )
    about = {"key": "", "value": "", "needs": "", "trainings": 0, "seconds": 1.0, **about}
    return StepResult(
        name, **about, metrics={dataset: [scans] for dataset in DATASETS}, correlations=correlations
    )


@pytest.fixture
def table():
    steps = [
        result(START, patches=("all",), trainings=2),
        result("correlation", key="tables.correlation", value="both", needs="nothing"),
        result("background", gain=0.05, key="metrics.background", value="left-out", needs="evaluation"),
    ]
    return waterfall_table(steps, DATASETS)


def test_steps_go_from_the_released_code_to_the_configuration():
    steps = waterfall_steps(CONFIG)
    changed = [step.element for step in steps[1:]]
    assert steps[0].name == START
    assert {element.name for element in changed} == {
        element.name
        for element in ELEMENTS
        if element.name not in KEPT and value_of(CONFIG, element) != element.released
    }
    assert "lesion mask" not in [step.name for step in steps]  # the configuration does as the released code
    for earlier, later in pairwise(steps):
        differing = [
            element.name
            for element in ELEMENTS
            if value_of(earlier.config, element) != value_of(later.config, element)
        ]
        assert differing == [later.name]
    assert all(value_of(steps[0].config, element) == element.released for element in changed)
    assert steps[-1].config == CONFIG


def test_what_is_dear_is_changed_last():
    order = ["nothing", "evaluation", "scoring", "training", "preprocessing"]
    needs = [order.index(step.element.needs) for step in waterfall_steps(CONFIG)[1:]]
    assert needs == sorted(needs)
    assert needs[0] < needs[-1]


def test_an_element_can_be_left_as_it_is():
    steps = waterfall_steps(CONFIG, ["bias field"])
    assert "bias field" not in [step.name for step in steps]
    assert "bias_field" not in steps[0].config.get("preprocess", {})
    with pytest.raises(InputError, match=r"bias: no such element found, of .*bias field"):
        waterfall_steps(CONFIG, ["bias"])


def test_a_step_runs_the_method_of_the_recipe_alone_in_its_folder():
    step = waterfall_steps(CONFIG)[0]
    step.config["method_settings"] = {"ra": {"steps": 4}}  # refused where ra is not among the methods
    config = step_configuration(step, "results/any-waterfall/run")
    assert config["method_settings"] == {}
    assert config["methods"] == ["patch2loc"]
    assert config["results"] == "results/any-waterfall/run"
    assert step.config["methods"] == CONFIG["methods"]
    assert with_released(CONFIG)["folds"] != config["folds"] == CONFIG["folds"]


def test_the_change_of_a_step_is_paired_with_the_step_before(table):
    assert list(table.columns) == COLUMNS
    auprc = table.query("dataset == 'ms' and measure == 'auprc'").set_index("name")
    np.testing.assert_allclose(auprc["mean"], [0.3, 0.3, 0.35])
    np.testing.assert_allclose(auprc["change"], [np.nan, 0, 0.05], atol=1e-12)
    row = auprc.loc["background"]
    assert row["ci_low"] == pytest.approx(row["ci_high"]) == pytest.approx(0.05)  # every scan gains as much
    assert set(auprc["n_subjects"]) == {3}


def test_correlations_are_those_that_a_table_has_for_its_headline(table):
    score = table.query("dataset == 'strokes' and measure == 'spearman_score'").set_index("name")
    np.testing.assert_allclose(score["mean"], [0.5, 0.2, 0.25])  # all patches, then partial ones
    np.testing.assert_allclose(score["change"], [np.nan, -0.3, 0.05])
    assert score["ci_low"].isna().all()


def test_the_table_shows_steps_under_each_dataset(table):
    text = to_markdown(waterfall_layout(table, DATASETS, "From the released code's recipe to any.yaml"))
    line = next(line for line in text.splitlines() if "background: left-out" in line)
    assert [cell.strip() for cell in line.split("|")[2:8]] == [
        "35.0",
        "+5.0",
        "5.0–5.0",
        "35.0",
        "+5.0",
        "5.0–5.0",
    ]
    assert "strokes, T1 (simulated): 3 scans" in text


def test_bars_begin_where_the_step_before_ended(table):
    figure = waterfall_figure(table, DATASETS)
    dice = figure.axes[0]
    first, _, last, change = dice.patches
    assert first.get_width() == pytest.approx(0.3)
    assert (change.get_x(), change.get_width()) == (pytest.approx(0.3), pytest.approx(0.05))
    assert last.get_width() == pytest.approx(0.35)
    assert [label.get_text() for label in dice.get_yticklabels()][1] == "correlation: both"


def test_texts_of_panels_side_by_side_do_not_overlap(table):
    titles = ["BraTS21 (one case)", "MSLUB (two cases)", "TCGA-LGG (one case, automatic truth)"]
    datasets = {
        title: {"title": title, "modality": "T1", "role": "lesion", "simulated": False} for title in titles
    }
    strokes = table[table["dataset"] == "strokes"]
    figure = waterfall_figure(pd.concat([strokes.assign(dataset=title) for title in titles]), datasets)
    figure.draw_without_rendering()
    rows = [figure.axes[place : place + 3] for place in range(0, len(figure.axes), 3)]
    for panels in rows:
        for texts in (
            [panel.xaxis.label for panel in panels],
            [panel.title for panel in panels] if panels is rows[0] else [],
            [label for panel in panels for label in panel.get_xticklabels() if _is_shown(panel, label)],
        ):
            ends = [text.get_window_extent().extents[[0, 2]] for text in texts]
            assert all(left_end < begin for (_, left_end), (begin, _) in pairwise(ends))
            assert not ends or ends[-1][1] <= figure.bbox.width


def _is_shown(panel, label):
    low, high = panel.get_xlim()
    return low <= label.get_position()[0] <= high
