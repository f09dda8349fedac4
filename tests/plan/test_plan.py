"""What a run is made of: methods, combinations, tables and figures, and the files that jobs take."""

from pathlib import Path

import pytest
from planned_runs import REGISTRY, configuration, dataset, scan_table, subject_list

from patch2loc.errors import InputError
from patch2loc.files import write_json
from patch2loc.plan import dataset_groups, evaluate, preprocess, score, train
from patch2loc.plan.ablations import repeated_methods
from patch2loc.plan.jobs import job_counts
from patch2loc.plan.notes import (
    planning_notes,
    planning_time_note,
    unused_scans_note,
)
from patch2loc.plan.outputs import Outputs
from patch2loc.plan.paper_figures import tumor_dataset
from patch2loc.plan.plan import make_plan
from patch2loc.plan.protocol import protocol

BOTH = {"both": {"of": ["patch2loc_calibrated", "zscore"], "by": "rank_fisher"}}


def run_of(folder, **changes):
    return make_plan(configuration(folder, **changes), str(REGISTRY))


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        # A row has the heatmaps of the method that scored, a combination those of its parts.
        (score.heatmaps, ("patch2loc", "phantom_tumor"), "heatmaps/patch2loc/phantom_tumor/fold0"),
        (score.heatmaps, ("patch2loc_calibrated", "phantom_tumor"), "heatmaps/patch2loc/phantom_tumor/fold0"),
        (
            score.combined_heatmaps,
            ("both", "phantom_tumor"),
            ["heatmaps/patch2loc/phantom_tumor/fold0", "heatmaps/zscore/phantom_tumor/fold0"],
        ),
        (score.combined_calibrations, ("both", "phantom_tumor"), ["calibration/patch2loc/T2/fold0"]),
        # Calibrations are made from these scans.
        (score.combined_validation_calibrations, ("both", "phantom_healthy_t2"), []),
        (
            evaluate.models_behind,
            ("both", "phantom_wmh"),
            [f"models/{name}/T1/fold0/model.safetensors" for name in ("patch2loc", "zscore")],
        ),
        (
            evaluate.healthy_validation_heatmaps,
            ("zscore", "phantom_tumor"),
            "heatmaps_validation/zscore/phantom_healthy_t2/fold0",
        ),
        # Of a healthy dataset nothing else is compared, and lists without roles have no validation scans.
        (evaluate.healthy_heatmaps, ("zscore", "phantom_healthy_t2"), []),
        (evaluate.lesion_validation_heatmaps, ("zscore", "phantom_tumor"), []),
        (
            evaluate.needed_calibration,
            ("patch2loc_calibrated", "phantom_wmh"),
            "calibration/patch2loc/T1/fold0",
        ),
        (evaluate.needed_calibration, ("patch2loc", "phantom_wmh"), []),
        (evaluate.patches, ("patch2loc", "phantom_wmh"), "patches/patch2loc/phantom_wmh/fold0.parquet"),
        (evaluate.patches, ("patch2loc_calibrated", "phantom_wmh"), []),
        # Cohorts of training data are by role, others whole.
        (preprocess.cohort, ("phantom_healthy_t1",), "cohorts/phantom_healthy_t1/test_fold0.json"),
        (preprocess.cohort, ("phantom_tumor",), "cohorts/phantom_tumor/all.json"),
        (train.training_cohort, ("T2",), "cohorts/phantom_healthy_t2/test_fold0.json"),
    ],
)
def test_jobs_take_files_of_earlier_stages(function, arguments, expected, tmp_path):
    run = run_of(tmp_path, combinations=BOTH)
    of_role = {"role": "test"} if function in (preprocess.cohort, train.training_cohort) else {}
    taken = function(run, *arguments, 0, **of_role)
    paths = [taken] if isinstance(taken, str) else taken
    relative = [path.removeprefix(f"{tmp_path}/results/") for path in paths]
    assert relative == ([expected] if isinstance(expected, str) else expected)


