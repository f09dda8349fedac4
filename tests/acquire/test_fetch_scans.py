"""Public scans that are fetched one by one: whole, verified, all together; and the shipped table of them."""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import replica
import yaml
from repository_paths import ROOT, SHARED

from patch2loc.acquire import download, fetch_scans, registry, scan_files
from patch2loc.data import volumes
from patch2loc.data.content import content_hash
from patch2loc.errors import InputError

DATA = SHARED / "data"
TABLE = ROOT / "config/scan_files.csv"
SCHEMA = ROOT / "workflow/schemas/scan_files.schema.yaml"
CONFIGURATIONS = ("ixi2mm.yaml", "model_t1.yaml")
SOURCES = {
    "study": {
        "title": "A study",
        "license": "CC0",
        "url": "https://a.org/study",
        "access": "open",
    },
    "registered": {
        "title": "Another study",
        "license": "CC BY 4.0",
        "url": "https://a.org/form",
        "access": "registration",
    },
}
pytestmark = pytest.mark.usefixtures("impatient")
KILLED_WHILE_MOVING = """
import json, os, signal, sys
from patch2loc.acquire import fetch_scans
move = fetch_scans._put
def move_one_and_die(*paths):
    move(*paths)
    os.kill(os.getpid(), signal.SIGKILL)
fetch_scans._put = move_one_and_die
fetch_scans.fetch(*json.loads(sys.argv[1]))
"""


@pytest.fixture
def server():
    """Two scans, labels 0 to 2, and the same labels as another program compresses them."""
    with replica.serve({f"/{name}.nii.gz": replica.scan(seed) for seed, name in enumerate("ab")}) as server:
        server.files["/labels.nii.gz"] = server.files["/a.nii.gz"]
        voxels = gzip.decompress(server.files["/b.nii.gz"])
        server.files["/recompressed.nii.gz"] = gzip.compress(voxels, compresslevel=1, mtime=5)
        yield server


def image(content):
    return nib.Nifti1Image.from_bytes(gzip.decompress(content))


def of_content(voxels):
    return f"content:{content_hash(voxels.astype(np.float32), np.eye(4))}"


def row(path, url, content=None, **entries):
    values = {"source": "study", "path": path, "url": url, "bytes": "", "checksum": "", "step": ""}
    if content is not None:
        values |= {"bytes": str(len(content)), "checksum": f"sha256:{hashlib.sha256(content).hexdigest()}"}
    return {"row": values | entries, "datasets": ["own"]}


@pytest.fixture
def scans(server):
    """Two files as they are public, a mask that is made from labels, and a scan that is compressed otherwise."""
    labels, other = (np.asarray(image(server.files[f"/{name}.nii.gz"]).dataobj) for name in "ab")
    return [
        row("t1/a.nii.gz", f"{server.address}/a.nii.gz", server.files["/a.nii.gz"]),
        row("t1/b.nii.gz", f"{server.address}/b.nii.gz", server.files["/b.nii.gz"]),
        row(
            "masks/a.nii.gz",
            f"{server.address}/labels.nii.gz",
            checksum=of_content(labels > 0),
            step="positive",
        ),
        row("masks/b.nii.gz", f"{server.address}/recompressed.nii.gz", checksum=of_content(other)),
    ]


