"""Archives that would do harm, damaged ones, and encrypted ones."""

import base64
import gzip
import io
import shutil
import stat
import subprocess
import tarfile
import zipfile
from pathlib import PurePosixPath

import numpy as np
import pytest
import replica

from patch2loc.acquire import archives, decrypt, unpack
from patch2loc.errors import InputError

CASE = "BraTS2021_00000/BraTS2021_00000_t2.nii.gz"
# Made with: openssl enc -aes-256-cbc -md sha256 -a -pass env:P, P being replica.PASSPHRASE.
KNOWN = b"U2FsdGVkX1+JdYza8vYTaekWwZvy3OW+GW5qVbb6SkGbl0yUozYwOhWD2dAzesO5\n"
KNOWN_PLAIN = b"The voxels are not touched.\n"
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl on this machine")


def member(name, kind=tarfile.REGTYPE, link="", content=b""):
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, link, len(content)
    return found, content


def tar_of(*members, mode="w"):
    """An archive with one good scan first, then others."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for found, content in (member(CASE, content=replica.scan(1)), *members):
            archive.addfile(found, io.BytesIO(content))
    return stream.getvalue()


def zip_of(name, mode=stat.S_IFREG | 0o644, content=b"x"):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CASE, replica.scan(1))
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, content)
    return stream.getvalue()


SCAN = "BraTS2021_00002/BraTS2021_00002_t2.nii.gz"
HARMFUL = {
    "parent": (tar_of(member(f"../{SCAN}", content=b"x")), "leads out"),
    "parent inside": (tar_of(member(f"a/../../{SCAN}", content=b"x")), "leads out"),
    "absolute": (tar_of(member(f"/tmp/{SCAN}", content=b"x")), "leads out"),
    "symbolic link": (tar_of(member(SCAN, tarfile.SYMTYPE, "/etc/passwd")), "a link"),
    "link to a folder": (tar_of(member("BraTS2021_00002", tarfile.SYMTYPE, "/tmp")), "a link"),
    "hard link": (tar_of(member(SCAN, tarfile.LNKTYPE, CASE)), "a link"),
    "character device": (tar_of(member(SCAN, tarfile.CHRTYPE)), "a device"),
    "block device": (tar_of(member(SCAN, tarfile.BLKTYPE)), "a device"),
    "pipe": (tar_of(member("pipe", tarfile.FIFOTYPE)), "a device"),
    "gzip parent": (tar_of(member(f"../{SCAN}", content=b"x"), mode="w:gz"), "leads out"),
    "zip parent": (zip_of(f"../{SCAN}"), "leads out"),
    "zip absolute": (zip_of(f"/tmp/{SCAN}"), "leads out"),
    "zip backslash": (zip_of(f"..\\{SCAN}"), "leads out"),
    "zip drive": (zip_of(f"C:\\{SCAN}"), "leads out"),
    "zip link": (zip_of(SCAN, stat.S_IFLNK | 0o777, b"/etc/passwd"), "a link"),
    "zip device": (zip_of(SCAN, stat.S_IFCHR | 0o600), "a device"),
    "bomb": (tar_of(member(SCAN, content=bytes(5_000_000)), mode="w:gz"), "bytes of content"),
    "bomb beside": (tar_of(member("unasked", content=bytes(5_000_000)), mode="w:gz"), "bytes of content"),
    "zip bomb": (zip_of(SCAN, content=bytes(5_000_000)), "bytes of content"),
    "many files": (tar_of(*(member(f"{n}") for n in range(30)), mode="w:gz"), "more than 20 files"),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_archive_is_refused_and_leaves_nothing(name, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 1_000_000)
    monkeypatch.setattr(archives, "MOST_FILES", 20)
    content, said = HARMFUL[name]
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads/archive").write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=f"archive: refused, nothing was unpacked: .*{said}"):
        unpack.unpack("brats21", tmp_path / "downloads", tmp_path / "data/brats21")
    assert sorted(path for path in tmp_path.rglob("*") if path != tmp_path / "data") == before


WRAPPED = {  # an archive inside another one
    "tar": lambda content: replica.tar({"inside": content}),
    "tar.gz": lambda content: replica.tar({"inside": content}, "w:gz"),
    "zip": lambda content: replica.zipped({"inside": content}),
}


@pytest.mark.parametrize("outer", WRAPPED)
@pytest.mark.parametrize("inner", [replica.tar, lambda files: replica.tar(files, "w:gz"), replica.zipped])
def test_an_archive_inside_another_one_is_unpacked(tmp_path, outer, inner):
    files = replica.scans([CASE, "readme.nii.gz", SCAN])
    content = {
        "before.nii.gz": replica.scan(7),
        "deep/inside.name": inner(files),
        "after.nii.gz": replica.scan(8),
    }
    wrapped = (
        replica.zipped(content) if outer == "zip" else replica.tar(content, "w:gz" if "gz" in outer else "w")
    )
    (tmp_path / "archive.zip").write_bytes(wrapped)
    found = archives.extract(tmp_path / "archive.zip", tmp_path / "out", lambda path: path)
    expected = {f"archive/deep/inside.name/{name}": content for name, content in files.items()}
    expected |= {f"archive/{name}": content[name] for name in ("before.nii.gz", "after.nii.gz")}
    written = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in found.outputs}
    assert written == expected
    assert sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file()) == sorted(found.outputs)
    assert [str(path) for path in found.opened] == ["deep/inside.name"]
    names = archives.members(tmp_path / "archive.zip", tmp_path / "copies")
    assert [tmp_path / "out" / name for name in names] == found.outputs


@needs_openssl
def test_an_archive_inside_an_encrypted_one_is_unpacked_and_an_encrypted_one_inside_is_named(tmp_path):
    inner = replica.zipped({CASE: replica.scan(1)})
    (tmp_path / "locked").write_bytes(replica.encrypted(replica.tar({"in.zip": inner}, "w:gz")))
    found = archives.extract(tmp_path / "locked", tmp_path / "out", lambda path: path, replica.PASSPHRASE)
    assert [path.read_bytes() for path in found.outputs] == [replica.scan(1)]
    locked = replica.encrypted(replica.atlas())
    (tmp_path / "open.zip").write_bytes(replica.zipped({"a/ATLAS.tar.gz": locked}))
    found = archives.extract(tmp_path / "open.zip", tmp_path / "out", lambda path: None)
    assert [str(path) for path in found.unopened] == ["a/ATLAS.tar.gz"]


def test_deeper_than_one_level_nothing_is_opened(tmp_path):
    content = WRAPPED["tar"](replica.zipped({"deeper.tar": replica.tar({CASE: replica.scan(1)})}))
    (tmp_path / "archive.tar").write_bytes(content)
    found = archives.extract(tmp_path / "archive.tar", tmp_path / "out", unpack.unpacker("brats21").place)
    assert found.outputs == []
    assert [str(path) for path in found.unopened] == ["inside/deeper.tar"]


@pytest.mark.parametrize("outer", WRAPPED)
@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_archive_inside_another_one_is_refused(name, outer, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 1_000_000)
    monkeypatch.setattr(archives, "MOST_FILES", 20)
    content, said = HARMFUL[name]
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads/archive").write_bytes(WRAPPED[outer](content))
    with pytest.raises(InputError, match=f"archive, in it inside: refused, nothing was unpacked: .*{said}"):
        unpack.unpack("brats21", tmp_path / "downloads", tmp_path / "data/brats21")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("limit", ["bytes", "files"])
def test_the_limits_hold_for_all_archives_inside_together(tmp_path, monkeypatch, limit):
    """Each of ten archives is well below them."""
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 1_000_000 if limit == "bytes" else 1 << 30)
    monkeypatch.setattr(archives, "MOST_FILES", 100_000 if limit == "bytes" else 20)
    part = replica.tar({f"{number}": bytes(100_000) for number in range(3)}, "w:gz")
    (tmp_path / "archive").write_bytes(replica.zipped({f"{number}.tgz": part for number in range(10)}))
    said = "more than 1,000,000 bytes" if limit == "bytes" else "more than 20 files"
    with pytest.raises(InputError, match=f"in it [0-9].tgz: refused.*{said}"):
        archives.extract(tmp_path / "archive", tmp_path / "out", lambda path: None)


@pytest.mark.parametrize("damage", ["cut", "changed"])
@pytest.mark.parametrize("inner", ["tar", "gzip", "zip"])
def test_a_damaged_archive_inside_another_one_is_named(tmp_path, inner, damage):
    files = {CASE: np.random.default_rng(1).bytes(50_000), "last": np.random.default_rng(2).bytes(50_000)}
    content = (
        replica.zipped(files) if inner == "zip" else replica.tar(files, "w:gz" if inner == "gzip" else "w")
    )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:  # stored
        archive.writestr("inside", content[:60_000] if damage == "cut" else content)
    outer = stream.getvalue()
    if damage == "changed":  # a bit of the last member
        at = outer.index(b"inside") + 90_000
        outer = outer[:at] + bytes([outer[at] ^ 1]) + outer[at + 1 :]
    (tmp_path / "archive").write_bytes(outer)
    with pytest.raises(InputError, match="archive, in it inside: damaged or cut off"):
        archives.extract(tmp_path / "archive", tmp_path / "out", lambda path: None)


def test_a_compression_that_cannot_be_read_is_named(tmp_path):
    content = bytearray(zip_of(SCAN, content=b"x" * 99))
    for start in (b"PK\x03\x04", b"PK\x01\x02"):  # method of the last member, in both of its headers
        content[content.rindex(start) + (8 if start[2] == 3 else 10)] = 9  # Deflate64
    (tmp_path / "archive.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"archive.zip: compressed in a way .*unpack it by hand"):
        archives.extract(tmp_path / "archive.zip", tmp_path / "out", lambda path: None)


def test_a_harmful_archive_does_not_touch_what_is_there(tmp_path):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads/archive").write_bytes(HARMFUL["hard link"][0])
    kept = tmp_path / "brats21" / CASE
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"older")
    with pytest.raises(InputError):
        unpack.unpack("brats21", tmp_path / "downloads", tmp_path / "brats21")
    assert kept.read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brats21", "downloads"]


def test_a_size_that_lies_is_noticed(tmp_path):
    """The directory of a zip says 10 bytes where a million come."""
    content = zip_of(SCAN, content=bytes(1_000_000)).replace(
        (1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    )
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(InputError, match="damaged or cut off"):
        archives.extract(tmp_path / "archive", tmp_path / "out", lambda path: path)
    assert all(path.stat().st_size < 1000 for path in (tmp_path / "out").rglob("*") if path.is_file())


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_are_placed_with_their_content(tmp_path, mode):
    files = replica.scans([f"deep/{CASE}", "unasked/readme.txt", "./other/a.nii.gz"])
    (tmp_path / "archive").write_bytes(replica.tar(files, mode))
    placed = archives.extract(
        tmp_path / "archive",
        tmp_path / "out",
        lambda path: PurePosixPath("x", path.name) if path.suffix == ".gz" else None,
    ).outputs
    assert [path.name for path in placed] == ["BraTS2021_00000_t2.nii.gz", "a.nii.gz"]
    assert placed[0].read_bytes() == files[f"deep/{CASE}"]
    assert placed[1].read_bytes() == files["./other/a.nii.gz"]
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 2


@pytest.mark.parametrize("made", [lambda: tar_of(), lambda: tar_of(mode="w:gz"), lambda: zip_of("a")])
def test_an_archive_that_is_cut_off_is_named(tmp_path, made):
    content = made()
    scan_ends = 512 + len(replica.scan(1))
    (tmp_path / "archive").write_bytes(content[: min(len(content) // 2, scan_ends - 20)])
    with pytest.raises(InputError, match=r"damaged or cut off .*; download it again"):
        archives.extract(tmp_path / "archive", tmp_path / "out", lambda path: path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (replica.PAGE, "a web page, not an archive; sign in"),
        (b"\n\n  <HTML><body>", "a web page"),
        (b"Rar!\x1a\x07", "no archive; tar, tar.gz or zip expected"),
        (b"", "no archive"),
        (gzip.compress(b"no tar" * 200, mtime=0), "damaged"),
    ],
)
def test_what_is_no_archive_is_named(tmp_path, content, said):
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(InputError, match=said):
        archives.extract(tmp_path / "archive", tmp_path / "out", lambda path: path)


def test_two_files_for_one_place_are_refused(tmp_path):
    (tmp_path / "archive").write_bytes(replica.tar(replica.scans([f"a/{CASE}", f"b/{CASE}"])))
    with pytest.raises(InputError, match=r"two files found for BraTS2021_00000_t2.* which differ"):
        archives.extract(tmp_path / "archive", tmp_path / "out", lambda path: PurePosixPath(path.name))


LONG = "a" * 5000


@pytest.mark.parametrize("names", [[f"a/{LONG}"], [f"{LONG}/a"], ["a/b", "a/b/c"], ["a/b/c", "a/b"]])
@pytest.mark.parametrize("made", [replica.tar, replica.zipped])
def test_a_file_that_has_no_place_is_refused(tmp_path, made, names):
    (tmp_path / "archive").write_bytes(made(dict.fromkeys(names, b"x")))
    with pytest.raises(InputError, match=r"refused, nothing was unpacked: it holds a file .* has no place"):
        archives.extract(tmp_path / "archive", tmp_path / "out", lambda path: path)


def decrypted(path, passphrase=replica.PASSPHRASE):
    with decrypt.open_decrypted(path, passphrase) as stream:
        return stream.read()


def test_a_known_file_is_decrypted(tmp_path):
    (tmp_path / "text").write_bytes(KNOWN)
    (tmp_path / "bytes").write_bytes(base64.b64decode(KNOWN))
    for name in ("text", "bytes"):
        assert decrypted(tmp_path / name) == KNOWN_PLAIN
        assert archives.kind(tmp_path / name) == "encrypted"


@needs_openssl
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 5_000_000])
def test_decryption_agrees_with_openssl(tmp_path, size):
    """Five megabytes are several of the pieces that the file is read in."""
    content = np.random.default_rng(size).bytes(size)
    (tmp_path / "file").write_bytes(replica.encrypted(content))
    assert decrypted(tmp_path / "file") == content
    with decrypt.open_decrypted(tmp_path / "file", replica.PASSPHRASE) as stream:
        assert b"".join(iter(lambda: stream.read(99_991), b"")) == content


def said_of(path, passphrase):
    with pytest.raises(InputError) as caught:
        decrypted(path, passphrase)
    assert passphrase not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "cut block", "changed", "not base64", "not encrypted", "empty"])
def test_a_damaged_encrypted_file_is_named(tmp_path, damage):
    content = {
        "cut": KNOWN[:-4],
        "cut block": base64.b64encode(base64.b64decode(KNOWN)[:-16]),
        "changed": KNOWN[:-6] + b"AAAA=\n",
        "not base64": KNOWN[:30] + b"*" + KNOWN[30:],
        "not encrypted": base64.b64encode(b"Salted, but not so" * 3),
        "empty": b"",
    }[damage]
    (tmp_path / "file").write_bytes(content)
    assert str(tmp_path / "file") in said_of(tmp_path / "file", replica.PASSPHRASE)


def test_a_wrong_passphrase_is_an_input_error_that_does_not_repeat_it(tmp_path):
    (tmp_path / "file").write_bytes(KNOWN)
    said = said_of(tmp_path / "file", "wrong-but-secret")
    assert "passphrase does not open this file" in said
    assert decrypt.PASSPHRASE_VARIABLE in said


@needs_openssl
def test_an_encrypted_archive_is_unpacked_with_its_passphrase_only(tmp_path):
    (tmp_path / "file").write_bytes(replica.encrypted(replica.atlas()))
    place = unpack.unpacker("atlas").place
    assert len(archives.extract(tmp_path / "file", tmp_path / "out", place, replica.PASSPHRASE).outputs) == 6
    with pytest.raises(InputError, match="set PATCH2LOC_ATLAS_PASSPHRASE"):
        archives.extract(tmp_path / "file", tmp_path / "none", place)
    with pytest.raises(InputError, match="passphrase does not open") as caught:
        archives.extract(tmp_path / "file", tmp_path / "none", place, "wrong-but-secret")
    assert "wrong-but-secret" not in str(caught.value)
    assert not (tmp_path / "none").exists()


@needs_openssl
def test_openssl_itself_reads_the_known_file(tmp_path):
    command = ["openssl", "enc", "-d", "-aes-256-cbc", "-md", "sha256", "-a", "-pass", "env:P"]
    found = subprocess.run(
        command, input=KNOWN, capture_output=True, check=True, env={"P": replica.PASSPHRASE}
    )
    assert found.stdout == KNOWN_PLAIN
