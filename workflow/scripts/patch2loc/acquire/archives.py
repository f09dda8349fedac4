"""Archives, unpacked safely: tar, tar.gz and zip, those inside one of them, and tar.gz as `openssl enc` encrypts it.

An archive from the internet may be made to do harm. It is refused as a whole if it holds, itself or in an archive
inside it, a path that leaves the target, links, devices, pipes, sparse files, or more content or files than an archive
of scans can have.
"""

import errno
import gzip
import io
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Literal, cast

from patch2loc.acquire import decrypt
from patch2loc.acquire.chunks import reader
from patch2loc.errors import InputError

# Scans are compressed already, and do not shrink in an archive; SRI24's are not, and shrink to an eighth.
EXPANSION = 20  # times the archive's size
ALWAYS_ALLOWED = 1 << 30  # bytes
MOST_FILES = 100_000
CHUNK = 1 << 20
TAR_MAGIC_AT = 257
GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"
SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
NAMED = 3  # members that `Contents` names
# Names too long, and a file where another one has a folder.
NO_PLACES = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
NAME_SHOWN = 80  # letters

Kind = Literal["tar", "gzip", "zip", "encrypted", "web page", "other"]
Place = Callable[[PurePosixPath], PurePosixPath | None]
Content = io.BufferedReader | zipfile.ZipExtFile
Members = Generator[tuple[PurePosixPath, int, Content], None, None]  # path, size in bytes, content
Chunks = Generator[bytes, None, None]
Files = Generator[tuple[PurePosixPath, Chunks], None, None]  # path, content to be read before the next one


def kind(path: str | Path) -> Kind:
    """Kind of a file, by its first bytes."""
    with open(path, "rb") as stream:
        return _kind(stream.read(1024))


def _kind(start: bytes) -> Kind:
    if start.startswith(ZIP_MAGIC):
        return "zip"
    if start.startswith(GZIP_MAGIC):
        return "gzip"
    if _is_tar(start):
        return "tar"
    if decrypt.is_encrypted(start):
        return "encrypted"
    return "web page" if is_web_page(start) else "other"


def _is_tar(start: bytes) -> bool:
    return start[TAR_MAGIC_AT:].startswith(b"ustar")


def is_web_page(start: bytes) -> bool:
    """True if a file's first bytes are those of HTML."""
    return (
        start.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower().startswith((b"<!doctype html", b"<html", b"<head"))
    )


def safe_path(name: str, archive: str | Path) -> PurePosixPath:
    """Path of a member, which stays below the folder that it is put into.

    Raises:
        InputError: It is absolute, empty or contains `..`.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0].endswith(":"):
        raise _refused(archive, f"the path {name!r}, which leads out of the target folder")
    return path


@dataclass
class Contents:
    """What an archive was found to hold, together with the archives inside it.

    Attributes:
        outputs: Files written, those left out that had been there with the same content.
        files: Number of files.
        named: The first of them that were not asked for.
        opened: Archives inside it, which were read as well.
        unopened: Archives inside those, and encrypted ones, which were not.
    """

    outputs: list[Path] = field(default_factory=list)
    files: int = 0
    named: list[PurePosixPath] = field(default_factory=list)
    opened: list[PurePosixPath] = field(default_factory=list)
    unopened: list[PurePosixPath] = field(default_factory=list)


def extract(archive: str | Path, folder: str | Path, place: Place, passphrase: str | None = None) -> Contents:
    """Unpack the members that `place` gives a path to, also those of archives inside the archive, one level down.

    Every member is read and checked, unpacked or not. Files keep their content; owner, rights and times are not taken
    over. An archive counts as a folder of its name: `place` is asked for patient01/T2W.nii.gz if patient01.zip holds
    T2W.nii.gz. A tar inside is read as it comes; of a zip inside a copy is in `folder` while it is read.

    Args:
        archive: A tar, tar.gz or zip, or a tar.gz encrypted by `openssl enc`.
        folder: Folder to unpack to.
        place: Gives the path below `folder` for a member's path, or None to pass it over.
        passphrase: Of an encrypted archive.

    Raises:
        InputError: The archive is damaged, is none, or is refused (see above), the passphrase is missing or wrong, or a
            file is there already with other content. Files written until then are the caller's to remove.
    """
    archive, folder, contents = Path(archive), Path(folder), Contents()
    with closing(_files(archive, folder, passphrase, contents)) as files:
        for path, chunks in files:
            target = place(path)
            if target is not None:
                contents.outputs += [folder / target] if _write(folder / target, chunks, archive) else []
            elif len(contents.named) < NAMED:
                contents.named.append(path.relative_to(path.parts[0]))
            _read_to_end(chunks)
    return contents


def members(archive: str | Path, folder: str | Path, passphrase: str | None = None) -> list[PurePosixPath]:
    """Paths of the files that `extract` would ask for, each read and checked.

    Args:
        archive: As for `extract`.
        folder: Folder for the copy of a zip inside the archive.
        passphrase: Of an encrypted archive.

    Raises:
        InputError: As for `extract`.
    """
    paths = []
    with closing(_files(Path(archive), Path(folder), passphrase, Contents())) as files:
        for path, chunks in files:
            paths.append(path)
            _read_to_end(chunks)
    return paths


def _write(target: Path, chunks: Chunks, archive: Path) -> bool:
    """Write a file, or compare it with the one that is there; returns True if it was written."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            with open(target, "xb") as output:
                for chunk in chunks:
                    output.write(chunk)
            return True
        with open(target, "rb") as present:
            same = all(present.read(len(chunk)) == chunk for chunk in chunks) and not present.read(1)
    except OSError as error:
        if error.errno not in NO_PLACES:
            raise
        raise _refused(
            archive,
            f"a file {target.name[:NAME_SHOWN]}, which has no place beside the others ({error.strerror})",
        ) from error
    if not same:
        raise InputError(
            f"{archive}: two files found for {target.name} of {target.parent.name}, which differ, one expected; "
            "keep one release of the data in the folder"
        )
    return False