def test_a_combination_whose_methods_do_not_all_run_is_left_out(tmp_path):
    assert run_of(tmp_path, methods=["thresh", "zscore"], combinations=BOTH).scored_methods == [
        "thresh",
        "zscore",
    ]


def test_what_does_not_depend_on_training_scans_is_scored_once(tmp_path):
    # Simulated healthy scans have the same test scans in every fold.
    run = run_of(tmp_path, folds=[0, 1], methods=["patch2loc", "thresh", "zscore", "oracle"])
    for tested in ("phantom_wmh", "phantom_healthy_t1"):
        for name in ("thresh", "oracle"):
            # Folds of wildcards are text.
            (folder,) = {score.heatmaps(run, name, tested, fold) for fold in ("0", "1", 0, 1)}
            assert folder == f"{tmp_path}/results/heatmaps/{name}/{tested}/fold0"
            (model,) = evaluate.models_behind(run, name, tested, 1)
            assert model.endswith(f"models/{name}/T1/fold0/model.safetensors")
        for name in ("patch2loc_calibrated", "zscore"):
            assert score.heatmaps(run, name, tested, "1").endswith(f"{tested}/fold1")
            assert evaluate.models_behind(run, name, tested, "1")[0].endswith("T1/fold1/model.safetensors")
    # Validation scans are others in every fold.
    assert evaluate.healthy_validation_heatmaps(run, "thresh", "phantom_wmh", 1).endswith(
        "phantom_healthy_t1/fold1"
    )
    folders = score.every_heatmaps(run, ["phantom_wmh"])
    assert len(folders) == len(set(folders)) == 2 + 1 + 2 + 1
    counts = job_counts(run)
    assert counts["score"] == len(run.datasets) * (2 + 1 + 2 + 1)
    assert counts["evaluate"] == len(dataset_groups.labeled(run)) * 2 * len(run.evaluated_methods)


def test_only_networks_ask_for_the_memory_of_all_scans(tmp_path):
    run = run_of(tmp_path)
    memory = {name: train.memory_mb(run, name) for name in ("patch2loc", "thresh", "zscore")}
    assert memory == {"patch2loc": 1000, "thresh": 3000, "zscore": 3000}  # tests/tiny.yaml says 1000


def test_folds_that_are_fitted_to_other_scans_share_no_heatmaps(tmp_path):
    source = scan_table(tmp_path, "scans.csv", {name: f"{name}.nii.gz" for name in "abcdef"})
    roles = "subject,fold0,fold1,fold2\na,train,train,validation\nb,train,validation,train\n"
    roles += "c,validation,train,\nd,test,test,test\n"  # fold 2 does without c
    lists = {"own": dataset("healthy", source=source, split=subject_list(tmp_path, "roles.csv", roles))}
    training = {"T1": "own", "T2": "phantom_healthy_t2"}
    run = make_plan(
        configuration(tmp_path, lists, folds=[0, 1, 2], training_data=training, methods=["thresh"]),
        str(REGISTRY),
    )
    assert [score.scoring_fold(run, "thresh", "own", fold) for fold in run.folds] == [0, 0, 2]
    # A copy of c would be refused in the first folds alone.
    assert [score.scoring_fold(run, "thresh", "phantom_wmh", fold) for fold in run.folds] == [0, 0, 2]


def test_ranks_of_clipped_intensities_are_those_of_their_fold(tmp_path):
    run = run_of(tmp_path, folds=[0, 1], intensities={"landmarks": "brain", "scale": "range"})
    assert score.heatmaps(run, "thresh", "phantom_wmh", 1).endswith("fold1")


