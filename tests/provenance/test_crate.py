"""A finished run as an RO-Crate: whole, true to the files, without a trace of the machine."""

import json

import pytest
from crates import check_files, entities_of, linked, training_scans
from rocrate.rocrate import ROCrate

from patch2loc.commands import main
from patch2loc.data.results import CRATE
from patch2loc.errors import InputError
from patch2loc.files import read_json, sha256, write_json, write_text
from patch2loc.provenance.crate import without_absolute_paths, write_crate
from patch2loc.provenance.record import describe, write_sidecar
from patch2loc.provenance.trace import trace

DATASETS = {
    "healthy": {"title": "Healthy", "modality": "T1", "role": "healthy", "simulated": False},
    "strokes": {"title": "Strokes", "modality": "T1", "role": "lesion", "simulated": True},
}
CITATION = {
    "title": "Workflow",
    "authors": [{"name": "The authors"}, {"family-names": "Nyúl", "given-names": "L. G."}],
    "preferred-citation": {"title": "The paper", "url": "https://arxiv.org/abs/2506.22504"},
}
SUBJECTS = {"healthy": ["sub 1", "sub#2", "süb%3"], "strokes": ["a;b $(c)", "'quoted\" & <d>"]}
CONFIGURATION = {"data": "/home/somebody/scans", "seed": 5, "folds": [0], "atlas": "~/atlas"}


def job(results, rule, inputs, outputs, about=""):
    paths = {
        "inputs": [str(results / path) for path in inputs],
        "outputs": [str(results / o) for o in outputs],
    }
    return {"rule": rule, "about": about, "code": f"hash-{rule}", **paths}


@pytest.fixture
def run(tmp_path):
    """A small run, as the rules leave one, and what its jobs did."""
    results, sources = tmp_path / "results", tmp_path / "code"
    elsewhere = tmp_path / "home/somebody/scans"
    scans = {}
    for dataset, subjects in SUBJECTS.items():
        for subject in subjects:
            folder, raw = results / "preprocessed" / dataset / subject, elsewhere / f"{subject}.nii.gz"
            for path in (raw, folder / "T1.nii.gz", folder / "mask.nii.gz", folder / "qc.json"):
                write_text(path, f"{path.name} of {subject}")
            write_sidecar(folder / "qc.json", describe("hash-preprocess", [raw], {}, [subject]))
            scans[subject] = [folder / "T1.nii.gz", folder / "mask.nii.gz"]
    model, metrics = "models/zscore/T1/fold0/model.safetensors", "metrics/zscore/strokes/fold0.csv"
    made = [
        job(results, "preprocess", [], ["preprocessed/healthy"]),
        job(results, "preprocess", [], ["preprocessed/strokes"]),
        job(results, "train", ["preprocessed/healthy"], [model, f"{model}.history.csv"], "Model."),
        job(results, "score", [model], ["heatmaps/zscore/strokes/fold0"], "Heatmaps."),
        job(
            results,
            "evaluate",
            [model, "heatmaps/zscore/strokes/fold0"],
            [metrics, f"{metrics}.provenance.json"],
        ),
        job(results, "table1", [metrics], ["tables/table1.csv", "tables/table1.md"], "Table 1."),
        job(
            results,
            "fig4",
            [metrics, "heatmaps/zscore/strokes/fold0"],
            ["figures/fig4.png", "figures/fig4.pdf"],
        ),
        job(results, "fig9", [metrics], ["figures/fig9.png"]),  # of which this run has none
    ]
    for path in (model, f"{model}.history.csv", metrics, "tables/table1.csv", "tables/table1.md"):
        write_text(results / path, path)
    for path in ("figures/fig4.png", "figures/fig4.pdf", "heatmaps/zscore/strokes/fold0/a;b $(c).nii.gz"):
        write_text(results / path, path)
    about = {"seed": 5, "atlas": "/home/somebody/atlas"}
    trained = [path for subject in SUBJECTS["healthy"][:2] for path in scans[subject]]
    write_sidecar(results / model, describe("hash-train", trained, about, SUBJECTS["healthy"][:2]))
    tested = [results / model, *(path for subject in SUBJECTS["strokes"] for path in scans[subject])]
    write_sidecar(results / metrics, describe("hash-evaluate", tested, {}, SUBJECTS["strokes"]))
    published = tmp_path / "home/somebody/published.csv"
    write_text(published, "numbers")
    given = [results / metrics, published]
    write_sidecar(
        results / "tables/table1.csv", describe("hash-table1", given, {"seed": 5}, SUBJECTS["strokes"])
    )
    for path in ("Snakefile", "train.smk", "score.smk"):
        write_text(sources / path, path)
    return results, made, [sources / name for name in ("Snakefile", "train.smk", "score.smk")]