def _read_to_end(chunks: Chunks) -> None:
    for _ in chunks:
        pass


@dataclass
class _Total:
    """What an archive and those inside it have held so far, and where reading is.

    Attributes:
        place: The archive that is read, for messages.
        allowed: Bytes.
        read: Bytes, of files, archives inside and their files.
        files: Number of files, and of archives inside.
    """

    place: str
    allowed: int
    read: int = 0
    files: int = 0

    def count_file(self, size: int) -> None:
        self.files += 1
        if self.files > MOST_FILES:
            raise _refused(self.place, f"more than {MOST_FILES:,} files")
        self._require(self.read + size)

    def count_bytes(self, count: int) -> None:
        self.read += count
        self._require(self.read)

    def _require(self, size: int) -> None:
        if size > self.allowed:
            raise _refused(self.place, f"more than {self.allowed:,} bytes of content")


def _files(archive: Path, folder: Path, passphrase: str | None, contents: Contents) -> Files:
    """All files of an archive and of those inside it."""
    total = _Total(str(archive), max(ALWAYS_ALLOWED, EXPANSION * archive.stat().st_size))
    with (
        _naming_damage(total),
        closing(_members(archive, passphrase)) as found,
        closing(_with_those_inside(found, archive, folder, total, contents=contents)) as files,
    ):
        for path, size, content in files:
            contents.files += 1
            yield path, _counted(path, size, content, total)


def _counted(path: PurePosixPath, size: int, content: Content, total: _Total) -> Chunks:
    """Content of a member, which has to have its size."""
    total.count_file(size)
    read = 0
    with _naming_damage(total):
        while chunk := content.read(CHUNK):
            read += len(chunk)
            total.count_bytes(len(chunk))
            yield chunk
    if read != size:
        raise _damaged(total.place, f"{path} ends after {read} of {size} bytes")