def test_further_seeds_of_a_fold_are_trained_on_its_subjects_and_have_a_table(tmp_path):
    once, thrice = (run_of(tmp_path, seeds_of_first_fold=count) for count in (1, 3))
    assert (once.trainings, repeated_methods(once)) == ([0], [])
    assert thrice.trainings == [0, "0seed1", "0seed2"]
    assert repeated_methods(thrice) == ["patch2loc", "patch2loc_calibrated"]  # the others run no network
    assert "seeds" not in Outputs(once).tables
    assert "seeds" in Outputs(thrice).tables
    results = f"{tmp_path}/results"
    for role in ("train", "validation", "test"):
        cohort = preprocess.cohort(thrice, "phantom_healthy_t1", "0seed2", role=role)
        assert cohort == f"{results}/cohorts/phantom_healthy_t1/{role}_fold0.json"
    healthy = thrice.datasets["phantom_healthy_t1"]
    assert healthy.subjects("0seed1") == healthy.subjects(0)
    assert score.heatmaps(thrice, "patch2loc", "phantom_tumor", "0seed1").endswith("phantom_tumor/fold0seed1")
    assert score.model(thrice, "patch2loc", "phantom_tumor", "0seed1").endswith(
        "T2/fold0seed1/model.safetensors"
    )


def test_a_plan_of_minutes_is_announced():
    assert planning_time_note(3000) == ""
    assert planning_time_note(100_000) == "100,000 scans: planning takes Snakemake about 7 minutes."


def test_nothing_is_needed_of_scans_that_are_left_out(tmp_path):
    source = scan_table(tmp_path, "lesions.csv", {"x": "x.nii.gz", "y": "y.nii.gz"})
    (tmp_path / "y.nii.gz").unlink()

    def run(**entry):
        return run_of(tmp_path, datasets={"own": dataset("lesion", source=source, **entry)})

    with pytest.raises(
        InputError,
        match=r"own: 1 of 2 subjects are there, 1 missing: y\n.* is \S+y\.nii\.gz",
    ):
        run().data.stop_for_missing()
    partial = run(leave_out=["y"])
    partial.data.stop_for_missing()
    assert preprocess.scans_of_cohort(partial, "own", "all") == [f"{tmp_path}/results/preprocessed/own/x"]
    assert dataset_groups.labels_and_counts(partial, ["own"])["own"]["n_listed"] == 2


@pytest.mark.parametrize("split", [None, "lists.csv"])
def test_a_scan_that_could_not_be_used_stays_behind_its_cohort_when_it_is_named_under_leave_out(
    tmp_path, split
):
    source = scan_table(tmp_path, "own.csv", {name: f"{name}.nii.gz" for name in "abcx"})
    rows = "subject,fold0\na,train\nx,train\nb,validation\nc,test\n"
    role, cohort = ("lesion", "all") if split is None else ("healthy", "train_fold0")
    entry = {"source": source, "split": split and subject_list(tmp_path, split, rows)}
    training_data = {"T2": "phantom_healthy_t2", "T1": "own" if split else "phantom_healthy_t1"}

    def folders(of, **left_out):
        named = {"own": dataset(role, **entry, **left_out)}
        run = run_of(tmp_path, datasets=named, training_data=training_data)
        return {Path(path).name for path in of(run, "own", cohort)}

    used, accepted = preprocess.scans_of_cohort, preprocess.unusable_scans_of_cohort
    all_of_them = folders(used)
    assert "x" in all_of_them
    assert folders(accepted) == set()
    preprocessed = tmp_path / "results/preprocessed/own/x"
    assert folders(used, leave_out=["x"]) == all_of_them - {"x"}
    assert folders(accepted, leave_out=["x"]) == set()  # not preprocessed
    write_json(preprocessed / "qc.json", {"flags": []})
    assert folders(accepted, leave_out=["x"]) == set()  # it was used
    write_json(preprocessed / "qc.json", {"flags": [], "left_out": "no brain found"})
    assert folders(accepted) == set()
    assert folders(used, leave_out=["x"]) == all_of_them - {"x"}
    assert folders(accepted, leave_out=["x"]) == {"x"}
    (tmp_path / "x.nii.gz").unlink()
    assert folders(accepted, leave_out=["x"]) == {"x"}
    if split:
        run = run_of(
            tmp_path, datasets={"own": dataset(role, **entry, leave_out=["x"])}, training_data=training_data
        )
        assert preprocess.unusable_scans_of_cohort(run, "own", "test_fold0") == []
    (preprocessed / "qc.json").write_text("{")
    assert folders(accepted, leave_out=["x"]) == set()


