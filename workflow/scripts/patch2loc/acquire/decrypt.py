"""Decryption of files made by `openssl enc -aes-256-cbc -md sha256 -a`, as ATLAS v2.0 is.

The file is base64 in lines, or its bytes: "Salted__", 8 bytes of salt, then AES-256-CBC with PKCS7 padding. Key and
initial vector come from the passphrase by OpenSSL's EVP_BytesToKey with SHA-256 and one round (man page openssl-enc,
without -pbkdf2). Nothing here prints, stores or raises the passphrase.
"""

import base64
import binascii
import hashlib
import io
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from patch2loc.acquire.chunks import reader
from patch2loc.errors import InputError

PASSPHRASE_VARIABLE = "PATCH2LOC_ATLAS_PASSPHRASE"
MAGIC = b"Salted__"
MAGIC_BASE64 = base64.b64encode(MAGIC)[:10]  # what follows depends on the salt
BLOCK_BITS = 128
CHUNK = 1 << 20


def is_encrypted(start: bytes) -> bool:
    """True if a file's first bytes are those of `openssl enc`, with or without -a."""
    return start.startswith(MAGIC) or start.lstrip().startswith(MAGIC_BASE64)


def open_decrypted(path: str | Path, passphrase: str) -> io.BufferedReader:
    """Open an encrypted file to read its plain content from beginning to end.

    Raises:
        InputError: At once or while reading: the file is not one of `openssl enc` or is cut off, or the passphrase is
            wrong. A wrong passphrase is noticed for certain at the end only: look at the first bytes, too.
    """
    return reader(_plain(Path(path), passphrase))


def wrong_passphrase(path: str | Path) -> InputError:
    """InputError for a wrong passphrase."""
    return InputError(
        f"{path}: the passphrase does not open this file, or the file is damaged; set {PASSPHRASE_VARIABLE} to "
        "the passphrase that came after the form, in quotes, or download the file again"
    )


def _key_and_vector(passphrase: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """EVP_BytesToKey: 32 bytes of key and 16 of initial vector."""
    derived = last = b""
    while len(derived) < 48:
        last = hashlib.sha256(last + passphrase + salt).digest()
        derived += last
    return derived[:32], derived[32:48]


def _plain(path: Path, passphrase: str) -> Generator[bytes, None, None]:
    # Imported late: every job of the workflow loads this module for its names.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    with open(path, "rb") as stream:
        encrypted = _bytes(stream, path)
        start = b""
        while len(start) < 16 and (chunk := next(encrypted, b"")):
            start += chunk
        if not start.startswith(MAGIC) or len(start) < 16:
            raise InputError(
                f"{path}: not a file of `openssl enc` (it does not start with {MAGIC.decode()}, plain or as base64); "
                "download it again"
            )
        key, vector = _key_and_vector(passphrase.encode(), start[8:16])
        decryptor = Cipher(algorithms.AES256(key), modes.CBC(vector)).decryptor()
        unpadder = PKCS7(BLOCK_BITS).unpadder()
        yield unpadder.update(decryptor.update(start[16:]))
        for chunk in encrypted:
            yield unpadder.update(decryptor.update(chunk))
        try:
            yield unpadder.update(decryptor.finalize()) + unpadder.finalize()
        except ValueError:  # without its cause: nothing of a key in a traceback
            raise wrong_passphrase(path) from None


def _bytes(stream: BinaryIO, path: Path) -> Generator[bytes, None, None]:
    """Content of the file without its base64 layer, if it has one."""
    start = stream.read(CHUNK)
    if start.startswith(MAGIC):
        yield start
        while chunk := stream.read(CHUNK):
            yield chunk
        return
    pending = b""
    chunk = start
    while chunk:
        pending += chunk.translate(None, b" \t\r\n")
        usable = len(pending) - len(pending) % 4
        yield _decoded(pending[:usable], path)
        pending = pending[usable:]
        chunk = stream.read(CHUNK)
    if pending:
        raise InputError(f"{path}: the base64 text is cut off; download it again")


def _decoded(text: bytes, path: Path) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InputError(f"{path}: neither base64 nor `openssl enc` ({error}); download it again") from error
