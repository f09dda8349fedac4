"""Archives that lie there are looked into before anything is downloaded."""

import csv
import hashlib

import pytest
import replica

from patch2loc.acquire import sources, unpack
from patch2loc.acquire.obtain import obtain
from patch2loc.errors import InputError

pytestmark = pytest.mark.usefixtures("impatient")
WMH = {
    "file": "doi:10.34894/AECRSD",
    "url": "https://a.dataverse.invalid/dataset.xhtml?persistentId=doi:10.34894/AECRSD",
    "bytes": "",
    "checksum": "",
    "fetch": "dataverse",
}


@pytest.fixture
def server():
    """The sources of IXI, SRI24 and WMH."""
    files = {f"/IXI-{modality}.tar": replica.ixi(modality) for modality in ("T1", "T2")}
    files["/sri24_anatomy_nifti.zip"] = replica.sri24()
    with replica.serve({**files, **replica.dataverse(replica.wmh())}) as server:
        yield server


def source_row(server, file):
    checksum = f"sha256:{hashlib.sha256(server.files[f'/{file}']).hexdigest()}"
    return {
        "file": file,
        "url": f"{server.address}/{file}",
        "bytes": "",
        "checksum": checksum,
        "fetch": "file",
    }


def write_list(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def folder_dataset(tmp_path, name, rows, **entry):
    subjects = write_list(tmp_path / f"{name}.csv", rows)
    return {"name": name, "kind": "folder", "subjects": subjects, **entry}


@pytest.fixture
def ixi(tmp_path):
    """The datasets of both modalities."""
    return [
        folder_dataset(
            tmp_path,
            f"ixi_{modality.lower()}",
            replica.ixi_rows(),
            registry="ixi",
            modality=modality,
            root=str(tmp_path / f"ixi/IXI-{modality}"),
            scan=f"{{subject}}-{modality}.nii.gz",
        )
        for modality in ("T1", "T2")
    ]


@pytest.fixture
def wmh(tmp_path):
    rows = [row for row in replica.listed("wmh", 60) if row["id"] in ("100", "50", "0")]
    return folder_dataset(
        tmp_path,
        "wmh",
        rows,
        registry="wmh",
        modality="T1",
        root=str(tmp_path / "wmh"),
        scan="training/{folder}/{id}/orig/T1.nii.gz",
        lesion="training/{folder}/{id}/wmh.nii.gz",
    )


def brought(tmp_path, server, name, rows, datasets):
    """Obtain and unpack; returns the manifest and the addresses that were asked for."""
    folder, target = tmp_path / "downloads", tmp_path / name
    folder.mkdir(exist_ok=True)
    archives = unpack.put_by_hand(folder, {row["file"] for row in rows})
    manifest = obtain(
        name,
        rows,
        folder,
        put_by_hand=archives,
        datasets=datasets,
        target=target,
        mirror=server.address if name == "wmh" else None,
    )
    unpack.unpack(name, folder, target)
    return manifest, [path for path, _, _, _ in server.requests]


def put(tmp_path, name, content):
    (tmp_path / "downloads").mkdir(exist_ok=True)
    (tmp_path / "downloads" / name).write_bytes(content)


def test_without_anything_there_all_is_downloaded(tmp_path, server, ixi):
    rows = [source_row(server, "IXI-T1.tar"), source_row(server, "IXI-T2.tar")]
    manifest, asked = brought(tmp_path, server, "ixi", rows, ixi)
    assert manifest == ["IXI-T1.tar", "IXI-T2.tar"]
    assert asked == ["/IXI-T1.tar", "/IXI-T2.tar"]
    assert [path for dataset in ixi for path in sources.missing(dataset)] == []


def test_an_archive_under_another_name_is_not_downloaded_again(tmp_path, server, ixi):
    put(tmp_path, "IXI-T1 (1).tar", replica.ixi("T1"))
    put(tmp_path, "read me.txt", b"what I have done")
    rows = [source_row(server, "IXI-T1.tar"), source_row(server, "IXI-T2.tar")]
    manifest, asked = brought(tmp_path, server, "ixi", rows, ixi)
    assert manifest == ["IXI-T1 (1).tar", "IXI-T2.tar"]
    assert asked == ["/IXI-T2.tar"]
    assert [path for dataset in ixi for path in sources.missing(dataset)] == []


def test_an_archive_that_lacks_a_scan_does_not_replace_the_download(tmp_path, server, ixi, capsys):
    scans = [f"{row['subject']}-T1.nii.gz" for row in replica.ixi_rows()]
    put(tmp_path, "mine.tar", replica.tar({name: replica.scan(seed) for seed, name in enumerate(scans[:-1])}))
    manifest, asked = brought(tmp_path, server, "ixi", [source_row(server, "IXI-T1.tar")], ixi[:1])
    assert manifest == ["mine.tar", "IXI-T1.tar"]
    assert asked == ["/IXI-T1.tar"]
    assert "have 6 of 7 files" in capsys.readouterr().out
    assert sources.missing(ixi[0]) == []


def test_what_is_unpacked_already_is_not_downloaded(tmp_path, server, ixi):
    """T1 was unpacked by hand, for example because the source has another release of it; T2 is missing."""
    for row in replica.ixi_rows():
        path = tmp_path / f"ixi/IXI-T1/{row['subject']}-T1.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(replica.scan(1))
    rows = [source_row(server, "IXI-T1.tar"), source_row(server, "IXI-T2.tar")]
    manifest, asked = brought(tmp_path, server, "ixi", rows, ixi)
    assert manifest == ["IXI-T2.tar"]
    assert asked == ["/IXI-T2.tar"]


@pytest.mark.parametrize("form", ["whole", "of the training", "archive in an archive"])
def test_a_dataverse_is_not_even_asked_for_its_list_if_an_archive_has_the_files(tmp_path, server, wmh, form):
    files = {"MANIFEST.TXT": b"of the Dataverse", **replica.wmh()}
    if form == "of the training":
        files = {
            path.removeprefix("training/"): content for path, content in files.items() if "training" in path
        }
    content = replica.zipped(files)
    put(tmp_path, "dataverse_files.zip", replica.tar({"a.zip": content}) if "in" in form.split() else content)
    manifest, asked = brought(tmp_path, server, "wmh", [WMH], [wmh])
    assert manifest == ["dataverse_files.zip"]
    assert asked == []
    assert sources.missing(wmh) == []
    assert sorted(path.name for path in (tmp_path / "downloads").iterdir()) == ["dataverse_files.zip"]


def test_of_a_dataverse_only_what_the_archive_lacks_is_downloaded(tmp_path, server, wmh):
    files = replica.wmh()
    without = {path: content for path, content in files.items() if "GE3T/100/wmh" not in path}
    put(tmp_path, "dataverse_files.zip", replica.zipped(without))
    manifest, asked = brought(tmp_path, server, "wmh", [WMH], [wmh])
    assert manifest == ["dataverse_files.zip", "training/Amsterdam/GE3T/100/wmh.nii.gz"]
    assert len(asked) == 2  # the list, and the file
    assert sources.missing(wmh) == []


def test_an_atlas_under_another_name_is_not_downloaded_again(tmp_path, server):
    put(tmp_path, "atlas.zip", replica.sri24())
    atlas = {"name": "sri24", "kind": "atlas", "root": str(tmp_path / "sri24"), "registry": "sri24"}
    manifest, asked = brought(
        tmp_path, server, "sri24", [source_row(server, "sri24_anatomy_nifti.zip")], [atlas]
    )
    assert (manifest, asked) == (["atlas.zip"], [])
    assert sources.missing(atlas) == []


def test_a_damaged_archive_is_named_before_anything_is_downloaded(tmp_path, server, ixi):
    put(tmp_path, "IXI-T1 (1).tar", replica.ixi("T1")[:3000])
    with pytest.raises(InputError, match=r"IXI-T1 \(1\).tar: damaged or cut off"):
        brought(tmp_path, server, "ixi", [source_row(server, "IXI-T1.tar")], ixi[:1])
    assert server.requests == []


def test_the_other_release_names_the_folder_that_its_scans_are_read_from(tmp_path, server, ixi):
    row = source_row(server, "IXI-T1.tar")
    server.files["/IXI-T1.tar"] = replica.tar({"IXI002-Guys-0828-T1.nii.gz": replica.scan(99)})
    with pytest.raises(InputError, match=f"unpack it yourself under {ixi[0]['root']}/\n") as caught:
        brought(tmp_path, server, "ixi", [row, source_row(server, "IXI-T2.tar")], ixi)
    assert "IXI-T2/" not in str(caught.value)


def test_weights_belong_to_no_dataset_and_are_downloaded(tmp_path, server):
    server.files["/weights.pth"] = b"weights"
    assert obtain("resnet18_imagenet", [source_row(server, "weights.pth")], tmp_path) == ["weights.pth"]
