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
from heads import COARSE
from mutated_results import ScanResult, difference, read_result
from mutations import OUTPUT, SEED, Result, run_campaign
from mutations_of_configurations import texts
from mutations_of_models import model_files
from mutations_of_scans import SPACING, files, voxels
from mutations_of_tables import table_files
from planned_runs import REGISTRY
from repository_paths import ROOT
from snakemake.utils import validate
from workflow_runs import TINY
from written_models import write_model

from patch2loc.acquire import phantom
from patch2loc.configuration.configuration_file import read_configuration
from patch2loc.configuration.method_names import configured
from patch2loc.configuration.run import plan_run
from patch2loc.configuration.schema import check_schema
from patch2loc.data import volumes
from patch2loc.data.content import content_hash
from patch2loc.data.scans import Contents, refuse_fitted_scans
from patch2loc.models import load_model
from patch2loc.network.location import LocationNetwork
from patch2loc.own_scan import load_scorer, score_own_scan
from patch2loc.own_scan import score as own_scan_score
from patch2loc.own_scan import scorer as own_scan_scorer
from patch2loc.preprocess import picture
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.images import one_thread, read_scan, resample
from patch2loc.preprocess.register import register

pytestmark = pytest.mark.thorough
IN_PLACE = {"registration": "none", "bias_correction": False}
CORRECTED = {"registration": "none", "bias_correction": True}
REGISTERED = {"registration": "affine", "bias_correction": False}
# Without a correction of the bias field, which blends them, levels are refused for what they are; with it they are not.
BLENDED = ("few levels", "saturated", "labels", "mask alone", "shaded")
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"


@pytest.fixture(scope="module")
def atlas():
    return load_atlas("icbm152", "T1")


def stripped_in_place(scan, atlas, grid):
    """A simulated scan's brain, sampled at the voxels of a grid over the atlas: (x, y, z) float32."""
    with one_thread():
        transform, _ = register(scan.array, scan.brain > 0, scan.affine, atlas, kind="affine", start=None)
    image, brain = (
        resample(array.astype(np.float32), scan.affine, grid, transform)
        for array in (scan.array, scan.brain > 0)
    )
    return np.where(brain >= 0.5, np.maximum(np.rint(image), 1), 0).astype(np.float32)


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


@pytest.fixture(scope="module", autouse=True)
def without_pictures():
    """Pictures take most of the time of a small scan, and are no part of what is compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_scan_score, "scan_figure", lambda *_, **__: None)
        patch.setattr(own_scan_score, "save_figure", lambda *_, **__: None)
        patch.setattr(picture, "write_picture", lambda *_, **__: None)
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


def attempt_to_score(path, scorer, expected, output=None):
    output = output or path.parent / OUTPUT

    def attempt():
        summary = score_own_scan(scorer, path, output, skull_strip="none")
        return Result(summary["flags"], difference(read_result(output), expected))

    return attempt


def report(campaign, capsys):
    """Say what came of a campaign where it was asked for, and fail if anything is wrong."""
    if SEED is not None:
        with capsys.disabled():
            print(f"\n{campaign.table()}")
    if campaign.failures:
        pytest.fail("\n".join([campaign.table(), *campaign.failures]), pytrace=False)


def test_voxels(scans, scored, tmp_path, capsys):
    contrasts, affine = scans
    others = {name: scan for name, scan in contrasts.items() if name != "T1"}

    def make(mutation):
        def written(folder):
            changed = mutation.change(contrasts["T1"]).astype(np.float32)
            image = nib.Nifti1Image(changed, affine)
            image.set_qform(affine, 1)
            image.set_sform(affine, 1)
            nib.save(image, folder / "scan.nii")
            return ["scan.nii"], attempt_to_score(
                folder / "scan.nii", *scored["corrected" if mutation.kind in BLENDED else "in place"]
            )

        return written

    report(run_campaign("voxels", voxels(others), tmp_path, make), capsys)


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


def run_of(path):
    """The run of a configuration, as the Snakefile plans it."""
    config = read_configuration(path)
    check_schema(config, yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))
    validate(config, str(SCHEMA))
    config["methods"] = configured(config["methods"])
    run = plan_run(config, str(REGISTRY))
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
        json.dumps({"configuration": run.config, "scans": scans, "protocol": run.protocol}, default=str)
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
