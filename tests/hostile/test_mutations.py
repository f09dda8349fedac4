"""Campaigns of mutations: bad input is refused or flagged, or the result is that of the good input to a tolerance.

    MUTATIONS=2000 CHAOS_SEED=3 python -m pytest tests/hostile/test_mutations.py

tries as many, by another seed, and prints what came of each kind.
"""

import json
import re
from contextlib import chdir
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from contrasts import brain_of
from dicom_series import needs_converter, write_series
from heads import COARSE
from mutated_results import ScanResult, difference, read_result
from mutations import OUTPUT, SEED, Result, run_campaign
from mutations_of_configurations import texts
from mutations_of_models import detector_files, model_files
from mutations_of_scans import files
from mutations_of_series import series_files
from mutations_of_tables import table_files
from mutations_of_voxels import FINE_SPACING, SPACING, fine, heads, voxels
from planned_runs import REGISTRY
from workflow_runs import TINY
from written_models import write_model

from patch2loc.acquire import phantom
from patch2loc.acquire.dicom import convert_folder
from patch2loc.configuration.configuration_file import read_configuration
from patch2loc.configuration.presets import completed
from patch2loc.data import volumes
from patch2loc.data.content import content_hash
from patch2loc.data.scans import Contents, refuse_fitted_scans
from patch2loc.models import load_model
from patch2loc.network.location import LocationNetwork
from patch2loc.own_scan import detect, load_scorer, score_own_scan
from patch2loc.own_scan import score as own_scan_score
from patch2loc.own_scan import scorer as own_scan_scorer
from patch2loc.plan.plan import make_plan
from patch2loc.plan.protocol import protocol
from patch2loc.preprocess import picture
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.images import one_thread, read_scan, resample
from patch2loc.preprocess.register import register
from patch2loc.score.reference import Cohort, ScanMaps, fit_reference, to_model

pytestmark = pytest.mark.thorough
IN_PLACE = {"registration": "none", "bias_correction": False}
CORRECTED = {"registration": "none", "bias_correction": True}
REGISTERED = {"registration": "affine", "bias_correction": False}
# Of the summary of `detect`, what the healthy scans of a detector tell.
ANSWER = ("answer", "judged", "percentile", "n_healthy", "candidates", "abnormal_ml", "expected_healthy_ml")
ANSWER += ("threshold", "location_error")
# Without a correction of the bias field, which blends them, levels are refused for what they are; with it they are not.
BLENDED = ("few levels", "saturated", "labels", "mask alone", "shaded")


@pytest.fixture(scope="module")
def atlas():
    return load_atlas("icbm152", "T1")


def stripped_in_place(scan, atlas, grid):
    """A simulated scan's brain, sampled at the voxels of a grid over the atlas: (x, y, z) float32."""
    image, brain = in_place(scan, atlas, grid)
    return np.where(brain, np.maximum(image, 1), 0).astype(np.float32)


def in_place(scan, atlas, grid):
    """A simulated head and its brain at the voxels of a grid over the atlas: (x, y, z) float32 and bool."""
    with one_thread():
        transform, _ = register(scan.array, scan.brain > 0, scan.affine, atlas, kind="affine", start=None)
    image, brain = (
        resample(array.astype(np.float32), scan.affine, grid, transform)
        for array in (scan.array, scan.brain > 0)
    )
    return np.rint(image), brain >= 0.5


@pytest.fixture(scope="module")
def scans(atlas):
    """Contrasts of a simulated head in atlas space, stripped, and the affine of their voxels."""
    grid = common_grid(atlas, (46, 54, 44), SPACING)
    subject = phantom.simulate_subject("healthy", 0, 3, COARSE)
    t1 = stripped_in_place(subject["T1"], atlas, grid)
    t2 = stripped_in_place(subject["T2"], load_atlas("icbm152", "T2"), grid)
    fluid = np.percentile(t2[t2 > 0], 85)
    flair = np.where(t2 > 0, np.maximum(np.where(t2 > fluid, 2 * fluid - t2, t2), 1), 0)
    return {"T1": t1, "T2 for T1": t2, "FLAIR for T1": flair}, grid.affine


