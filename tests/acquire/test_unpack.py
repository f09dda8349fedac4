"""Replicas of every archive, in its documented layout, to what config/config.yaml reads."""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import forks
import pytest
import replica
import yaml
from repository_paths import ROOT

from patch2loc.acquire import registry, sources, unpack
from patch2loc.errors import InputError

CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))


def contents(archive):
    """{member: content} of a replica."""
    if archive.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            return {name: opened.read(name) for name in opened.namelist()}
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened if member.isreg()}


def put(folder, **archives):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in archives.items():
        (folder / name).write_bytes(content)


def short_list(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def dataset(tmp_path, name, rows):
    """A dataset of config/config.yaml, with a short list and its data in tmp_path."""
    entry = CONFIG["datasets"][name]
    listed = short_list(tmp_path / f"{name}.csv", rows)
    root = str(tmp_path / entry["source"]["root"])
    return {"name": name, "modality": entry["modality"], "subjects": listed, **entry["source"], "root": root}


def complete(tmp_path, name, rows):
    """Paths of a dataset's files, all there."""
    described = dataset(tmp_path, name, rows)
    assert sources.missing(described) == []
    return sources.sources(described)


def test_ixi(tmp_path):
    put(tmp_path / "downloads", **{"IXI-T1.tar": replica.ixi("T1"), "IXI-T2.tar": replica.ixi("T2")})
    found = unpack.unpack("ixi", tmp_path / "downloads", tmp_path / "ixi")
    rows = replica.ixi_rows()
    assert found["subjects"] == [row["subject"] for row in rows]
    assert found["archives"] == {"IXI-T1.tar": 7, "IXI-T2.tar": 7}
    for name, modality in (("ixi_t1", "T1"), ("ixi_t2", "T2")):
        files = complete(tmp_path, name, rows)
        subject = rows[1]["subject"]
        original = contents(replica.ixi(modality))[f"{subject}-{modality}.nii.gz"]
        assert files[subject]["scan"].read_bytes() == original


def test_sri24(tmp_path):
    put(tmp_path / "downloads", zip=replica.sri24())
    found = unpack.unpack("sri24", tmp_path / "downloads", tmp_path / "sri24")
    assert found["subjects"] == []
    atlas = {"name": "sri24", "kind": "atlas", "root": str(tmp_path / "sri24")}
    assert sources.missing(atlas) == []
    compared = unpack.compare("sri24", found["files"], tmp_path / "sri24", [atlas])
    assert compared == {"missing": {"sri24": []}, "unknown": {"sri24": []}}
    assert sorted(path.name for path in (tmp_path / "sri24").iterdir()) == [
        "LICENSE",
        "erly.nii",
        "late.nii",
        "spgr.nii",
    ]


@pytest.mark.parametrize("layout", [replica.mslub, replica.mslub_mirror])
def test_mslub_of_the_official_site_and_of_the_mirror(tmp_path, layout):
    put(tmp_path / "downloads", archive=layout())
    found = unpack.unpack("mslub", tmp_path / "downloads", tmp_path / "mslub")
    rows = replica.listed("mslub")
    assert found["subjects"] == [row["subject"] for row in rows]
    official = contents(replica.mslub())
    for subject, paths in complete(tmp_path, "mslub", rows).items():
        # Of the two scans with the same name, the co-registered one: masks are on its voxels.
        assert paths["scan"].read_bytes() == official[f"{subject}/{subject}_T2W.nii.gz"]
        assert paths["brain"].read_bytes() == official[f"{subject}/{subject}_brainmask.nii.gz"]
        assert paths["lesion"].read_bytes() == official[f"{subject}/{subject}_consensus_gt.nii.gz"]


def mslub_layouts():
    """The official scans, nested in all the ways that are plausible: {layout: {name of an archive: content}}."""
    patients = {}
    for path, content in contents(replica.mslub()).items():
        patient, _, name = path.partition("/")
        if name:
            patients.setdefault(patient, {})[name] = content
    in_folders = {
        patient: {f"{patient}/{name}": content for name, content in files.items()}
        for patient, files in patients.items()
    }
    unnamed = {
        patient: {name.replace(f"{patient}_", ""): content for name, content in files.items()}
        for patient, files in patients.items()
    }

    def zips(folders):
        return {f"{patient}.zip": replica.zipped(files) for patient, files in folders.items()}

    return {
        "zips with files at the root": zips(patients),
        "zips with a folder": zips(in_folders),
        "zips with unnamed files": zips(unnamed),
        "a zip of zips with files at the root": {"all.zip": replica.zipped(zips(patients))},
        "a zip of zips with a folder": {"all.zip": replica.zipped(zips(in_folders))},
        "a zip of zips with unnamed files": {"all.zip": replica.zipped(zips(unnamed))},
        "an outer folder": {
            "all.zip": replica.zipped(
                {
                    f"3D-MR-MS/{path}": content
                    for files in in_folders.values()
                    for path, content in files.items()
                }
            )
        },
        "zips in an outer folder": {
            "all.zip": replica.zipped(
                {f"3D-MR-MS/{name}": content for name, content in zips(unnamed).items()}
            )
        },
        "another name of an archive": {
            f"{patient} (1).zip": replica.zipped(files) for patient, files in patients.items()
        },
    }


@pytest.mark.parametrize("layout", mslub_layouts())
def test_mslub_however_its_archives_are_nested(tmp_path, layout):
    put(tmp_path / "downloads", **mslub_layouts()[layout])
    found = unpack.unpack("mslub", tmp_path / "downloads", tmp_path / "mslub")
    rows = replica.listed("mslub")
    assert found["subjects"] == [row["subject"] for row in rows]
    official = contents(replica.mslub())
    for subject, paths in complete(tmp_path, "mslub", rows).items():
        assert paths["scan"].read_bytes() == official[f"{subject}/{subject}_T2W.nii.gz"]
        assert paths["lesion"].read_bytes() == official[f"{subject}/{subject}_consensus_gt.nii.gz"]


def wmh_rows():
    return [row for row in replica.listed("wmh", 60) if row["id"] in ("100", "50", "0")]


@pytest.mark.parametrize("layout", ["files", "zip", "one zip a site"])
def test_wmh_as_files_and_as_archives(tmp_path, layout):
    files = replica.wmh()
    if layout == "files":
        for path, content in files.items():
            put((tmp_path / "downloads" / path).parent, **{path.rpartition("/")[2]: content})
        (tmp_path / "downloads/readme.txt").unlink()  # not wanted, so not downloaded
    elif layout == "zip":
        put(tmp_path / "downloads", all=replica.zipped(files))
    else:
        for site in ("Utrecht", "Singapore", "GE3T"):
            part = {
                path[path.index(site) :]: content
                for path, content in files.items()
                if site in path and path.startswith("training")
            }
            put(tmp_path / "downloads", **{f"{site}.zip": replica.zipped(part)})
    found = unpack.unpack("wmh", tmp_path / "downloads", tmp_path / "wmh")
    rows = wmh_rows()
    assert found["subjects"] == sorted(row["subject"] for row in rows)
    subjects = complete(tmp_path, "wmh", rows)
    for row in rows:
        lesion = subjects[row["subject"]]["lesion"]
        assert lesion.read_bytes() == files[f"training/{row['folder']}/{row['id']}/wmh.nii.gz"]
    assert not list((tmp_path / "wmh").rglob("*test*"))


@pytest.mark.parametrize("locked", [False, True])
def test_atlas_decrypted_and_encrypted(tmp_path, locked):
    if locked and not shutil.which("openssl"):
        pytest.skip("no openssl on this machine to make the archive with")
    archive = replica.encrypted(replica.atlas()) if locked else replica.atlas()
    put(tmp_path / "downloads", **{"ATLAS_R2.0_encrypted.tar.gz": archive})
    found = unpack.unpack("atlas", tmp_path / "downloads", tmp_path / "atlas", replica.PASSPHRASE)
    rows = replica.listed("atlas")
    assert found["subjects"] == [row["subject"] for row in rows]
    original = contents(replica.atlas())
    for paths in complete(tmp_path, "atlas", rows).values():
        for part in ("scan", "lesion"):
            assert paths[part].read_bytes() == original[str(paths[part].relative_to(tmp_path / "atlas"))]
    assert not (tmp_path / "atlas/ATLAS_2/Testing").exists()


def test_brats21_in_two_archives(tmp_path):
    files = contents(replica.brats21())
    first = {name: content for name, content in files.items() if "00000" in name}
    second = {
        Path(name).relative_to("RSNA_training").as_posix(): files[name] for name in files.keys() - first
    }
    put(
        tmp_path / "downloads",
        **{
            "a.tar": replica.tar(first),
            "b.zip": replica.zipped(second),
            "b.zip.part": b"unfinished",
            "c.tsv": b"a list",
        },
    )
    found = unpack.unpack("brats21", tmp_path / "downloads", tmp_path / "brats21")
    rows = replica.listed("brats21")
    assert found["subjects"] == [row["subject"] for row in rows]
    assert found["archives"] == {"a.tar": 5, "b.zip": 10, "c.tsv": 0}
    complete(tmp_path, "brats21", rows)


def test_brats21_as_its_usual_public_copy_is_nested(tmp_path):
    put(tmp_path / "downloads", **{"archive.zip": replica.brats21_of_kaggle()})
    found = unpack.unpack("brats21", tmp_path / "downloads", tmp_path / "brats21")
    rows = replica.listed("brats21")
    assert found["subjects"] == [row["subject"] for row in rows]
    assert found["archives"] == {
        "archive.zip": 15
    }  # the case that is there twice is the same, and counts once
    complete(tmp_path, "brats21", rows)
    assert len([path for path in (tmp_path / "brats21").rglob("*") if path.is_file()]) == 15


def test_a_single_case_without_its_folder(tmp_path):
    case = replica.listed("brats21")[0]["subject"]
    put(tmp_path / "downloads", case=replica.tar(replica.scans(replica.brats21_names(case))))
    unpack.unpack("brats21", tmp_path / "downloads", tmp_path / "brats21")
    complete(tmp_path, "brats21", replica.listed("brats21")[:1])


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("single", [True, False])
def test_the_same_file_twice_is_taken_once_and_refused_if_it_differs(tmp_path, same, single):
    name = "BraTS2021_00000/BraTS2021_00000_t2.nii.gz"
    other = replica.scan(1 if same else 2)
    put(tmp_path / "downloads", **{"a.tar": replica.tar({name: replica.scan(1)})})
    if single:
        put(tmp_path / "downloads/b", **{Path(name).name: other})
        put(tmp_path / "downloads/c", **{Path(name).name: other})
    else:
        put(tmp_path / "downloads", **{"b.zip": replica.zipped({name: other})})
    if same:
        found = unpack.unpack("brats21", tmp_path / "downloads", tmp_path / "brats21")
        assert found["archives"]["a.tar"] == 1
        assert found["archives"].get("b.zip", 0) == 0
        assert (tmp_path / "brats21" / name).read_bytes() == replica.scan(1)
        return
    with pytest.raises(InputError, match=r"BraTS2021_00000_t2.* which differs?, one expected"):
        unpack.unpack("brats21", tmp_path / "downloads", tmp_path / "brats21")
    assert not (tmp_path / "brats21").exists()


def test_what_a_killed_run_left_is_no_hindrance(tmp_path):
    put(tmp_path / ".partial-brats21/BraTS2021_00000", **{"BraTS2021_00000_t2.nii.gz": b"half a sc"})
    put(
        tmp_path / ".partial-brats21/BraTS2021_00999", **{"BraTS2021_00999_t2.nii.gz": b"of an older archive"}
    )
    put(tmp_path / "downloads", archive=replica.brats21())
    unpack.unpack("brats21", tmp_path / "downloads", tmp_path / "brats21")
    complete(tmp_path, "brats21", replica.listed("brats21"))
    assert sorted(path.name for path in (tmp_path / "brats21").iterdir()) == [
        row["subject"] for row in replica.listed("brats21")
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brats21", "brats21.csv", "downloads"]


def test_missing_and_unknown_subjects_are_listed(tmp_path):
    put(tmp_path / "downloads", archive=replica.brats21())
    found = unpack.unpack("brats21", tmp_path / "downloads", tmp_path / "brats21")
    rows = replica.listed("brats21", 5)[1:]  # one of the archive is not listed, two listed are not in it
    (tmp_path / "brats21" / rows[0]["subject"] / f"{rows[0]['subject']}_seg.nii.gz").unlink()
    compared = unpack.compare(
        "brats21", found["files"], tmp_path / "brats21", [dataset(tmp_path, "brats21", rows)]
    )
    assert compared["unknown"] == {"brats21": ["BraTS2021_00000"]}
    assert compared["missing"]["brats21"] == [rows[0]["subject"], rows[2]["subject"], rows[3]["subject"]]


def test_a_subject_on_no_list_is_unknown_to_the_datasets_that_have_a_scan_of_it(tmp_path):
    stranger = "IXI637-HH-2785"
    t1 = contents(replica.ixi("T1")) | {f"{stranger}-T1.nii.gz": replica.scan(99)}
    put(tmp_path / "downloads", **{"IXI-T1.tar": replica.tar(t1), "IXI-T2.tar": replica.ixi("T2")})
    found = unpack.unpack("ixi", tmp_path / "downloads", tmp_path / "ixi")
    both = [dataset(tmp_path, name, replica.ixi_rows()) for name in ("ixi_t1", "ixi_t2")]
    compared = unpack.compare("ixi", found["files"], tmp_path / "ixi", both)
    assert compared["unknown"] == {"ixi_t1": [stranger], "ixi_t2": []}


def test_an_archive_of_another_dataset_is_named(tmp_path):
    put(tmp_path / "downloads", archive=replica.mslub())
    with pytest.raises(
        InputError, match=r"nothing of brats21 found in 1 files .*; expected: BraTS2021_#####_"
    ):
        unpack.unpack("brats21", tmp_path / "downloads", tmp_path / "brats21")
    assert not (tmp_path / "brats21").exists()
    put(tmp_path / "others", **{"my.zip": replica.zipped({"a.tar": replica.ixi("T1"), "b.txt": b"read me"})})
    deep = replica.zipped({"in/deeper.zip": replica.zipped({"deepest.tar": replica.brats21()})})
    put(tmp_path / "others", **{"too deep.zip": deep})
    with pytest.raises(InputError) as caught:
        unpack.unpack("brats21", tmp_path / "others", tmp_path / "brats21")
    said = str(caught.value)
    first = replica.ixi_rows()[0]["subject"]
    assert f"my.zip: 8 files, the first {first}-T1.nii.gz" not in said  # by the folder of its archive:
    assert f"my.zip: 8 files, the first a/{first}-T1.nii.gz" in said
    assert "looked into a.tar;" in said
    assert "not into in/deeper.zip/deepest.tar" in said
    assert "take it out" in said
    put(tmp_path / "scans", **{"patient01_T2W.nii.gz": replica.scan(1)})
    with pytest.raises(InputError, match=r"found in 1 files \(patient01_T2W.nii.gz\); expected"):
        unpack.unpack("brats21", tmp_path / "scans", tmp_path / "brats21")
    with pytest.raises(InputError, match="no file found; put the archive there"):
        unpack.unpack("brats21", tmp_path / "nothing", tmp_path / "brats21")


def test_unpacking_again_leaves_unchanged_scans_as_they_are(tmp_path):
    put(tmp_path / "downloads", archive=replica.brats21())
    target = tmp_path / "brats21"
    unpack.unpack("brats21", tmp_path / "downloads", target)
    same, other = (
        target / row["subject"] / f"{row['subject']}_t2.nii.gz" for row in replica.listed("brats21")[:2]
    )
    content = other.read_bytes()
    other.write_bytes(b"damaged")
    (target / "notes.txt").write_text("mine")
    os.utime(same, (1, 1))
    unpack.unpack("brats21", tmp_path / "downloads", target)
    assert same.stat().st_mtime == 1
    assert other.read_bytes() == content
    assert (target / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brats21", "downloads"]


def test_every_unpacker_is_in_the_registry_and_says_what_it_expects():
    listed = set(registry.read(ROOT / "config/registry.csv")["dataset"])
    assert set(unpack.NAMES) == {"ixi", "sri24", "mslub", "wmh", "atlas", "brats21"} <= listed
    for name in unpack.NAMES:
        assert unpack.unpacker(name).EXPECTED
    with pytest.raises(InputError, match="none: no unpacker"):
        unpack.unpacker("none")


@pytest.fixture
def workflow_of_replicas(tmp_path):
    """The repository with short lists, and checksums of the replicas in its registry."""
    for part in ("Snakefile", "CITATION.cff", "rules", "workflow", "config", "envs", "profiles"):
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / part)
    (tmp_path / "splits").mkdir()
    for name in ("brats21", "mslub", "atlas"):
        short_list(tmp_path / f"splits/{name}.csv", replica.listed(name))
    short_list(tmp_path / "splits/ixi.csv", replica.ixi_rows())
    short_list(tmp_path / "splits/wmh.csv", wmh_rows())
    files = {"/IXI-T1.tar": replica.ixi("T1"), "/IXI-T2.tar": replica.ixi("T2")}
    files["/sri24_anatomy_nifti.zip"] = replica.sri24()
    path = tmp_path / "config/registry.csv"
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        content = files.get(f"/{row['file']}")
        row["bytes"] = str(len(content)) if content else ""
        row["checksum"] = f"sha256:{hashlib.sha256(content).hexdigest()}" if content else ""
    short_list(path, rows)
    with replica.serve({**files, **replica.dataverse(replica.wmh())}) as server:
        yield tmp_path, server


def snakemake(folder, *arguments, **environment):
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    # With the longer span of the profile Snakemake stays for up to a minute after its last job.
    command += ["--max-jobs-per-timespan", "100/1s", *arguments]
    unset = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    result = forks.run(command, folder, {**unset, **environment})
    return result.returncode, result.stdout + result.stderr


@pytest.mark.workflow
@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl on this machine to make the archive with")
def test_snakemake_data_gets_what_it_can_and_says_what_it_cannot(workflow_of_replicas):
    folder, server = workflow_of_replicas
    mirror = {"PATCH2LOC_MIRROR": server.address}
    server.faults = {"/IXI-T1.tar": ["drop", "ignore range"], "/IXI-T2.tar": ["corrupt"]}
    put(folder / "data/downloads/atlas", archive=replica.encrypted(replica.atlas()))
    put(folder / "data/downloads/brats21", **{"my own name": replica.brats21()})

    # MSLUB is not there and ATLAS has no passphrase: said, and nothing stops for it.
    status, said = snakemake(folder, "data", **mirror)
    assert status == 0, said[-4000:]
    assert re.search(r"^mslub: none of \d+ subjects", said, re.MULTILINE)
    assert "into data/downloads/mslub/" in said
    assert "https://lit.fe.uni-lj.si/en/research/resources/3D-MR-MS/ (after a form)" in said
    assert "set PATCH2LOC_ATLAS_PASSPHRASE and run again" in said
    assert not re.search(r"^(brats21|ixi_t1|wmh|sri24)(: none of|: \d+ of|, the atlas)", said, re.MULTILINE)
    assert sorted(path.stem for path in (folder / "data").glob("*.json")) == [
        f"{name}.unpacked" for name in ("brats21", "ixi", "sri24", "wmh")
    ]
    summary = json.loads((folder / "data/ixi.unpacked.json").read_text())
    assert summary["missing"] == {"ixi_t1": [], "ixi_t2": []}
    assert summary["archives"] == {"IXI-T1.tar": 7, "IXI-T2.tar": 7}

    put(folder / "data/downloads/mslub", **{"open_ms_data-master.zip": replica.mslub_mirror()})
    assert "Not all scans are there, of 2 of 7:" in said.rpartition("rule data:")[2]

    status, said = snakemake(
        folder, "data", PATCH2LOC_ATLAS_PASSPHRASE=replica.PASSPHRASE, PATCH2LOC_MIRROR="http://127.0.0.1:9"
    )
    assert status == 0, said[-4000:]
    assert "Waiting for" not in said
    assert "All scans of ixi_t1, ixi_t2, brats21, mslub, atlas, wmh, sri24 are there." in said
    assert json.loads((folder / "data/atlas.unpacked.json").read_text())["missing"] == {"atlas": []}
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 100
    assert not [path for path in written if replica.PASSPHRASE.encode() in path.read_bytes()]
    assert replica.PASSPHRASE not in said

    # All there: nothing is done, although the archives have been removed, and every scan is found.
    shutil.rmtree(folder / "data/downloads")
    status, said = snakemake(folder, "data", "metrics", "--dry-run")
    assert status == 0, said[-4000:]
    assert "rule download" not in said
    assert "rule unpack" not in said
    assert re.search(r"^preprocess +\d+$", said, re.MULTILINE)  # planned: no file of any dataset is missing


@pytest.mark.workflow
def test_snakemake_data_downloads_nothing_that_lies_there_and_keeps_another_release_aside(
    workflow_of_replicas,
):
    folder, server = workflow_of_replicas
    config = {**CONFIG, "datasets": {name: CONFIG["datasets"][name] for name in ("ixi_t1", "ixi_t2", "wmh")}}
    (folder / "small.yaml").write_text(yaml.safe_dump(config))
    put(folder / "data/downloads/wmh", **{"dataverse_files.zip": replica.zipped(replica.wmh())})
    put(folder / "data/downloads/ixi", **{"IXI-T1 (1).tar": replica.ixi("T1")})
    put(folder / "data/downloads/sri24", **{"atlas.zip": replica.sri24()})
    server.files["/IXI-T2.tar"] += bytes(10240)  # another release: the same scans, other bytes
    mirror = {"PATCH2LOC_MIRROR": server.address}

    status, said = snakemake(folder, "data", "--configfile", "small.yaml", **mirror)
    assert status != 0
    assert [path for path, _, _, _ in server.requests] == ["/IXI-T2.tar"] * 2
    found = f"sha256:{hashlib.sha256(server.files['/IXI-T2.tar']).hexdigest()}"
    assert "kept as data/downloads/ixi/IXI-T2.tar.other-release, and nothing of it is used" in said
    assert "unpack it yourself under data/ixi/IXI-T2/" in said
    assert f"checksums: {{IXI-T2.tar: '{found}'}}" in said
    assert "Traceback" not in said
    assert sorted(path.name for path in (folder / "data").glob("*.json")) == [
        "sri24.unpacked.json",
        "wmh.unpacked.json",
    ]
    assert not (folder / "data/ixi").exists()
    logs = {path.relative_to(folder).as_posix() for path in folder.rglob("*.log")}
    assert sorted(path for path in logs if not path.startswith(".snakemake")) == [
        f"data/logs/{rule}/{name}.log"
        for rule, names in {"download": ("ixi", "sri24", "wmh"), "unpack": ("sri24", "wmh")}.items()
        for name in names
    ]
    assert not (folder / "results").exists()

    # Trusted by the user: taken without another download.
    (folder / "small.yaml").write_text(yaml.safe_dump({**config, "checksums": {"IXI-T2.tar": found}}))
    status, said = snakemake(folder, "data", "--configfile", "small.yaml", **mirror)
    assert status == 0, said[-4000:]
    assert len(server.requests) == 2
    summary = json.loads((folder / "data/ixi.unpacked.json").read_text())
    assert summary["missing"] == {"ixi_t1": [], "ixi_t2": []}
    assert summary["archives"] == {"IXI-T1 (1).tar": 7, "IXI-T2.tar": 7}

    # An archive that is put there later is unpacked, too.
    lost = f"{replica.ixi_rows()[0]['subject']}-T1.nii.gz"
    (folder / f"data/ixi/IXI-T1/{lost}").unlink()
    put(folder / "data/downloads/ixi", **{"late.tar": replica.tar({lost: contents(replica.ixi("T1"))[lost]})})
    status, said = snakemake(folder, "data", "--configfile", "small.yaml", **mirror)
    assert status == 0, said[-4000:]
    assert (folder / f"data/ixi/IXI-T1/{lost}").is_file()
    assert len(server.requests) == 2


@pytest.mark.workflow
def test_a_web_page_and_a_wrong_passphrase_stop_their_dataset_alone(workflow_of_replicas):
    folder, server = workflow_of_replicas
    config = {**CONFIG, "atlas": "icbm152", "training_data": {"T1": "ixi_t1"}}
    config["datasets"] = {name: CONFIG["datasets"][name] for name in ("ixi_t1", "atlas", "wmh")}
    (folder / "small.yaml").write_text(yaml.safe_dump(config))
    server.faults = {"/IXI-T1.tar": ["page"]}
    locked = shutil.which("openssl")  # without it there is no such archive to try
    if locked:
        put(folder / "data/downloads/atlas", archive=replica.encrypted(replica.atlas()))
    secret = {"PATCH2LOC_ATLAS_PASSPHRASE": "wrong-but-secret", "PATCH2LOC_MIRROR": server.address}
    status, said = snakemake(folder, "data", "--configfile", "small.yaml", **secret)
    assert status != 0
    assert "a web page found, IXI-T1.tar expected (its title: Please sign in)" in said
    assert ("the passphrase does not open this file" in said) == bool(locked)
    assert "wrong-but-secret" not in said
    assert "Traceback" not in said
    assert [path.name for path in (folder / "data").glob("*.unpacked.json")] == ["wmh.unpacked.json"]
    assert not (folder / "data/ixi").exists()
    assert not (folder / "data/atlas").exists()
    assert {path for path, _, _, _ in server.requests if "IXI" in path} == {"/IXI-T1.tar"}