@contextmanager
def _naming_damage(total: _Total) -> Generator[None, None, None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise _damaged(total.place, str(error)) from error
    except NotImplementedError as error:  # of zipfile; Windows compresses files above 2 GB by Deflate64
        raise InputError(
            f"{total.place}: compressed in a way that cannot be read here ({error}); unpack it by hand, and put its "
            "files or another archive of them in its place"
        ) from error


def _with_those_inside(
    found: Members, archive: Path, folder: Path, total: _Total, *, contents: Contents
) -> Members:
    """Members of an archive below a folder of its name; in the place of an archive its own members."""
    for name, size, content in found:
        path = _stem(archive.name) / name
        inner_kind = _kind_inside(content)
        if inner_kind in (None, "encrypted"):
            contents.unopened += [name] if inner_kind else []
            yield path, size, content
            continue
        contents.opened.append(name)
        total.place = f"{archive}, in it {name}"
        with (
            reader(_counted(name, size, content, total)) as stream,
            closing(_members_inside(stream, inner_kind, folder, total.place)) as members_inside,
        ):
            for inner_name, inner_size, inner_content in members_inside:
                contents.unopened += [name / inner_name] if _kind_inside(inner_content) else []
                yield path.parent / _stem(path.name) / inner_name, inner_size, inner_content
            while stream.read(CHUNK):  # what follows the last member, to the checksum at the end
                pass
        total.place = str(archive)


def _stem(name: str) -> PurePosixPath:
    """Name of an archive without its suffix."""
    suffixes = [suffix for suffix in SUFFIXES if name.endswith(suffix)]
    return PurePosixPath(name.removesuffix(suffixes[-1]) if suffixes else name)


def _kind_inside(content: Content) -> Kind | None:
    """Kind of an archive inside an archive, by its first bytes; None for other files, such as compressed scans."""
    start = content.peek(1024)
    found = _kind(start)
    if found == "gzip":
        try:
            return found if _is_tar(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(start)) else None
        except zlib.error:
            return None
    return found if found in ("tar", "zip", "encrypted") else None


def _members(archive: Path, passphrase: str | None) -> Members:
    """Members of an archive, in its order."""
    archive_kind = kind(archive)
    if archive_kind == "web page":
        raise InputError(
            f"{archive}: a web page, not an archive; sign in where it comes from and download it again"
        )
    if archive_kind == "other":
        raise InputError(
            f"{archive}: no archive; tar, tar.gz or zip expected; download it again or remove it"
        )
    if archive_kind == "encrypted":
        with _open_encrypted(archive, passphrase) as decrypted:
            compressed = decrypted.peek(2).startswith(GZIP_MAGIC)
            if not compressed and not _is_tar(decrypted.peek(TAR_MAGIC_AT + 5)):
                raise decrypt.wrong_passphrase(archive)
            yield from _tar_members(decrypted, compressed, archive)
        return
    with open(archive, "rb") as stream:
        if archive_kind == "zip":
            yield from _zip_members(stream, archive)
        else:
            yield from _tar_members(stream, archive_kind == "gzip", archive)


def _members_inside(stream: io.BufferedReader, inner_kind: Kind | None, folder: Path, place: str) -> Members:
    """Members of an archive inside another one."""
    if inner_kind != "zip":
        yield from _tar_members(stream, inner_kind == "gzip", place)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as copy:  # a zip is read from its end
        shutil.copyfileobj(stream, copy, CHUNK)
        yield from _zip_members(copy, place)


def _zip_members(stream: IO[bytes], place: str | Path) -> Members:
    with zipfile.ZipFile(stream) as opened:
        for member in opened.infolist():
            path = safe_path(member.filename, place)
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(place, f"{path}, a link or a device")
            if member.flag_bits & 1:
                raise InputError(f"{place}: {path} is encrypted; unpack it by hand, with its password")
            if not member.is_dir():
                with opened.open(member) as content:
                    yield path, member.file_size, cast(zipfile.ZipExtFile, content)


def _tar_members(stream: BinaryIO, compressed: bool, place: str | Path) -> Members:
    with (
        gzip.open(stream) if compressed else nullcontext(stream) as plain,
        tarfile.open(fileobj=plain, mode="r|") as opened,
    ):
        for member in opened:
            path = safe_path(member.name, place) if member.name not in (".", "./") else PurePosixPath(".")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise _refused(place, f"{path}, a link, a device or a sparse file")
            content = opened.extractfile(member)
            assert content is not None  # the member is a regular file
            yield path, member.size, cast(io.BufferedReader, content)


def _open_encrypted(archive: Path, passphrase: str | None) -> io.BufferedReader:
    if not passphrase:
        raise InputError(
            f"{archive}: encrypted; set {decrypt.PASSPHRASE_VARIABLE} to the passphrase that came after the form"
        )
    return decrypt.open_decrypted(archive, passphrase)


def _refused(archive: str | Path, content: str) -> InputError:
    return InputError(
        f"{archive}: refused, nothing was unpacked: it holds {content}; archives of the datasets have none of this: "
        "check where the file came from and download it again"
    )


def _damaged(archive: str | Path, problem: str) -> InputError:
    return InputError(f"{archive}: damaged or cut off ({problem}); download it again")
