"""Archives, unpacked safely: tar, tar.gz and zip, and tar.gz as `openssl enc` encrypts it.

An archive from the internet may be made to do harm. It is refused as a whole if it holds a path that leaves the target,
links, devices, pipes, sparse files, or more content or files than an archive of scans can have.
"""

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Literal

from patch2loc.acquire import decrypt
from patch2loc.errors import InputError

# Scans are compressed already, and do not shrink in an archive; SRI24's are not, and shrink to an eighth.
EXPANSION = 20  # times the archive's size
ALWAYS_ALLOWED = 1 << 30  # bytes
MOST_FILES = 100_000
CHUNK = 1 << 20
TAR_MAGIC_AT = 257
GZIP_MAGIC = b"\x1f\x8b"

Kind = Literal["tar", "gzip", "zip", "encrypted", "web page", "other"]
Place = Callable[[PurePosixPath], PurePosixPath | None]
Members = Generator[tuple[PurePosixPath, int, IO[bytes]], None, None]  # path, size in bytes, content


def kind(path: str | Path) -> Kind:
    """Kind of a file, by its first bytes."""
    with open(path, "rb") as stream:
        start = stream.read(1024)
    if start.startswith(b"PK\x03\x04"):
        return "zip"
    if start.startswith(GZIP_MAGIC):
        return "gzip"
    if start[TAR_MAGIC_AT:].startswith(b"ustar"):
        return "tar"
    if decrypt.is_encrypted(start):
        return "encrypted"
    return "web page" if is_web_page(start) else "other"


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


def extract(
    archive: str | Path, folder: str | Path, place: Place, passphrase: str | None = None
) -> list[Path]:
    """Unpack the members that `place` gives a path to.

    Every member is read and checked, unpacked or not. Files keep their content; owner, rights and times are not taken
    over.

    Args:
        archive: A tar, tar.gz or zip, or a tar.gz encrypted by `openssl enc`.
        folder: Folder to unpack to.
        place: Gives the path below `folder` for a member's path, or None to pass it over.
        passphrase: Of an encrypted archive.

    Returns:
        The files written.

    Raises:
        InputError: The archive is damaged, is none, or is refused (see above), or the passphrase is missing or wrong.
            Files written until then are the caller's to remove.
    """
    archive, folder = Path(archive), Path(folder)
    allowed = max(ALWAYS_ALLOWED, EXPANSION * archive.stat().st_size)
    outputs, expanded = [], 0
    members = _members(archive, passphrase)
    try:
        for number, (path, size, content) in enumerate(members, start=1):
            if number > MOST_FILES:
                raise _refused(archive, f"more than {MOST_FILES:,} files")
            if expanded + size > allowed:
                raise _refused(archive, f"more than {allowed:,} bytes of content")
            target = place(path)
            with ExitStack() as stack:
                output = None
                if target is not None:
                    output = stack.enter_context(_create(folder / target, archive))
                    outputs.append(folder / target)
                read = 0
                while chunk := content.read(CHUNK):
                    read += len(chunk)
                    if expanded + read > allowed:
                        raise _refused(archive, f"more than {allowed:,} bytes of content")
                    if output:
                        output.write(chunk)
            expanded += read
            if read != size:
                raise _damaged(archive, f"{path} ends after {read} of {size} bytes")
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise _damaged(archive, str(error)) from error
    finally:
        members.close()
    return outputs


def _create(target: Path, archive: Path) -> BinaryIO:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        return open(target, "xb")
    except FileExistsError as error:
        raise InputError(
            f"{archive}: two files found for {target.name} of {target.parent.name}, one expected; "
            "keep one release of the data in the folder"
        ) from error


def _members(archive: Path, passphrase: str | None) -> Members:
    """All files of an archive, in its order."""
    archive_kind = kind(archive)
    if archive_kind == "web page":
        raise InputError(
            f"{archive}: a web page, not an archive; sign in where it comes from and download it again"
        )
    if archive_kind == "other":
        raise InputError(
            f"{archive}: no archive; tar, tar.gz or zip expected; download it again or remove it"
        )
    return _zip_members(archive) if archive_kind == "zip" else _tar_members(archive, archive_kind, passphrase)


def _zip_members(archive: Path) -> Members:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            path = safe_path(member.filename, archive)
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, f"{path}, a link or a device")
            if member.flag_bits & 1:
                raise InputError(f"{archive}: {path} is encrypted; unpack it by hand, with its password")
            if not member.is_dir():
                with opened.open(member) as content:
                    yield path, member.file_size, content


def _tar_members(archive: Path, archive_kind: Kind, passphrase: str | None) -> Members:
    with ExitStack() as stack:
        stream: BinaryIO | io.BufferedReader | gzip.GzipFile
        if archive_kind == "encrypted":
            decrypted = stack.enter_context(_open_encrypted(archive, passphrase))
            compressed = decrypted.peek(2).startswith(GZIP_MAGIC)
            if not compressed and decrypted.peek(TAR_MAGIC_AT + 5)[TAR_MAGIC_AT:][:5] != b"ustar":
                raise decrypt.wrong_passphrase(archive)
            stream = decrypted
        else:
            stream = stack.enter_context(open(archive, "rb"))
            compressed = archive_kind == "gzip"
        if compressed:
            stream = stack.enter_context(gzip.open(stream))
        opened = stack.enter_context(tarfile.open(fileobj=stream, mode="r|"))
        for member in opened:
            path = safe_path(member.name, archive) if member.name not in (".", "./") else PurePosixPath(".")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise _refused(archive, f"{path}, a link, a device or a sparse file")
            content = opened.extractfile(member)
            assert content is not None  # the member is a regular file
            yield path, member.size, content


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


def _damaged(archive: Path, problem: str) -> InputError:
    return InputError(f"{archive}: damaged or cut off ({problem}); download it again")