def files(folder):
    """Files below a folder, without the lock that says that another run fetches."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def asked_for(server):
    return sorted(asked[0] for asked in server.requests)


PLACES = {"t1/a.nii.gz", "t1/b.nii.gz", "masks/a.nii.gz", "masks/b.nii.gz"}
WAITING = {f"downloads/scans/{path}" for path in PLACES}


def test_scans_come_to_their_places_once(server, scans, tmp_path):
    fetch_scans.fetch(scans, tmp_path, SOURCES)
    assert files(tmp_path) == PLACES
    assert (tmp_path / "t1/a.nii.gz").read_bytes() == server.files["/a.nii.gz"]
    assert (tmp_path / "masks/b.nii.gz").read_bytes() == server.files["/recompressed.nii.gz"]
    mask, affine = volumes.read(tmp_path / "masks/a.nii.gz")
    labels = image(server.files["/labels.nii.gz"])
    np.testing.assert_array_equal(mask, np.asarray(labels.dataobj) > 0)
    np.testing.assert_array_equal(affine, labels.affine)
    fetch_scans.fetch(scans, tmp_path, SOURCES)
    assert len(server.requests) == len(scans)


def test_a_scan_in_its_place_is_the_users(server, scans, tmp_path):
    (tmp_path / "t1").mkdir()
    (tmp_path / "t1/a.nii.gz").write_bytes(b"my own")
    fetch_scans.fetch(scans, tmp_path, SOURCES)
    assert (tmp_path / "t1/a.nii.gz").read_bytes() == b"my own"
    assert "/a.nii.gz" not in asked_for(server)


def damaged(content):
    return content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]


@pytest.mark.parametrize(
    ("path", "change", "place", "finding"),
    [
        ("/b.nii.gz", damaged, "t1/b.nii.gz", "sha256 [0-9a-f]{64} found, .* [0-9a-f]{64} expected"),
        (
            "/b.nii.gz",
            lambda content: content[:-1],
            "t1/b.nii.gz",
            r"\d+ bytes, .* found, \d+ bytes, .* expected",
        ),
        ("/labels.nii.gz", lambda content: replica.scan(9), "masks/a.nii.gz", "voxels with the hash"),
        ("/recompressed.nii.gz", lambda content: replica.scan(9), "masks/b.nii.gz", "voxels with the hash"),
        ("/labels.nii.gz", damaged, "masks/a.nii.gz", ""),
        ("/labels.nii.gz", lambda content: b"version https://git-lfs", "masks/a.nii.gz", ""),
        ("/b.nii.gz", lambda content: replica.PAGE, "t1/b.nii.gz", "a web page found"),
    ],
)
def test_a_wrong_scan_is_refused_and_named_and_nothing_of_it_stays(
    server, scans, tmp_path, path, change, place, finding
):
    right = server.files[path]
    server.files[path] = change(right)
    with pytest.raises(
        InputError,
        match=f"1 of 4 scans could not be fetched; the other 3 are kept.*\n  {place}, of "
        rf"A study \(CC0\): {server.address}{path}: .*{finding}.*; get them from https://a.org/study "
        rf"\(open\) and put them below {tmp_path} under these names\n.*without=\[own\]",
    ) as error:
        fetch_scans.fetch(scans, tmp_path, SOURCES)
    assert "partial" not in str(error.value)
    assert "\n\n" not in str(error.value)
    assert files(tmp_path) == WAITING - {f"downloads/scans/{place}"}
    server.files[path], server.requests[:] = right, []
    fetch_scans.fetch(scans, tmp_path, SOURCES)
    assert files(tmp_path) == PLACES
    assert asked_for(server) == [path]


def test_a_missing_file_and_one_without_an_address_are_asked_for_in_one_message(server, scans, tmp_path):
    del server.files["/b.nii.gz"]
    form = row("t1/c.nii.gz", "", b"c", source="registered")
    form["datasets"] = ["gliomas"]
    with pytest.raises(InputError) as error:
        fetch_scans.fetch([*scans, form], tmp_path, SOURCES)
    first, missing, registered, without = str(error.value).splitlines()
    assert first.startswith("2 of 5 scans could not be fetched; the other 3 are kept")
    assert missing.startswith(
        f"  t1/b.nii.gz, of A study (CC0): {server.address}/b.nii.gz: 404 Not Found found"
    )
    assert registered.startswith(
        "  t1/c.nii.gz, of Another study (CC BY 4.0): not open to a download; get them"
    )
    assert "https://a.org/form (after registration)" in registered
    assert without.endswith("--config 'without=[own,gliomas]'")


def test_many_missing_scans_are_counted(server, scans, tmp_path):
    several = [row(f"t1/{name}.nii.gz", f"{server.address}/{name}", b"x") for name in range(6)]
    with pytest.raises(InputError, match=r"0\.nii\.gz, t1/1\.nii\.gz, t1/2\.nii\.gz and 3 more, of A study"):
        fetch_scans.fetch(several, tmp_path, SOURCES)


def test_a_mirror_has_the_scans_as_they_are_read(server, scans, tmp_path):
    fetch_scans.fetch(scans, tmp_path / "mirror", SOURCES)
    server.requests.clear()
    without_address = [{**scan, "row": {**scan["row"], "url": ""}} for scan in scans]
    fetch_scans.fetch(without_address, tmp_path / "data", SOURCES, mirror=(tmp_path / "mirror").as_uri())
    assert files(tmp_path / "data") == PLACES
    for path in PLACES:
        assert (tmp_path / "data" / path).read_bytes() == (tmp_path / "mirror" / path).read_bytes()
    assert server.requests == []


def test_a_broken_download_goes_on_where_it_broke(server, tmp_path, monkeypatch):
    content = np.random.default_rng(1).bytes(1_000_000)
    server.files["/large.nii.gz"] = content
    large = [row("t1/large.nii.gz", f"{server.address}/large.nii.gz", content)]
    server.faults["/large.nii.gz"] = ["drop"]
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with pytest.raises(InputError, match="no connection"):
        fetch_scans.fetch(large, tmp_path, SOURCES)
    assert not (tmp_path / "t1/large.nii.gz").exists()
    fetch_scans.fetch(large, tmp_path, SOURCES)
    assert server.requests[-1][1].startswith("bytes=4")  # about the first half was kept
    assert (tmp_path / "t1/large.nii.gz").read_bytes() == content


def test_a_run_that_is_killed_while_scans_are_moved_goes_on(server, scans, tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_MOVING, json.dumps([scans, str(tmp_path), SOURCES])],
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")},
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL
    first = scans[0]["row"]["path"]
    assert files(tmp_path) == {first} | WAITING - {f"downloads/scans/{first}"}
    server.requests.clear()
    fetch_scans.fetch(scans, tmp_path, SOURCES)
    assert files(tmp_path) == PLACES
    assert server.requests == []


def test_a_waiting_scan_that_was_damaged_meanwhile_is_fetched_again(server, scans, tmp_path):
    waiting = tmp_path / "downloads/scans/t1/a.nii.gz"
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes(damaged(server.files["/a.nii.gz"]))
    fetch_scans.fetch(scans, tmp_path, SOURCES)
    assert (tmp_path / "t1/a.nii.gz").read_bytes() == server.files["/a.nii.gz"]


def test_without_a_network_one_line_says_so_and_a_host_is_not_asked_for_every_scan(tmp_path, monkeypatch):
    asked = []

    def fail(url, path, row, **options):
        asked.append(url)
        raise InputError(f"{url}: could not be downloaded") from download.requests.ConnectionError("no route")

    monkeypatch.setattr(fetch_scans, "download", fail)
    many = [row(f"t1/{name}.nii.gz", "https://a.org/x", b"x") for name in range(50)]
    with pytest.raises(InputError) as error:
        fetch_scans.fetch(many, tmp_path, SOURCES)
    first, network = str(error.value).splitlines()
    assert first.startswith("50 of 50 scans could not be fetched")
    assert network.startswith("  50 of them: no connection to a.org; look after the network or the proxy")
    assert "PATCH2LOC_MIRROR" in network
    assert len(asked) <= fetch_scans.CONNECTIONS


def test_no_more_connections_at_once_than_is_polite(tmp_path, monkeypatch):
    at_once, most, lock = 0, 0, threading.Lock()

    def slow(url, path, row, **options):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        with lock:
            at_once -= 1

    monkeypatch.setattr(fetch_scans, "download", slow)
    many = [row(f"t1/{name}.nii.gz", "https://a.org/x", b"x") for name in range(40)]
    fetch_scans.fetch(many, tmp_path, SOURCES)
    assert most == fetch_scans.CONNECTIONS == 4
    assert len(files(tmp_path)) == 40


def test_a_full_disk_is_no_reason_to_ask_for_scans(scans, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(fetch_scans, "download", full)
    with pytest.raises(OSError, match="No space left"):
        fetch_scans.fetch(scans, tmp_path, SOURCES)


def test_shipped_table_follows_its_schema_and_names_sources_of_the_registry():
    table = scan_files.read(TABLE, SCHEMA)
    rows = registry.read(ROOT / "config/registry.csv")
    sources = rows[rows["file"].isin({row["source"] for row in table.values()})]
    assert len(sources) == len({row["source"] for row in table.values()})
    assert set(sources["fetch"]) == {"scans"}
    assert {row["step"] for row in table.values()} == {"", *fetch_scans.STEPS}
    assert {row["path"] for row in table.values() if not row["url"]} == {
        f"brats21/BraTS2021_00006/BraTS2021_00006_{part}.nii.gz" for part in ("t1", "seg")
    }


def test_a_table_with_a_wrong_value_or_a_path_out_of_the_folder_is_refused(tmp_path):
    line = TABLE.read_text().splitlines()[1]
    for wrong in (line.replace("sha256:", "md4:"), line.replace("ixi_t1_2mm", "../elsewhere")):
        (tmp_path / "table.csv").write_text(f"{','.join(pd.read_csv(TABLE).columns)}\n{wrong}\n")
        with pytest.raises(InputError, match="line 2"):
            scan_files.read(tmp_path / "table.csv", SCHEMA)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_file_that_a_shipped_configuration_reads_is_in_the_table(name):
    datasets = yaml.safe_load((ROOT / "config" / name).read_text())["datasets"]
    tables = [pd.read_csv(ROOT / dataset["source"]["table"]) for dataset in datasets.values()]
    columns = ("scan", "brain", "lesion", "mask")
    needed = {
        path for table in tables for column in columns if column in table for path in table[column].dropna()
    }
    assert needed <= set(scan_files.read(TABLE))


@pytest.mark.skipif(not DATA.is_dir(), reason="real scans are not here: no ../shared/data")
def test_real_scans_of_every_source_come_from_a_mirror_and_are_verified_by_their_voxels(tmp_path):
    by_source = {}
    for row in scan_files.read(TABLE).values():
        by_source.setdefault((row["source"], row["step"]), []).append(row)
    some = [row for rows in by_source.values() for row in (rows[0], rows[-1])]
    needed = [{"row": row, "datasets": ["own"]} for row in {row["path"]: row for row in some}.values()]
    fetch_scans.fetch(needed, tmp_path, {}, mirror=DATA.as_uri())
    assert len(needed) >= 18
    for scan in needed:
        path = scan["row"]["path"]
        assert (tmp_path / path).read_bytes() == (DATA / path).read_bytes()


@pytest.mark.skipif(not DATA.is_dir(), reason="real scans are not here: no ../shared/data")
def test_the_table_has_the_checksums_of_the_real_scans_that_are_public_byte_for_byte():
    rows = [row for row in scan_files.read(TABLE).values() if row["checksum"].startswith("sha256:")]
    assert len(rows) == 183
    for row in rows:
        fetch_scans.verify(DATA / row["path"], row)