@pytest.fixture(scope="module")
def head(atlas, tmp_path_factory):
    """A simulated head in atlas space, the affine of its voxels, and the file of its brain mask."""
    grid = common_grid(atlas, (46, 54, 44), SPACING)
    image, brain = in_place(phantom.simulate_subject("healthy", 0, 3, COARSE)["T1"], atlas, grid)
    path = tmp_path_factory.mktemp("head") / "brain.nii.gz"
    volumes.write(path, brain, grid.affine)
    return image, grid.affine, path


@pytest.fixture(scope="module", autouse=True)
def without_pictures():
    """Pictures take most of the time of a small scan, and are no part of what is compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_scan_score, "scan_figure", lambda *_, **__: None)
        patch.setattr(own_scan_score, "save_figure", lambda *_, **__: None)
        patch.setattr(picture, "write_picture", lambda *_, **__: None)
        patch.setattr(detect, "_draw", lambda *_, **__: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def kept_atlases():
    """Atlases are loaded once: each takes as long as a scan."""
    atlases = {}

    def kept(name, modality):
        if (repr(name), repr(modality)) not in atlases:
            atlases[repr(name), repr(modality)] = load_atlas(name, modality)
        return atlases[repr(name), repr(modality)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_scan_scorer, "load_atlas", kept)
        yield


@pytest.fixture(scope="module")
def scored(atlas, scans, tmp_path_factory):
    """Scorer and result of the good scan, by the settings of preprocessing."""
    folder, (contrasts, affine) = tmp_path_factory.mktemp("good"), scans
    volumes.write(folder / "scan.nii.gz", contrasts["T1"].astype(np.int16), affine)
    found = {}
    for name, settings in (("in place", IN_PLACE), ("corrected", CORRECTED), ("registered", REGISTERED)):
        scorer = load_scorer(write_model(folder / f"{name}.safetensors", atlas, preprocess=settings))
        summary = score_own_scan(scorer, folder / "scan.nii.gz", folder / name, skull_strip="none")
        assert summary["flags"] == []
        found[name] = scorer, read_result(folder / name)
    return found


def test_the_tolerances_tell_another_head_from_the_same_one(scans, atlas):
    """A repetition with twice the noise is the same; another head, the mirrored one and another contrast are not."""
    contrasts, affine = scans
    grid = common_grid(atlas, contrasts["T1"].shape, SPACING)

    def result(scan):  # the heatmap of thresh ranks voxels by their brightness
        return ScanResult(np.where(scan > 0, scan, np.nan), affine)

    def simulated(subject, noise):
        scan = phantom.simulate_subject("healthy", subject, 3, COARSE | {"noise": noise})["T1"]
        return stripped_in_place(scan, atlas, grid)

    good = result(contrasts["T1"])
    assert difference(result(simulated(0, 0.06)), good) == ""
    others = {
        "mirrored": contrasts["T1"][::-1],
        "another head": simulated(1, 0.03),
        "T2": contrasts["T2 for T1"],
    }
    differing = {
        name: float(re.search(r"correlation (\S+),", difference(result(scan), good))[1])
        for name, scan in others.items()
    }
    assert differing["another head"] < 0.8
    assert differing["mirrored"] < 0.7
    assert differing["T2"] < 0
    shifted = good.to_atlas.copy()
    shifted[0, 3] += 5
    assert "moved 5.0 mm" in difference(ScanResult(good.heatmap, shifted), good)


def attempt_to_score(path, scorer, expected, output=None, mask=None):
    output = output or path.parent / OUTPUT

    def attempt():
        summary = score_own_scan(
            scorer, path, output, mask_path=mask, skull_strip="given" if mask else "none"
        )
        return Result(summary["flags"], difference(read_result(output), expected))

    return attempt


def report(campaign, capsys):
    """Say what came of a campaign where it was asked for, and fail if anything is wrong."""
    if SEED is not None:
        with capsys.disabled():
            print(f"\n{campaign.table()}")
    if campaign.failures:
        pytest.fail("\n".join([campaign.table(), *campaign.failures]), pytrace=False)


def attempt_with(scan, affine, attempt, mutation):
    """What `Campaign.attempt` takes of a mutation of voxels: a scan that is written, and the attempt to score it."""

    def written(folder):
        changed = mutation.change(scan).astype(np.float32)
        image = nib.Nifti1Image(changed, affine)
        image.set_qform(affine, 1)
        image.set_sform(affine, 1)
        nib.save(image, folder / "scan.nii")
        return ["scan.nii"], attempt(folder / "scan.nii")

    return written


def test_voxels(scans, scored, tmp_path, capsys):
    contrasts, affine = scans
    others = {name: scan for name, scan in contrasts.items() if name != "T1"}

    def make(mutation):
        scored_as = scored["corrected" if mutation.kind in BLENDED else "in place"]
        return attempt_with(
            contrasts["T1"], affine, lambda path: attempt_to_score(path, *scored_as), mutation
        )

    report(run_campaign("voxels", voxels(others), tmp_path, make), capsys)


def test_heads(head, scored, tmp_path, capsys):
    image, affine, brain = head
    scorer, _ = scored["in place"]
    volumes.write(tmp_path / "head.nii.gz", image, affine)
    summary = score_own_scan(
        scorer, tmp_path / "head.nii.gz", tmp_path / "good", mask_path=brain, skull_strip="given"
    )
    assert summary["flags"] == []
    expected = read_result(tmp_path / "good")

    def make(mutation):
        return attempt_with(
            image, affine, lambda path: attempt_to_score(path, scorer, expected, mask=brain), mutation
        )

    report(run_campaign("heads", heads(), tmp_path, make), capsys)


def test_fine_scans(atlas, tmp_path, capsys):
    image, affine = brain_of("T1")
    image = image.astype(np.float32)
    grid = common_grid(atlas, (92, 108, 88), FINE_SPACING)
    on_atlas = {"shape": list(grid.shape), "spacing": FINE_SPACING, "affine": grid.affine.tolist()}
    scorer = load_scorer(
        write_model(tmp_path / "fine.safetensors", atlas, preprocess=IN_PLACE, grid=on_atlas)
    )
    volumes.write(tmp_path / "scan.nii.gz", image, affine)
    summary = score_own_scan(scorer, tmp_path / "scan.nii.gz", tmp_path / "good", skull_strip="none")
    assert summary["flags"] == []
    expected = read_result(tmp_path / "good")

    def make(mutation):
        return attempt_with(image, affine, lambda path: attempt_to_score(path, scorer, expected), mutation)

    report(run_campaign("fine scans", fine(), tmp_path, make), capsys)


def test_headers(scans, scored, tmp_path, capsys):
    contrasts, affine = scans
    image = nib.Nifti1Image(contrasts["T1"].astype(np.int16), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    content = image.to_bytes()

    def make(mutation):
        def written(folder):
            changed = mutation.change(content)
            for name, part in changed.items():
                (folder / name).write_bytes(part)
            path = folder / next(iter(changed))
            scored_as = scored["registered" if mutation.kind == "moved" else "in place"]
            return [path.stem], attempt_to_score(path, *scored_as)

        return written

    mutations = files(registered=False) | files(registered=True)
    report(run_campaign("headers", mutations, tmp_path, make), capsys)


def zscore_state(scan):
    """Mean and spread of scans that are a little brighter and darker than one."""
    return {"mean": scan / 900, "spread": np.full(scan.shape, 0.05, np.float32)}


def network_state():
    torch.manual_seed(0)
    network = LocationNetwork((4, 4, 8, 8))
    return {
        "weights": {name: value.numpy() for name, value in network.state_dict().items()},
        "widths": [4, 4, 8, 8],
        "patch": 8,
    }


@pytest.mark.parametrize("method", ["zscore", "patch2loc"])
def test_models(method, scans, atlas, tmp_path, capsys):
    contrasts, affine = scans
    grid = common_grid(atlas, contrasts["T1"].shape, SPACING)
    parts = {"preprocess": IN_PLACE, "healthy_threshold": 5.0, "training_subjects": ["a", "b"]}
    parts["grid"] = {"shape": list(grid.shape), "spacing": SPACING, "affine": grid.affine.tolist()}
    states = {"zscore": zscore_state(contrasts["T1"]), "patch2loc": network_state()}
    good = write_model(tmp_path / "good.safetensors", atlas, method=method, state=states[method], **parts)
    (other,) = states.keys() - {method}
    parts |= {
        "modality": "T2",
        "landmarks": {"percentiles": [1, 50, 99], "standard_scale": [0.0, 30.0, 100.0]},
    }
    parts["grid"] = {**parts["grid"], "affine": np.diag([SPACING] * 3 + [1.0]).tolist()}
    other = write_model(tmp_path / "other.safetensors", atlas, method=other, state=states[other], **parts)
    scan = tmp_path / "scan.nii.gz"
    volumes.write(scan, contrasts["T1"].astype(np.int16), affine)
    score_own_scan(load_scorer(good), scan, tmp_path / "good", skull_strip="none")
    expected = read_result(tmp_path / "good")

    def make(mutation):
        def written(folder):
            path = folder / "own.safetensors"
            path.write_bytes(mutation.change(good))

            def attempt():
                return attempt_to_score(scan, load_scorer(path), expected, folder / OUTPUT)()

            # Of another modality than it says, it is the scan that does not fit it.
            return ["own.safetensors", f"{scan} looks like a "], attempt

        return written

    mutations = model_files(load_model(good), load_model(other))
    report(run_campaign(f"models of {method}", mutations, tmp_path, make), capsys)


@pytest.fixture(scope="module")
def small_detector(scans, atlas, tmp_path_factory):
    """A detector whose network has learned nothing, and whose healthy scans score noise."""
    contrasts, affine = scans
    scan, rng = contrasts["T1"], np.random.default_rng(0)

    def noise():
        return np.where(scan > 0, rng.gamma(2, 1, scan.shape), np.nan).astype(np.float32)

    state = zscore_state(np.maximum(scan, 0))
    reference = fit_reference(
        {f"s{number}": ScanMaps(noise(), noise(), 40 + number, 40.0) for number in range(4)},
        cohort=Cohort("nobody", False, 2, ["here"], [20.0, 80.0], SPACING),
        mean=state["mean"],
        spread=state["spread"],
        spacing=SPACING,
    )
    grid = {"shape": list(scan.shape), "spacing": SPACING, "affine": affine.tolist()}
    return write_model(
        tmp_path_factory.mktemp("detector") / "good.safetensors",
        atlas,
        method="patch2loc",
        state=network_state(),
        preprocess=IN_PLACE,
        grid=grid,
        reference={**to_model(reference), "median_filter": 1},
    )


def detected(model, scan, output):
    """The answer about a scan: its warnings, what its summary says of the scan, and the heatmap."""
    summary = detect.detect_scan(detect.load_detector(model), scan, output, skull_strip="none")
    warnings = [warning["message"] for warning in summary["warnings"]]
    answer = {key: value for key, value in summary.items() if key in ANSWER}
    return warnings, answer, read_result(output)


def test_detectors(small_detector, scans, tmp_path, capsys):
    contrasts, affine = scans
    scan = tmp_path / "scan.nii.gz"
    volumes.write(scan, contrasts["T1"].astype(np.int16), affine)
    known, answer, expected = detected(small_detector, scan, tmp_path / "good")
    assert answer["judged"]

    def make(mutation):
        def written(folder):
            path = folder / "own.safetensors"
            path.write_bytes(mutation.change(small_detector))

            def attempt():
                warnings, said, result = detected(path, scan, folder / OUTPUT)
                differing = [key for key in ANSWER if said[key] != answer[key]]
                fresh = [warning for warning in warnings if warning not in known]
                return Result(fresh, ", ".join(differing) or difference(result, expected))

            return ["own.safetensors"], attempt

        return written

    mutations = detector_files(load_model(small_detector))
    report(run_campaign("models of a detector", mutations, tmp_path, make), capsys)


@needs_converter
def test_series(tmp_path, capsys):
    convert_folder(write_series(tmp_path / "good", 1, "t1"), tmp_path / "good.nii.gz")
    expected = read_scan(tmp_path / "good.nii.gz")

    def make(mutation):
        def written(folder):
            series = write_series(folder / "series", 1, "t1")
            mutation.change(series)

            def attempt():
                output = folder / OUTPUT / "scan.nii.gz"
                convert_folder(series, output)
                same = all(map(np.array_equal, read_scan(output), expected))
                return Result([], "" if same else "another volume")

            return ["series"], attempt

        return written

    report(run_campaign("series", series_files(), tmp_path, make), capsys)


def run_of(path):
    """The run of a configuration, as the Snakefile plans it."""
    run = make_plan(completed(read_configuration(path)), str(REGISTRY))
    run.data.stop_for_missing()
    return run


def planned(path):
    """All that a configuration makes a run do: its values, its scans and their roles."""
    run = run_of(path)
    scans = {
        name: {
            "scans": {
                subject: {part: str(file) for part, file in paths.items()}
                for subject, paths in dataset.scans.items()
            },
            "roles": dataset.roles(run.folds[0]) if dataset.has_roles else None,
        }
        for name, dataset in run.datasets.items()
    }
    return json.loads(
        json.dumps({"configuration": run.config, "scans": scans, "protocol": protocol(run)}, default=str)
    )


def attempt_to_plan(path, expected, plan=None):
    plan = plan or planned

    def attempt():
        return Result([], "" if plan(path) == expected else "another plan")

    return attempt


def test_configurations(tmp_path, capsys):
    text = TINY.read_text(encoding="utf-8")
    keys, expected = yaml.safe_load(text).keys(), planned(TINY)

    def make(mutation):
        def written(folder):
            (folder / "own.yaml").write_bytes(mutation.change(text))
            return ["own.yaml", *keys], attempt_to_plan(folder / "own.yaml", expected)

        return written

    report(run_campaign("configurations", texts(text), tmp_path, make), capsys)


def read_and_planned(path):
    """As `planned`; the scans of the run's own lists are read, and held against each other as scoring does it."""
    run, plan = run_of(path), planned(path)
    scans = {
        name: {subject: hashed(subject, paths["scan"]) for subject, paths in dataset.scans.items()}
        for name, dataset in run.datasets.items()
    }
    own = run.datasets["own_healthy"].roles(0)
    fitted = {
        subject: scans["own_healthy"][subject].contents().acquired
        for subject in own["train"] + own["validation"]
    }
    for name, dataset in run.datasets.items():
        tested = [scans[name][subject] for subject in dataset.subjects(0)]
        refuse_fitted_scans(tested, fitted, "the model", same_dataset=name == "own_healthy")
    return plan