def test_to_leave_out_a_simulated_scan_changes_no_others_role(tmp_path):
    def roles(**entry):
        config = configuration(tmp_path)
        config["datasets"]["phantom_healthy_t1"] |= entry
        return make_plan(config, str(REGISTRY)).datasets["phantom_healthy_t1"].roles(0)

    everybody = roles()
    first = everybody["train"][0]
    assert roles(leave_out=[first]) == {**everybody, "train": everybody["train"][1:]}


def test_methods_that_lack_weights_are_named_before_anything_is_computed(tmp_path):
    [note] = planning_notes(run_of(tmp_path, methods=["patch2loc", "fae"]))
    assert "fae: resnet18_imagenet" in note
    assert f"resnet18_imagenet: {tmp_path}/downloads/resnet18_imagenet/resnet18-f37072fd.pth" in note
    assert planning_notes(run_of(tmp_path, methods=["patch2loc", "thresh"])) == []


def test_settings_of_methods_that_a_run_leaves_out_stop_nothing_and_are_named(tmp_path):
    settings = {"ae": {"steps": 5}, "vae": {"steps": 5}}
    [note] = planning_notes(run_of(tmp_path, methods=["patch2loc", "vae"], method_settings=settings))
    assert note == "method_settings of ae, not among `methods`: not used."
    assert planning_notes(run_of(tmp_path, methods=["ae", "vae"], method_settings=settings)) == []


def test_a_run_with_lesions_makes_the_papers_tables_and_figures(tmp_path):
    config = configuration(tmp_path)
    config["datasets"]["phantom_wmh"]["published_name"] = "WMH"
    run = make_plan(config, str(REGISTRY))
    shown = [Outputs(run).all[name].inputs(run)["heatmaps"] for name in ("fig8", "fig9")]
    expected = [[score.heatmaps(run, "patch2loc", name, 0)] for name in ("phantom_wmh", "phantom_tumor")]
    assert shown == expected  # the paper's own come first
    assert Outputs(run).figures[:9] == [f"fig{number}" for number in range(1, 10)]
    assert tumor_dataset(run) == "phantom_tumor"
    assert "folds" not in Outputs(run).figures
    assert "by_site" not in Outputs(run).tables
    assert Outputs(run).tables[-1] == "cases"
    assert "cases" not in Outputs(run).tables_in_report
    assert "parts" not in Outputs(run).tables  # on request
    config["folds"] = [0, 1]
    config["datasets"]["phantom_healthy_t1"]["source"]["count"] = 9
    config["datasets"]["phantom_healthy_t2"]["source"]["count"] = 9
    assert "folds" in Outputs(make_plan(config, str(REGISTRY))).figures


def test_a_run_without_lesions_shows_healthy_heatmaps_and_false_positives(tmp_path):
    config = configuration(tmp_path)
    config["datasets"] = {
        name: entry for name, entry in config["datasets"].items() if entry["role"] == "healthy"
    }
    run = make_plan(config, str(REGISTRY))
    assert Outputs(run).tables == ["thresholds", "domain_shift", "healthy_checks"]
    assert Outputs(run).figures == ["fig5", "fig7", "domain_shift", "healthy_checks"]
    with pytest.raises(InputError, match="table1: the run has no dataset with the role lesion"):
        Outputs(run).all["table1"].check(run)


