"""Small replicas of the archives that the datasets come in, and a server that misbehaves as real ones do."""

import csv
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import nibabel as nib
import numpy as np
from repository_paths import ROOT

SPLITS = ROOT / "splits"

PAGE = b"<!DOCTYPE html><html><head><title>Please sign in</title></head></html>"
PASSPHRASE = "correct horse battery staple"


def listed(name, count=3):
    """The first rows of a subject list."""
    with open(SPLITS / f"{name}.csv", encoding="utf-8") as stream:
        return [row for row, _ in zip(csv.DictReader(stream), range(count), strict=False)]


def scan(seed):
    """A tiny NIfTI scan, compressed: labels 0, 1, 2."""
    voxels = np.random.default_rng(seed).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    return gzip.compress(nib.Nifti1Image(voxels, np.eye(4)).to_bytes(), mtime=0)


def scans(paths):
    """{path: content}, each another scan."""
    return {path: scan(seed) for seed, path in enumerate(paths)}


def tar(files, mode="w"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def encrypted(content):
    """What `openssl enc -aes-256-cbc -md sha256 -a` makes of content."""
    command = ["openssl", "enc", "-aes-256-cbc", "-md", "sha256", "-a", "-pass", "env:REPLICA_PASSPHRASE"]
    environment = {**os.environ, "REPLICA_PASSPHRASE": PASSPHRASE}
    return subprocess.run(command, input=content, capture_output=True, check=True, env=environment).stdout


def ixi_rows():
    """Seven subjects: one validates in each of five folds, one trains, one is tested."""
    return [
        {"subject": row["subject"], "has_t2": "1"}
        | {
            f"fold{fold}": "test" if number == 6 else "validation" if number == fold else "train"
            for fold in range(5)
        }
        for number, row in enumerate(listed("ixi", 7))
    ]


def ixi(modality, subjects=None, content=scans):
    """IXI-T1.tar or IXI-T2.tar. As below, content({path: (subject, part)}) makes {path: bytes}."""
    subjects = subjects or [row["subject"] for row in ixi_rows()]
    return tar(content({f"{subject}-{modality}.nii.gz": (subject, modality) for subject in subjects}))


def sri24():
    return sri24_of({name: gzip.decompress(scan(9)) for name in ("spgr", "erly", "late")})


def sri24_of(images):
    """sri24_anatomy_nifti.zip with {name: uncompressed NIfTI}."""
    files = {f"sri24/{name}.nii": image for name, image in images.items()}
    return zipped({**files, "sri24/LICENSE": b"CC BY-SA 3.0"})


def mslub(subjects=None, content=scans):
    names = ("T1W", "T2W", "FLAIR", "T1WKS", "brainmask", "consensus_gt")
    subjects = subjects or [row["subject"] for row in listed("mslub")]
    layout = {f"{each}/{each}_{name}.nii.gz": (each, name) for each in subjects for name in names}
    layout |= {f"{each}/raw/{each}_T2W.nii.gz": (each, "raw T2W") for each in subjects}
    return zipped({"license.txt": b"CC BY", **content(layout)})


def mslub_mirror():
    """The same scans as the public mirror has them: in other folders, some without the patient's name."""
    files = {"open_ms_data-master/README.md": b"#"}
    with zipfile.ZipFile(io.BytesIO(mslub())) as official:
        for name in official.namelist():
            patient, _, image = name.partition("/")
            folder = "raw" if image.startswith("raw/") else "coregistered"
            short = image.removeprefix("raw/").removeprefix(f"{patient}_" if patient != "patient02" else "")
            if image:
                files[f"open_ms_data-master/cross_sectional/{folder}/{patient}/{short}"] = official.read(name)
    patient = "longitudinal/coregistered/patient01"
    other = f"open_ms_data-master/{patient}/brainmask.nii.gz"
    space = "open_ms_data-master/cross_sectional/MNI/patient01/T2W.nii.gz"
    return zipped({**files, other: scan(70), space: scan(71)})


def wmh(rows=None, content=scans):
    """Files of the Dataverse dataset by their paths: training, and some that are not needed."""
    rows = rows or [row for row in listed("wmh", 60) if row["id"] in ("100", "50", "0")]
    names = ("orig/T1", "orig/FLAIR", "pre/T1", "pre/FLAIR", "wmh")
    layout = {
        f"training/{row['folder']}/{row['id']}/{name}.nii.gz": (row["subject"], name)
        for row in rows
        for name in names
    }
    other_rater = (
        f"additional_annotations/observer_o3/training/{rows[0]['folder']}/{rows[0]['id']}/result.nii.gz"
    )
    unneeded = {"test/Utrecht/1/wmh.nii.gz": scan(80), other_rater: scan(81), "readme.txt": b"read me"}
    return {**content(layout), **unneeded}


def atlas(rows=None, content=scans):
    layout = {
        f"ATLAS_2/Training/{row['site']}/{row['subject']}/ses-1/anat/{row['subject']}_ses-1_"
        f"space-MNI152NLin2009aSym_{kind}.nii.gz": (row["subject"], kind)
        for row in rows or listed("atlas")
        for kind in ("T1w", "label-L_desc-T1lesion_mask")
    }
    test = (
        "ATLAS_2/Testing/R047/sub-r047s001/ses-1/anat/sub-r047s001_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz"
    )
    return tar({**content(layout), test: scan(6)}, "w:gz")


def brats21_files(subjects=None, content=scans, folder="RSNA_training"):
    """{member: content} of an archive with an outer folder."""
    return content(
        {
            f"{folder}/{each}/{each}_{name}.nii.gz": (each, name)
            for each in subjects or [row["subject"] for row in listed("brats21")]
            for name in ("t1", "t1ce", "t2", "flair", "seg")
        }
    )


def brats21():
    return tar(brats21_files())


def brats21_of_kaggle():
    """The usual public copy: a zip of a tar with all cases, and of tars with one case without its folder."""
    folders = {
        row["subject"]: {name: scan(seed) for seed, name in enumerate(brats21_names(row["subject"]))}
        for row in listed("brats21")
    }
    cases = {
        f"./{case}/{name}": content for case, files in folders.items() for name, content in files.items()
    }
    single, *_ = folders
    return zipped(
        {
            f"{single}.tar": tar(folders[single]),
            "BraTS2021_Training_Data.tar": tar({"./.DS_Store": b"\0\0\0\1Bud1", **cases}),
        }
    )


def brats21_names(case):
    return [f"{case}_{name}.nii.gz" for name in ("t1", "t1ce", "t2", "flair", "seg")]


def dataverse(files):
    """Answers of a Dataverse for a dataset of these files: {path of the request: content}."""
    served, entries = {}, []
    for number, (path, content) in enumerate(files.items(), start=1000):
        folder, _, label = path.rpartition("/")
        stored = {
            "id": number,
            "filename": label,
            "filesize": len(content),
            "md5": hashlib.md5(content).hexdigest(),
            "checksum": {"type": "MD5", "value": hashlib.md5(content).hexdigest()},
        }
        entry = {"label": label, "restricted": False, "dataFile": stored}
        entries.append({**entry, "directoryLabel": folder} if folder else entry)
        served[f"/api/access/datafile/{number}"] = content
    listing = {"status": "OK", "data": {"latestVersion": {"files": entries}}}
    return {"/api/datasets/:persistentId": json.dumps(listing).encode(), **served}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urlsplit(self.path).path
        faults = self.server.faults.get(path, [])
        fault = faults.pop(0) if faults else None
        asked = self.headers.get("Range")
        self.server.requests.append((path, asked, self.headers.get("If-Range"), fault))
        self.server.authorizations.append(self.headers.get("Authorization"))
        content = self.server.files.get(path)
        if fault and "://" in fault:
            return self._answer(302, b"", {"Location": fault})
        if fault == "busy":
            return self._answer(503, b"", {"Retry-After": "0"})
        if fault == "page" or fault == "unnamed page":
            kind = "text/html; charset=utf-8" if fault == "page" else "application/octet-stream"
            return self._answer(200, PAGE, {"Content-Type": kind})
        if content is None:
            return self._answer(404, PAGE, {"Content-Type": "text/html"})
        if fault in ("corrupt", "corrupt otherwise"):
            content = content[:-1] + bytes([content[-1] ^ (1 if fault == "corrupt" else 2)])
        etag = f'"{hashlib.md5(self.server.files[path]).hexdigest()}"'
        headers = {"ETag": etag} if self.server.etags else {}
        condition = self.headers.get("If-Range")
        if asked and fault != "ignore range" and condition in (None, etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self._answer(206, content[start:], headers, fault)
        return self._answer(200, content, headers, fault)

    def _answer(self, status, content, headers, fault=None):
        self.send_response(status)
        for name, value in {"Content-Type": "application/octet-stream", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if fault == "drop" else content)
        self.close_connection = fault == "drop"

    def log_message(self, *arguments):
        pass


@contextmanager
def serve(files):
    """Serve {path: content}; faults[path] lists what goes wrong with the next requests, one by one.

    An address among the faults is where that answer leads to.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.files, server.faults, server.requests, server.etags = files, {}, [], True
    server.authorizations = []
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