@pytest.fixture
def crated(run):
    results, made, sources = run
    write_crate(
        results, made, datasets=DATASETS, configuration=CONFIGURATION, sources=sources, citation=CITATION
    )
    return results


def test_the_library_reads_it_and_the_root_says_what_it_must(crated):
    crate = ROCrate(crated)
    assert crate.root_dataset["license"].id == "#license"  # not all of it is simulated
    assert crate.mainEntity.id == "workflow/Snakefile"
    assert "ComputationalWorkflow" in crate.mainEntity.type
    assert {author["name"] for author in crate.mainEntity["author"]} == {"The authors", "L. G. Nyúl"}
    finished = [read_json(path)["finished"] for path in crated.rglob("*.provenance.json")]
    assert crate.root_dataset["datePublished"] == max(finished)
    for name in ("tables/table1.csv", "figures/fig4.png", "models/zscore/T1/fold0/model.safetensors"):
        assert crate.get(name) in crate.root_dataset["hasPart"]
    assert crate.get("figures/fig9.png") is None


def test_what_it_describes_is_there_and_unchanged(crated):
    assert check_files(crated) == 7 + 3 + 4  # results, their provenance, workflow and configuration
    entities = entities_of(crated)
    links = {
        value["@id"]
        for entity in entities.values()
        for values in entity.values()
        for value in (values if isinstance(values, list) else [values])
        if isinstance(value, dict)
    }
    assert links - set(entities) == {"https://w3id.org/ro/crate/1.1"}


def test_no_path_and_no_user_of_the_machine_is_in_it(crated, tmp_path):
    for path in (CRATE, "workflow/configuration.json"):
        text = (crated / path).read_text()
        for secret in ("somebody", str(tmp_path), tmp_path.name, "~", "/home"):
            assert secret not in text
    assert without_absolute_paths({"a": ["/x/y", "x/y", 1]}) == {"a": ["y", "x/y", 1]}


def test_a_table_leads_to_the_scans_that_its_model_was_trained_on(crated):
    expected = {"preprocessed/healthy/sub%201/", "preprocessed/healthy/sub%232/"}
    assert training_scans(crated, "tables/table1.csv") == expected
    assert training_scans(crated, "figures/fig4.png") == expected
    entities = entities_of(crated)
    for scan in expected:
        (raw,) = linked(entities, *entities[scan]["isBasedOn"])
        subject = entities[scan]["name"]
        assert raw["sha256"] == sha256(crated.parent / f"home/somebody/scans/{subject}.nii.gz")


def test_an_action_says_code_seed_device_packages_and_time(crated):
    entities = entities_of(crated)
    (action,) = [entity for name, entity in entities.items() if name.startswith("#train/")]
    record = read_json(crated / "models/zscore/T1/fold0/model.safetensors.provenance.json")
    assert (action["startTime"], action["endTime"]) == (record["started"], record["finished"])
    where = {each["name"]: each["value"] for each in linked(entities, *action["environment"])}
    assert where == {"device": record["device"], "machine": record["environment"].pop("machine")}
    instrument = entities[action["instrument"]["@id"]]
    assert instrument["softwareVersion"] == "hash-train"
    packages = {
        each["name"]: each["softwareVersion"]
        for each in linked(entities, *instrument["softwareRequirements"])
    }
    assert packages == record["environment"]
    values = {each["name"]: each.get("value") for each in linked(entities, *action["object"])}
    assert values["seed"] == 5
    assert json.loads(values["configuration"]) == {"seed": 5, "atlas": "atlas"}


