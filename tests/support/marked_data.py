"""Scans and datasets in which every text that may name a patient is marked, and the files in which marks are found."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np

MARK = b"PHIX"
# Elements that hold texts: of public groups and of the private ones that scanners use.
GROUPS = (8, 9, 0x10, 0x12, 0x18, 0x19, 0x20, 0x21, 0x29, 0x32, 0x38, 0x40, 0x51, 0x4008)
ELEMENTS = (*range(0x0001, 0x0100), *range(0x1000, 0x10C0), 0x4000)

KINDS = {  # of the tags that readers believe
    b"UI": {0x00020010, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00200052},
    b"CS": {0x00080005, 0x00080008, 0x00080060, 0x00185100, 0x00280004},
    b"DS": {0x00180050, 0x00180088, 0x00180080, 0x00180081, 0x00200032, 0x00200037, 0x00280030},
    b"IS": {0x00180086, 0x00200011, 0x00200012, 0x00200013},
}


def write_marked_series(folder, values, affine):
    """An axial DICOM series of a volume in RAS, (x, y, z), with a mark in each tag that needs no other value."""
    folder.mkdir(parents=True)
    columns, rows, slices = values.shape
    spacing = np.diag(affine)[:3]
    corner = affine[:3, 3] + spacing * [
        columns - 1,
        rows - 1,
        0,
    ]  # where left, posterior and inferior count upward
    pixels = np.ascontiguousarray(values[::-1, ::-1].transpose(2, 1, 0), "<i2")
    texts = {
        0x00080005: "ISO_IR 100",
        0x00080008: "ORIGINAL\\PRIMARY\\M\\ND",
        0x00080016: "1.2.840.10008.5.1.4.1.1.4",
        0x00080060: "MR",
        0x00080070: "SIEMENS",
        0x00180050: f"{spacing[2]}",
        0x00180088: f"{spacing[2]}",
        0x00180081: "3",
        0x00180080: "2000",
        0x00180086: "1",
        0x00185100: "HFS",
        0x0020000D: "1.2.3",
        0x0020000E: "1.2.3.4",
        0x00200011: "1",
        0x00200012: "1",
        0x00200037: "1\\0\\0\\0\\1\\0",
        0x00200052: "1.2.5",
        0x00280004: "MONOCHROME2",
        0x00280030: f"{spacing[1]}\\{spacing[0]}",
    }
    numbers = {0x00280002: 1, 0x00280010: rows, 0x00280011: columns, 0x00280100: 16, 0x00280101: 16}
    numbers |= {0x00280102: 15, 0x00280103: 1}
    marks = {
        group << 16 | element: f"PHIX{group:04x}{element:04x}" for group in GROUPS for element in ELEMENTS
    }
    del marks[0x00080010], marks[0x0019100A]  # a format before DICOM, images in a mosaic
    common = {tag: _text(tag, text) for tag, text in (marks | texts).items()}
    common |= {tag: _element(tag, b"US", struct.pack("<H", number)) for tag, number in numbers.items()}
    for index in range(slices):
        position = f"{-corner[0]}\\{-corner[1]}\\{corner[2] + spacing[2] * index}"
        own = {0x00080018: f"1.2.3.4.{index + 1}", 0x00200013: f"{index + 1}", 0x00200032: position}
        every = common | {tag: _text(tag, text) for tag, text in own.items()}
        data = b"".join(every[tag] for tag in sorted(every))
        data += _element(0x7FE00010, b"OW", pixels[index].tobytes())
        syntax = _text(0x00020010, "1.2.840.10008.1.2.1")
        head = _element(0x00020000, b"UL", struct.pack("<I", len(syntax))) + syntax
        (folder / f"{index:03d}.dcm").write_bytes(bytes(128) + b"DICM" + head + data)
    return folder


def _text(tag, text):
    kind = next((kind for kind, tags in KINDS.items() if tag in tags), b"LO")
    return _element(tag, kind, text.encode() + (b"\0" if kind == b"UI" else b" ") * (len(text) % 2))


def _element(tag, kind, value):
    length = struct.pack("<HI", 0, len(value)) if kind == b"OW" else struct.pack("<H", len(value))
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind + length + value


def mark_dataset(root):
    """Put marks into each field of a BIDS dataset that nothing of the results is made of."""
    description = json.loads((root / "dataset_description.json").read_text())
    others = (
        "Authors",
        "Funding",
        "EthicsApprovals",
        "HowToAcknowledge",
        "SourceDatasets",
    )
    (root / "dataset_description.json").write_text(
        json.dumps(description | {key: [f"PHIX {key}"] for key in others})
    )
    for table in [root / "participants.tsv", *root.glob("sub-*/*_sessions.tsv")]:
        header, *rows = table.read_text().splitlines()
        table.write_text(
            "\n".join([f"{header}\tname\tcomments", *(f"{row}\tPHIX\tPHIX c" for row in rows)]) + "\n"
        )
    (root / "participants.json").write_text(json.dumps({"age": {"Units": "years", "Description": "PHIX"}}))
    (root / "README").write_text("PHIX")
    for scan in root.glob("sub-*/**/*.nii.gz"):
        stem = scan.name.removesuffix(".nii.gz")
        names = ("PatientName", "SeriesDescription", "InstitutionName", "ImageComments", "AcquisitionTime")
        (scan.parent / f"{stem}.json").write_text(json.dumps({name: f"PHIX {name}" for name in names}))
        (scan.parents[1] / f"{scan.parents[1].name}_scans.tsv").write_text(
            f"filename\tacq_time\toperator\nanat/{scan.name}\tPHIX\tPHIX\n"
        )
    return root


def marked_files(folder):
    """Files below a folder that hold a mark, in their names or their content, also compressed: [(path, text)]."""
    found = []
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        stored = path.read_bytes()
        texts = [str(path.relative_to(folder)).encode(), stored]
        texts += [gzip.decompress(stored)] if path.suffix == ".gz" else []
        found += [(path, text[text.index(MARK) :][:60]) for text in texts if MARK in text]
    return found