def hashed(subject, path):
    """What scoring knows of a preprocessed scan."""
    content = content_hash(*read_scan(path))
    return SimpleNamespace(subject=subject, folder=path, contents=lambda: Contents(content, content))


TRAINING = [f"s{number}" for number in range(6)]


def tables(folder):
    """A configuration of training data and of scans to test, with their tables, lists and files; its path."""
    rng = np.random.default_rng(0)
    for name in [*TRAINING, "tested", "drawn"]:
        image = nib.Nifti1Image(rng.integers(0, 900, (8, 9, 7)).astype(np.int16), np.diag([8.0, 8, 8, 1]))
        nib.save(image, folder / f"{name}.nii")
    rows = "".join(f"{name},T1,{name}.nii,,\n" for name in TRAINING)
    (folder / "scans.csv").write_text(f"subject,modality,scan,brain,lesion\n{rows}")
    roles = "".join(
        f"{name},{role}\n"
        for name, role in zip(TRAINING, ["train"] * 3 + ["validation", "test", "test"], strict=True)
    )
    (folder / "list.csv").write_text(f"subject,fold0\n{roles}")
    (folder / "tested.csv").write_text(
        "subject,modality,scan,brain,lesion\npatient,T1,tested.nii,,drawn.nii\n"
    )
    config = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    own = {"title": "own", "modality": "T1", "skull_strip": "none"}
    config["datasets"] = {
        "own_healthy": own
        | {"role": "healthy", "split": "list.csv", "source": {"kind": "table", "table": "scans.csv"}},
        "own_lesions": own | {"role": "lesion", "source": {"kind": "table", "table": "tested.csv"}},
    }
    config |= {"training_data": {"T1": "own_healthy"}, "data": "."}
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    return folder / "own.yaml"


def test_tables(tmp_path, capsys):
    (tmp_path / "good").mkdir()
    path = tables(tmp_path / "good")
    with chdir(path.parent):
        expected = read_and_planned(path)

    def make(mutation):
        def written(folder):
            path = tables(folder)
            mutation.change(folder)
            return ["own_healthy", "own_lesions", ".csv", ".nii"], attempt_to_plan(
                path, expected, read_and_planned
            )

        return written

    mutations = table_files(TRAINING[:4], ["s0.nii", "s4.nii", "tested.nii"])
    report(run_campaign("tables", mutations, tmp_path, make), capsys)