def test_simulated_data_are_called_so_and_no_others(crated):
    entities = entities_of(crated)
    assert "simulated" in entities["./"]["keywords"]
    assert "simulated" in entities["preprocessed/strokes/"]["name"]
    assert "simulated" not in entities["preprocessed/healthy/"]["name"]
    assert entities["tables/table1.csv"]["description"] == "Table 1. Simulated data: strokes."
    assert entities["heatmaps/zscore/strokes/fold0/"]["description"] == "Heatmaps. Simulated data: strokes."
    assert entities["models/zscore/T1/fold0/model.safetensors"]["description"] == "Model."


def test_the_same_results_give_the_same_crate(run):
    results, made, sources = run
    texts = []
    for _ in range(2):
        write_crate(
            results, made, datasets=DATASETS, configuration=CONFIGURATION, sources=sources, citation=CITATION
        )
        texts.append((results / CRATE).read_bytes())
    assert texts[0] == texts[1]


def test_a_figure_is_traced_by_the_crate(crated, capsys):
    chain = {entry["file"]: entry for entry in trace(crated / "figures/fig4.pdf")}
    figure = chain[str(crated / "figures/fig4.pdf")]
    assert (figure["code"], figure["changed"]) == ("hash-fig4", False)
    assert str(crated / "models/zscore/T1/fold0/model.safetensors") in chain
    raw = {path for entry in chain.values() for path in entry["inputs"] if "somebody" in path}
    assert {f"{subject}.nii.gz" for subjects in SUBJECTS.values() for subject in subjects} - {
        path.rsplit("/", 1)[1] for path in raw
    } == {"süb%3.nii.gz"}  # which no model saw
    write_text(crated / "figures/fig4.pdf", "painted over")
    assert main(["trace", str(crated / "figures/fig4.pdf")]) == 0
    assert "fig4.pdf  CHANGED SINCE" in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:1000],
        lambda text: "[]",
        lambda text: "{}",
        lambda text: "[" * 200_000,
        lambda text: text.replace('"instrument"', '"unknown"'),
        lambda text: text.replace('"File"', '"@id": "another", "@type": "File"'),
        lambda text: text.replace('"CreateAction"', '["CreateAction"]'),
    ],
)
def test_a_damaged_crate_is_named(crated, damage, capsys):
    crate = crated / CRATE
    crate.write_text(damage(crate.read_text()))
    assert main(["trace", str(crated / "figures/fig4.png")]) == 1
    assert f"patch2loc: {crated}" in capsys.readouterr().err


def test_a_folder_without_provenance_is_no_run(run, tmp_path):
    _, _, sources = run
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no \*\.provenance\.json"):
        write_crate(
            tmp_path / "empty",
            [],
            datasets=DATASETS,
            configuration=CONFIGURATION,
            sources=sources,
            citation=CITATION,
        )


def test_a_run_of_the_papers_size_stays_small(tmp_path, run):
    _, _, sources = run
    results, datasets, jobs = tmp_path / "paper", {}, []
    for name, count in {"ixi": 560, "brats": 1251}.items():
        datasets[name] = {"title": name, "modality": "T2", "role": "healthy", "simulated": False}
        subjects = [f"{name}_{number:05d}" for number in range(count)]
        for subject in subjects:
            (results / "preprocessed" / name / subject).mkdir(parents=True)
        for method in ("patch2loc", "zscore", "thresh", "patch2loc_calibrated"):
            for fold in range(5):
                path = results / f"metrics/{method}/{name}/fold{fold}.csv"
                write_text(path, f"{path}")
                inputs = {
                    f"{results}/preprocessed/{name}/{subject}/{part}.nii.gz": "0" * 64
                    for subject in subjects
                    for part in ("mask", "lesion")
                }
                described = {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-02T00:00:00+00:00"}
                described |= {"file": str(path), "sha256": "0" * 64, **describe("code", [], {}, [])}
                write_json(f"{path}.provenance.json", {**described, "inputs": inputs})
                jobs.append(job(results, "evaluate", [], [path.relative_to(results)]))
    write_crate(results, jobs, datasets=datasets, configuration={}, sources=sources, citation=CITATION)
    assert (results / CRATE).stat().st_size < 1.5e6  # of 1,811 scans, which the paper has twice as many of
