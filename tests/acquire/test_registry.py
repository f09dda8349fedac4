import json
import os

import pandas as pd
import pytest
import yaml
from repository_paths import ROOT

from patch2loc.acquire import registry
from patch2loc.acquire.shortfall import closing_note
from patch2loc.configuration import prerequisites
from patch2loc.errors import InputError

REGISTRY = ROOT / "config" / "registry.csv"
PAPER = {"ixi", "ixi_extra", "sri24", "sri24_extra", "brats21", "mslub", "atlas", "wmh"}
PRETRAINED = set(prerequisites.WEIGHTS)
REAL = {
    "ixi2mm",
    "kirby21",
    "mni152",
    "colin27",
    "brats21_case",
    "mslub_mni",
    "tcga",
    "stroke_masks",
    "model_t1",
}
SCHEMA = ROOT / "workflow" / "schemas" / "registry.schema.yaml"


def test_shipped_registry_follows_its_schema():
    table = registry.read(REGISTRY, SCHEMA)
    assert set(table["dataset"]) == PAPER | REAL | PRETRAINED
    assert list(table.columns) == yaml.safe_load(SCHEMA.read_text())["required"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("checksum", "md5:12"),
        ("access", "free"),
        ("fetch", "ask"),
        ("bytes", "6 MB"),
        ("license", ""),
        ("url", "ftp://x"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path, column, value):
    table = pd.read_csv(REGISTRY, dtype=str, keep_default_na=False)
    table.loc[2, column] = value
    table.to_csv(tmp_path / "registry.csv", index=False)
    with pytest.raises(InputError, match=f"line 4, {column}"):
        registry.read(tmp_path / "registry.csv", SCHEMA)


def test_verify_compares_size_and_checksum(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    row = {
        "file": "file",
        "url": "https://x",
        "bytes": "3",
        "checksum": "md5:900150983cd24fb0d6963f7d28e17f72",
    }
    registry.verify(path, row)
    registry.verify(path, {**row, "bytes": "", "checksum": ""})
    with pytest.raises(InputError, match="3 bytes found, 4 expected"):
        registry.verify(path, {**row, "bytes": "4"})
    with pytest.raises(InputError, match="900150983cd24fb0d6963f7d28e17f72 found"):
        registry.verify(path, {**row, "checksum": "md5:" + "0" * 32})
    with pytest.raises(InputError, match="no such file"):
        registry.verify(tmp_path / "none", row)


def test_a_checksum_of_the_configuration_replaces_that_of_the_registry():
    table = registry.read(REGISTRY)
    stated = registry.with_checksums(table, {"sri24_anatomy_nifti.zip": "md5:" + "0" * 32})
    row = stated.set_index("file").loc["sri24_anatomy_nifti.zip"]
    assert (row["checksum"], row["bytes"]) == ("md5:" + "0" * 32, "")  # another release has another size
    others = stated["file"] != "sri24_anatomy_nifti.zip"
    pd.testing.assert_frame_equal(stated[others], table[others])
    pd.testing.assert_frame_equal(registry.with_checksums(table, {}), table)
    with pytest.raises(InputError, match=r"checksums: IXI-T1 found, .* one of IXI-T1.tar, IXI-T2.tar"):
        registry.with_checksums(table, {"IXI-T1": "md5:" + "0" * 32})


@pytest.fixture
def datasets(tmp_path):
    (tmp_path / "subjects.csv").write_text("subject\ns1\ns2\n")
    (tmp_path / "there").mkdir()
    for subject in ("s1", "s2"):
        (tmp_path / "there" / f"{subject}.nii.gz").write_bytes(b"")
    folder = {
        "kind": "folder",
        "modality": "T1",
        "subjects": str(tmp_path / "subjects.csv"),
        "scan": "{subject}.nii.gz",
    }
    return {
        "healthy": {**folder, "registry": "ixi", "root": str(tmp_path / "ixi")},
        "own": {**folder, "root": str(tmp_path / "own")},
        "complete": {**folder, "root": str(tmp_path / "there")},
        "simulated": {"kind": "phantom", "modality": "T1", "root": "x", "cohort": "ms", "count": 1},
    }


def test_one_message_names_every_missing_dataset_and_what_can_be_run(datasets, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/s1.nii.gz").touch()
    message = registry.missing_data_message(datasets, registry.read(REGISTRY))
    assert "missing: of 2 of 4 datasets." in message
    assert (
        f"healthy: none of 2 subjects is there; the first file expected is {tmp_path}/ixi/s1.nii.gz"
        in message
    )
    assert "IXI-T1.tar" in message
    assert "IXI-T2.tar" not in message
    assert f"under {tmp_path}/ixi/" in message
    assert "own: 1 of 2 subjects are there, 1 missing: s2\n  files: 1 missing, the first is " in message
    assert "your own data" in message
    assert "make demo" in message
    assert "Complete: complete." in message
    assert "(open; `snakemake data` downloads it)" in message


def test_a_missing_atlas_says_which_there_are(tmp_path):
    atlas = {"kind": "atlas", "root": str(tmp_path / "sri42"), "registry": "sri24"}
    message = registry.missing_data_message({"sri24": atlas}, registry.read(REGISTRY))
    assert f"sri24, the atlas: {tmp_path}/sri42/spgr.nii and {tmp_path}/sri42/late.nii missing" in message
    assert "folder below `data` with spgr.nii and late.nii expected, or icbm152" in message


def test_simulated_strokes_ask_for_what_they_are_made_from(tmp_path):
    (tmp_path / "pairs.csv").write_text(
        "subject,scan,brain,mask,mirrored,seed\npainted_a,a.nii.gz,b.nii.gz,m.nii.gz,0,1\n"
    )
    dataset = {
        "kind": "painted",
        "modality": "T1",
        "registry": "stroke_masks",
        "table": str(tmp_path / "pairs.csv"),
        "data": "elsewhere",
        "root": "results/raw/painted",
    }
    message = registry.missing_data_message({"painted": dataset}, registry.read(REGISTRY))
    assert "painted: none of 1 subjects is there; the first file expected is elsewhere/a.nii.gz" in message
    assert "under elsewhere/: stroke_masks_mni/" in message


def test_no_message_when_nothing_is_missing(datasets):
    complete = {name: datasets[name] for name in ("complete", "simulated")}
    assert registry.missing_data_message(complete, registry.read(REGISTRY)) == ""


@pytest.fixture
def paper(tmp_path):
    """Datasets in the paper's layout, none of them there."""
    (tmp_path / "subjects.csv").write_text("subject\ns1\n")

    def folder(name, modality):
        scan = "{subject}.nii.gz"
        subjects, root = str(tmp_path / "subjects.csv"), str(tmp_path / name)
        return dict(
            kind="folder",
            registry=name,
            modality=modality,
            subjects=subjects,
            scan=scan,
            root=root,
            name=name,
        )

    return {
        "ixi_t1": {**folder("ixi", "T1"), "name": "ixi_t1"},
        "mslub": folder("mslub", "T2"),
        "atlas": folder("atlas", "T1"),
        "wmh": folder("wmh", "T1"),
        "sri24": {"name": "sri24", "kind": "atlas", "root": str(tmp_path / "sri24"), "registry": "sri24"},
    }


def test_open_data_are_obtained_and_the_message_tells_where_to_ask_for_the_rest(paper, tmp_path):
    obtained, message = registry.obtainable(paper, registry.read(REGISTRY), tmp_path, passphrase=False)
    assert obtained == ["ixi", "wmh", "sri24"]
    assert "mslub: none of 1 subjects is there" in message
    assert f"into {tmp_path}/downloads/mslub/" in message
    assert "https://lit.fe.uni-lj.si/en/research/resources/3D-MR-MS/ (after a form)" in message
    assert "known: by what is in it: patientNN_T2W.nii.gz" in message
    assert "ixi" not in message


def test_only_the_files_of_a_modality_in_use_are_downloaded(paper):
    table = registry.read(REGISTRY)
    assert [row["file"] for row in registry.downloadable(paper, table, "ixi")] == ["IXI-T1.tar"]
    both = {**paper, "ixi_t2": {**paper["ixi_t1"], "modality": "T2"}}
    assert [row["file"] for row in registry.downloadable(both, table, "ixi")] == ["IXI-T1.tar", "IXI-T2.tar"]
    assert [row["file"] for row in registry.downloadable(paper, table, "sri24")] == [
        "sri24_anatomy_nifti.zip"
    ]
    assert registry.downloadable(paper, table, "mslub") == []


def test_archives_that_were_put_into_place_are_obtained(paper, tmp_path):
    for name, content in (("mslub", b"PK\x03\x04"), ("atlas", b"U2FsdGVkX18")):
        folder = registry.downloads(tmp_path, name)
        folder.mkdir(parents=True)
        (folder / "any name").write_bytes(content)
    (registry.downloads(tmp_path, "mslub") / "another.part").write_bytes(b"")
    table = registry.read(REGISTRY)
    obtained, message = registry.obtainable(paper, table, tmp_path, passphrase=False)
    assert obtained == ["ixi", "mslub", "wmh", "sri24"]
    assert "encrypted: set PATCH2LOC_ATLAS_PASSPHRASE" in message
    obtained, message = registry.obtainable(paper, table, tmp_path, passphrase=True)
    assert obtained == ["ixi", "mslub", "atlas", "wmh", "sri24"]
    assert message == ""


def unpacked(folder, name, archives, missing):
    """Write the summary of archives that were unpacked, dated after them."""
    for archive in archives:
        (registry.downloads(folder, name) / archive).parent.mkdir(parents=True, exist_ok=True)
        (registry.downloads(folder, name) / archive).write_bytes(
            b"U2FsdGVkX18" if name == "atlas" else b"PK\x03\x04"
        )
    summary = {"archives": archives, "subjects": [], "missing": missing, "unknown": []}
    registry.summary(folder, name).write_text(json.dumps(summary))


def test_archives_that_gave_all_they_have_are_said_and_not_waited_for(paper, tmp_path):
    table = registry.read(REGISTRY)
    unpacked(tmp_path, "atlas", {"ATLAS_R2.0_encrypted.tar.gz": 4}, {"atlas": ["s1"]})
    unpacked(tmp_path, "mslub", {"a.zip": 3, "b.zip": 3}, {"mslub": ["s1"]})
    obtained, message = registry.obtainable(paper, table, tmp_path, passphrase=False)
    assert obtained == ["ixi", "wmh", "sri24"]
    assert "PASSPHRASE" not in message
    assert "Waiting for" not in message
    assert "came:  4 files of it from ATLAS_R2.0_encrypted.tar.gz, and nothing more is in there" in message
    assert "came:  6 files of it from a.zip, b.zip, and nothing more" in message
    assert "put:   what you got, under any name, into" in message
    assert "gone:" not in message
    assert "--config missing_scans=skip" in message


def test_an_archive_that_came_later_or_is_another_one_is_unpacked(paper, tmp_path):
    table = registry.read(REGISTRY)
    unpacked(tmp_path, "mslub", {"a.zip": 3}, {"mslub": ["s1"]})
    second = registry.downloads(tmp_path, "mslub") / "b.zip"
    second.write_bytes(b"PK\x03\x04")
    os.utime(second, (0, 0))  # moved there with its own date, older than the summary
    assert "mslub" in registry.obtainable(paper, table, tmp_path, passphrase=False)[0]
    second.unlink()
    assert "mslub" not in registry.obtainable(paper, table, tmp_path, passphrase=False)[0]
    later = registry.summary(tmp_path, "mslub").stat().st_mtime + 10
    os.utime(second.with_name("a.zip"), (later, later))
    assert "mslub" in registry.obtainable(paper, table, tmp_path, passphrase=False)[0]
    registry.summary(tmp_path, "mslub").write_text("{")
    assert "mslub" in registry.obtainable(paper, table, tmp_path, passphrase=False)[0]


def test_scans_that_were_there_and_have_gone_can_be_unpacked_again(paper, tmp_path):
    unpacked(tmp_path, "mslub", {"a.zip": 3}, {"mslub": []})
    _, message = registry.obtainable(paper, registry.read(REGISTRY), tmp_path, passphrase=False)
    assert (
        f"gone:  1 of the missing were there, s1 is the first; to unpack them again, remove {tmp_path}"
        in message
    )


def test_what_is_missing_at_the_end_is_a_line_for_each_dataset(paper, tmp_path):
    (tmp_path / "subjects.csv").write_text("subject\ns1\ns2\n")
    (tmp_path / "mslub").mkdir()
    (tmp_path / "mslub/s1.nii.gz").touch()
    named = {name: {**dataset, "name": name} for name, dataset in paper.items()}
    lines = closing_note(named).splitlines()
    assert lines[0] == "Not all scans are there, of 5 of 5:"
    assert lines[2] == "  mslub: 1 of 2 subjects are there, 1 missing: s2"
    assert lines[-1].startswith("--config missing_scans=skip")
    (tmp_path / "mslub/s2.nii.gz").touch()
    assert closing_note({"mslub": named["mslub"]}) == "All scans of mslub are there."


def test_complete_data_and_spent_archives_are_left_alone(paper, tmp_path):
    table = registry.read(REGISTRY)
    (tmp_path / "mslub").mkdir()
    (tmp_path / "mslub/s1.nii.gz").write_bytes(b"")
    registry.summary(tmp_path, "ixi").write_text("{}")  # unpacked, a subject still missing, archives removed
    obtained, message = registry.obtainable(paper, table, tmp_path, passphrase=False)
    assert obtained == ["wmh", "sri24"]
    assert "mslub" not in message
    assert "ixi_t1: none of 1 subjects is there" in message