def test_the_protocol_says_how_numbers_were_computed_and_leaves_out_what_is_not(tmp_path):
    said = protocol(run_of(tmp_path))
    assert "4 mm, median filter of 3 voxels in each direction, stride 1" in said
    assert "lesion if lesion fills at least half of it" in said
    assert said.endswith("20,480 training patches.")
    assert "lesion if lesion fills any of it" in protocol(run_of(tmp_path, truth="any"))
    score_settings = {**configuration(tmp_path)["score"], "median_filter_healthy": 1}
    filtered = "median filter of 3 voxels in each direction (of healthy test scans 1), stride 1"
    assert filtered in protocol(run_of(tmp_path, score=score_settings))
    combined = protocol(run_of(tmp_path, combinations=BOTH))
    assert "both, Fisher's statistic of patch2loc_calibrated and zscore" in combined


def test_a_method_whose_needed_one_does_not_run_is_refused(tmp_path):
    run = run_of(tmp_path, methods=["fae_patch2loc", "zscore"])
    with pytest.raises(InputError, match="fae_patch2loc found without patch2loc"):
        train.needed_models(run, "fae_patch2loc", "T1", 0)
    both = run_of(tmp_path, methods=["patch2loc", "fae_patch2loc"])
    assert train.needed_models(both, "fae_patch2loc", "T1", 0) == [
        f"{tmp_path}/results/models/patch2loc/T1/fold0/model.safetensors"
    ]


def test_downloads_have_the_columns_that_a_download_takes(tmp_path):
    rows = run_of(tmp_path).data.downloads("vgg19_imagenet")
    assert rows
    assert all(list(row) == ["file", "url", "bytes", "checksum", "fetch"] for row in rows)
    assert run_of(tmp_path).data.usable_weights(["zscore", "patch2loc"]) == []


@pytest.fixture
def public(tmp_path, monkeypatch):
    """A registry of two studies, and a function that plans a run on scans of them of which none is there."""
    monkeypatch.delenv("PATCH2LOC_MIRROR", raising=False)
    columns = "dataset,title,file,url,bytes,checksum,license,access,fetch,citation,layout,confirmed"
    rows = [
        f"{name},{name},{name}.files,https://a.org/{name},,,CC0,{access},scans,a,b,c"
        for name, access in (("study", "open"), ("registered", "registration"))
    ]
    (tmp_path / "registry.csv").write_text("\n".join([columns, *rows]) + "\n")
    checksum = f"sha256:{'0' * 64}"
    (tmp_path / "scan_files.csv").write_text(
        "source,path,url,bytes,checksum,step\n"
        f"study.files,x.nii.gz,https://a.org/x.nii.gz,2000000,{checksum},\n"
        f"study.files,lesion_x.nii.gz,https://a.org/lesion_x.nii.gz,,{checksum},\n"
        f"registered.files,y.nii.gz,,,{checksum},\n"
        f"registered.files,lesion_y.nii.gz,,,{checksum},\n"
    )

    def planned(*names, **changes):
        own = {}
        for name, subject in (("study", "x"), ("registered", "y")):
            source = scan_table(tmp_path, f"{name}.csv", {subject: f"{subject}.nii.gz"})
            own[name] = dataset("lesion", source={**source, "registry": name})
        for path in tmp_path.glob("*.nii.gz"):
            path.unlink()
        config = configuration(tmp_path, {name: own[name] for name in names}, **changes)
        return make_plan(config, str(tmp_path / "registry.csv"), str(tmp_path / "scan_files.csv"))

    return planned


def test_public_scans_that_are_not_there_are_fetched_and_do_not_stop_the_plan(public, tmp_path):
    run = public("study")
    run.data.stop_for_missing()
    assert run.data.places_to_fetch == [f"{tmp_path}/x.nii.gz", f"{tmp_path}/lesion_x.nii.gz"]
    assert set(preprocess.scan_parts(run, "study", "x").values()) == set(run.data.places_to_fetch)
    assert [scan["datasets"] for scan in run.data.scans_to_fetch.values()] == [["study"], ["study"]]
    assert run.data.sources_of_scans["study.files"]["license"] == "CC0"
    assert planning_notes(run)[0].startswith("2 scans of study are not below")
    assert "2 MB and more" in planning_notes(run)[0]
    assert run.data.obtainable() == ([], "")


