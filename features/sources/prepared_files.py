"""Files that the engine cannot read as they are, as plain UTF-8 files in a temporary folder.

Archives are unpacked, and foreign encodings become UTF-8. The copies live as long as the process.
"""

from __future__ import annotations

import codecs
import functools
import gzip
import hashlib
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from features.config.sources import CsvFormat
from features.errors import UserError
from features.sources.compressed import MAX_EXPANSION, SAFE_BYTES

_ARCHIVES = (".zip", ".zst")
# Encodings that the engine reads itself.
_NATIVE = ("utf-8", "latin-1", "utf-16")
_CHUNK_BYTES = 1 << 20


def prepare_files(names: Sequence[str], csv_format: CsvFormat) -> tuple[list[str], CsvFormat]:
    """Return files that the engine reads, and how: the same where it can read the originals.

    Raises
    ------
    UserError
        For damaged archives, archives without exactly one table, and undecodable text.
    """
    prepared = [_prepared(name, csv_format) for name in names]
    if csv_format.encoding in _NATIVE:
        return prepared, csv_format
    return prepared, csv_format.model_copy(update={"encoding": "utf-8"})


def _prepared(name: str, csv_format: CsvFormat) -> str:
    path = Path(name)
    foreign = csv_format.encoding not in _NATIVE and _is_text(name)
    if not (foreign or name.lower().endswith(_ARCHIVES)):
        return name
    status = path.stat()
    return _copy(name, status.st_size, status.st_mtime_ns, csv_format.encoding)


def _is_text(name: str) -> bool:
    bare_name = name.lower()
    for ending in (".gz", *_ARCHIVES):
        bare_name = bare_name.removesuffix(ending)
    return bare_name.endswith((".csv", ".tsv", ".txt")) or name.lower().endswith(".zip")


@functools.lru_cache(maxsize=10_000)
def _copy(name: str, size: int, changed: int, encoding: str) -> str:
    """Write a readable copy of a file once per process; return its path."""
    version = f"{name}|{size}|{changed}|{encoding}"
    folder = Path(_folder().name) / hashlib.sha256(version.encode()).hexdigest()
    folder.mkdir(exist_ok=True)
    where = f"sources: {Path(name).name}"
    with _unpacked(name, where) as (stream, inner_name):
        copy = folder / inner_name
        foreign = encoding not in _NATIVE and _is_text(inner_name)
        most_bytes = max(SAFE_BYTES, MAX_EXPANSION * size)
        with copy.open("wb") as target:
            _pour(stream, target, where, encoding if foreign else None, most_bytes)
    return str(copy)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="stagecast-files-")


@contextmanager
def _unpacked(name: str, where: str) -> Iterator[tuple[IO[bytes], str]]:
    """Open the content of a file, unpacked; also the name of the file within."""
    lower_name, own_name = name.lower(), Path(name).name
    try:
        if lower_name.endswith(".zip"):
            with zipfile.ZipFile(name) as archive:
                member = _only_member(archive, where)
                with archive.open(member) as stream:
                    yield stream, Path(member).name
        elif lower_name.endswith(".zst"):
            with pa.OSFile(name) as file, pa.CompressedInputStream(file, "zstd") as stream:
                yield stream, own_name[: -len(".zst")]
        elif lower_name.endswith(".gz"):
            with gzip.open(name, "rb") as plain_stream:
                yield cast(IO[bytes], plain_stream), own_name[: -len(".gz")]
        else:
            with open(name, "rb") as stream:
                yield stream, own_name
    except (OSError, EOFError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise UserError(
            where,
            found=f"a compressed file that is damaged, cut off or locked ({type(error).__name__})",
            expected="a whole archive without a password",
            hint="deliver the file again, or uncompressed",
        ) from error


def _only_member(archive: zipfile.ZipFile, where: str) -> str:
    """Return the name of the single table in a zip archive."""
    members = [
        member.filename
        for member in archive.infolist()
        if not member.is_dir() and not Path(member.filename).name.startswith(".")
        and not member.filename.startswith("__MACOSX/")
    ]  # fmt: skip
    if len(members) != 1:
        raise UserError(
            where,
            found=f"{len(members)} files in the archive: {', '.join(members[:10]) or 'none'}",
            expected="one table in each archive",
            hint="unpack it, and name the files",
        )
    return members[0]


def _pour(
    stream: IO[bytes], target: IO[bytes], where: str, encoding: str | None, most_bytes: int
) -> None:
    """Copy a stream, from another encoding to UTF-8 if one is given."""
    decoder = None if encoding is None else codecs.getincrementaldecoder(encoding)()
    copied = 0
    try:
        while chunk := stream.read(_CHUNK_BYTES):
            copied += len(chunk)
            if copied > most_bytes:
                raise UserError(
                    where,
                    found=f"a compressed file that grows more than {MAX_EXPANSION}-fold",
                    expected="a compressed table",
                    hint="check who wrote the file",
                )
            target.write(chunk if decoder is None else decoder.decode(chunk).encode("utf-8"))
        if decoder is not None:
            target.write(decoder.decode(b"", final=True).encode("utf-8"))
    except UnicodeError as error:
        raise UserError(
            where,
            found=f"bytes that are not {encoding}",
            expected=f"text in {encoding}",
            hint="set the source's `csv: {encoding: ...}`, or save the file as UTF-8",
        ) from error
