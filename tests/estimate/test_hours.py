"""Hours that a run will take: the rates of networks, what is there already, when it is said."""

import pytest
import yaml
from planned_runs import REGISTRY, configuration, dataset, scan_table
from studies import CONFIGURATION

from patch2loc.configuration.presets import completed
from patch2loc.engine import gpus
from patch2loc.estimate.hours import (
    NARROW,
    PAPER,
    Work,
    computes_here,
    estimate_note,
    in_hours,
    multiplications,
    note_before_run,
    remaining_work,
    seconds_of_scoring,
    seconds_of_training,
)
from patch2loc.plan.plan import make_plan


def study(**changes):
    return yaml.safe_load(CONFIGURATION) | changes


def test_the_estimate_has_the_two_measured_networks_as_they_were_measured():
    narrow = completed(study(training={"widths": list(NARROW.widths)}))
    # benchmarks/engine_narrow_cpu.csv and engine_cpu.csv, on two threads.
    assert seconds_of_training(narrow) == pytest.approx(2 * 0.05072 * 20_480_000 / 512, rel=1e-3)
    paper = {
        "patch": 24,
        "training": {"widths": [64, 128, 256, 512], "patches": 121_440_000, "threads": 8},
        "grid": {"shape": [192, 192, 100], "spacing": 1.0},
        "score": {"stride": 1},
    }
    assert seconds_of_training(paper) == pytest.approx(2 * 121_440_000 / 981, rel=1e-3)
    assert seconds_of_scoring(paper) == pytest.approx(2 * 295.4, rel=1e-3)
    assert seconds_of_scoring({**paper, "score": {"stride": 2}}) == pytest.approx(2 * 295.4 / 4, rel=1e-3)
    assert multiplications(NARROW.widths, 12) < multiplications(PAPER.widths, 24)


def test_the_multiplications_are_those_of_the_network():
    torch = pytest.importorskip("torch")
    from patch2loc.network.location import encoder

    for widths, patch in ((NARROW.widths, NARROW.patch), (PAPER.widths, PAPER.patch)):
        counted = []

        def count(module, inputs, output, counted=counted):
            counted.append(output[0].numel() * module.weight[0].numel())

        network = encoder(widths).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(count)
        network(torch.zeros(1, 1, patch, patch))
        assert sum(counted) == multiplications(widths, patch)


def test_the_hours_are_said_unless_they_are_minutes_or_the_work_is_done(tmp_path):
    config = completed(study()) | {"device": "cpu"}
    work = Work(trainings=2, scorings=80, preprocessings=120, answers=20, others=["ae"])
    note = estimate_note(work, config, cores=2)
    assert note.startswith(
        "Estimate: about 2.0 hours on the 2 cores of this machine: training of 2 location networks"
    )
    assert "3.4 hours of a core; preprocessing of 120 scans, 80 heatmaps and 20 answers 41 minutes" in note
    assert "Not counted: ae." in note
    assert "docs/explanation/scale.md" in note
    # Sixty cores do not train a network of one thread faster.
    assert estimate_note(work, config, cores=60).startswith("Estimate: about 1.7 hours on the 60 cores")
    assert estimate_note(Work(0, 5, 5, 0, []), config, cores=2) == ""


@pytest.mark.parametrize(
    ("hours", "words"), [(0.1, "6 minutes"), (0.7, "42 minutes"), (1.4, "1.4 hours"), (360, "15 days")]
)
def test_hours_are_said_as_people_say_them(hours, words):
    assert in_hours(hours) == words


@pytest.mark.parametrize(("chosen", "estimated"), [("0", False), ("", True), ("-1", True)])
def test_hours_of_a_processor_are_said_where_no_gpu_is_visible(chosen, estimated, tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "_gpu_count", lambda: 1)
    monkeypatch.setenv(gpus.VISIBLE, chosen)
    config = completed(study()) | {"device": "auto"}
    assert bool(estimate_note(Work(2, 80, 120, 20, []), config, cores=2)) == estimated


@pytest.fixture
def answered(tmp_path):
    """A plan of four simulated datasets and two patients."""
    source = scan_table(tmp_path, "patients.csv", {"one": "1.nii", "two": "2.nii"})
    datasets = {"patients": dataset("unlabeled", source=source)}
    methods = ["patch2loc", "zscore", "ae"]
    return make_plan(configuration(tmp_path, datasets, methods=methods), str(REGISTRY))


def test_what_is_there_already_is_not_estimated(answered, tmp_path):
    # Two modalities; tested: a healthy scan of each, two tumors, one lesion of white matter, two patients.
    assert remaining_work(answered) == Work(2, 7, 17, 2, ["ae"])
    results = answered.results
    for path in (
        results.model("patch2loc", "T1", 0),
        results.heatmaps("patch2loc", "patients", 0),
        results.preprocessed("patients", "one"),
        results.patient("patients", "two"),
    ):
        (tmp_path / path).mkdir(parents=True)
    assert remaining_work(answered) == Work(1, 5, 16, 1, ["ae"])


@pytest.mark.parametrize(
    ("words", "cluster_jobs", "here"),
    [
        ("", None, True),
        ("--cores 2 --configfile config/demo.yaml", None, True),
        ("--cores 2 -n", None, True),
        ("table1 --cores 2", None, True),
        ("--workflow-profile profiles/slurm", 50, False),
        ("--list-target-rules", None, False),
        ("--cores 2 --report=report.html", None, False),
        ("data --cores 2", None, False),
        ("--configfile config/demo.yaml data -n", None, False),
        ("--directory data --cores 2", None, True),
        ("--cores 2 -- data", None, False),
    ],
)
def test_hours_of_this_machine_are_for_calls_that_compute_on_it(words, cluster_jobs, here):
    assert computes_here(words.split(), cluster_jobs) == here


def test_the_estimate_is_of_what_a_call_computes(answered, monkeypatch):
    work = []
    monkeypatch.setattr(
        "patch2loc.estimate.hours.estimate_note", lambda to_do, config: work.append(to_do) or "Estimate"
    )
    for words in ("quality --cores 2", "--cores 2"):
        assert note_before_run(answered, words.split(), nodes=None) == "Estimate"
    quality, whole = work
    assert quality == (0, 0, whole.preprocessings, 0, ())
    assert whole.preprocessings == 17
    assert note_before_run(answered, ["--lint"], nodes=None) == ""