def test_scans_in_their_places_are_not_fetched(public, tmp_path):
    run = public("study")
    for name in ("x", "lesion_x"):
        (tmp_path / f"{name}.nii.gz").touch()
    assert run.data.places_to_fetch == []
    assert planning_notes(run) == []


def test_scans_without_an_address_stop_the_plan_unless_others_are_fetched_or_there_is_a_mirror(
    public, monkeypatch
):
    alone = public("registered")
    with pytest.raises(
        InputError, match=r"registered: none of 1 subjects is there.*\n.*\n.*\(after registration\)"
    ):
        alone.data.stop_for_missing()
    both = public("study", "registered")
    both.data.stop_for_missing()  # the run asks for them with all others that it cannot have
    assert len(both.data.places_to_fetch) == 4
    monkeypatch.setenv("PATCH2LOC_MIRROR", "file:///mirror")
    mirrored = public("registered")
    mirrored.data.stop_for_missing()
    assert len(mirrored.data.places_to_fetch) == 2


def test_scans_of_a_persons_own_dataset_are_never_fetched(tmp_path):
    source = scan_table(tmp_path, "own.csv", {"x": "x.nii.gz"})
    (tmp_path / "x.nii.gz").unlink()
    (tmp_path / "scan_files.csv").write_text(
        f"source,path,url,bytes,checksum,step\na,x.nii.gz,https://a.org/x.nii.gz,,sha256:{'0' * 64},\n"
    )
    config = configuration(tmp_path, {"own": dataset("lesion", source=source)})
    run = make_plan(config, str(REGISTRY), str(tmp_path / "scan_files.csv"))
    with pytest.raises(InputError, match="own: none of 1 subjects is there"):
        run.data.stop_for_missing()


def test_a_run_can_do_without_a_dataset(public):
    run = public("study", "registered", without=["registered"])
    assert "registered" not in run.datasets
    assert "registered" not in dataset_groups.labeled(run)
    assert len(run.data.places_to_fetch) == 2
    assert planning_notes(run)[0] == "Left out, as `without` says: registered."


def test_a_run_can_do_without_a_modality(tmp_path):
    run = run_of(tmp_path, without=["phantom_healthy_t2"])
    assert list(run.training_data) == ["T1"]
    assert {dataset.modality for dataset in run.datasets.values()} == {"T1"}
    assert planning_notes(run)[0] == (
        "Left out, as `without` says: phantom_healthy_t2, and with their training data phantom_tumor."
    )


@pytest.mark.parametrize(
    ("names", "finding"),
    [
        (["studies"], "studies found, which `datasets` lacks; name another"),
        (["phantom_healthy_t1", "phantom_healthy_t2"], "phantom_healthy_t1, .* among them all training data"),
    ],
)
def test_a_run_cannot_do_without_all_training_data_or_what_it_has_not(public, names, finding):
    with pytest.raises(InputError, match=f"without: {finding}"):
        public("study", without=names)


def test_scans_that_preprocessing_left_out_are_named(tmp_path):
    run = run_of(tmp_path, methods=["patch2loc", "thresh"])
    assert unused_scans_note(run) == ""
    name, dataset = next(iter(run.datasets.items()))
    scan = next(iter(dataset.scans))
    write_json(f"{run.results.preprocessed(name, scan)}/qc.json", {"left_out": "no brain found"})
    note = unused_scans_note(run)
    assert note.startswith("1 of ")
    assert note.endswith(f"before the whole run.\n{name}, {scan}: no brain found")
