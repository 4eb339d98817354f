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
from features.sources.spreadsheets import SPREADSHEETS

_ARCHIVES = (".zip", ".zst")
# Encodings that the engine reads itself.
_NATIVE = ("utf-8", "latin-1", "utf-16")
_CHUNK_BYTES = 1 << 20
_DAMAGES = (OSError, EOFError, zipfile.BadZipFile, RuntimeError, NotImplementedError)
_TABLES = ("csv", "tsv", "txt", "parquet", "json", "jsonl", "ndjson", *SPREADSHEETS)


def prepare_files(names: Sequence[str], csv_format: CsvFormat) -> tuple[list[str], CsvFormat]:
    """Return files that the engine reads, and how: the same where it can read the originals.

    Raises
    ------
    UserError
        For damaged archives, archives without tables or with several kinds of files, and
        undecodable text.
    """
    prepared = [copy for name in names for copy in _prepared(name, csv_format)]
    if csv_format.encoding in _NATIVE:
        return prepared, csv_format
    return prepared, csv_format.model_copy(update={"encoding": "utf-8"})


def _prepared(name: str, csv_format: CsvFormat) -> list[str]:
    path = Path(name)
    foreign = csv_format.encoding not in _NATIVE and _is_text(name)
    if not (foreign or name.lower().endswith(_ARCHIVES)):
        return [name]
    status = path.stat()
    return list(_copies(name, status.st_size, status.st_mtime_ns, csv_format.encoding))


def _is_text(name: str) -> bool:
    bare_name = name.lower()
    for ending in (".gz", *_ARCHIVES):
        bare_name = bare_name.removesuffix(ending)
    return bare_name.endswith((".csv", ".tsv", ".txt")) or name.lower().endswith(".zip")


@functools.lru_cache(maxsize=10_000)
def _copies(name: str, size: int, changed: int, encoding: str) -> tuple[str, ...]:
    """Write readable copies of what a file holds once per process; return their paths."""
    version = f"{name}|{size}|{changed}|{encoding}"
    folder = Path(_folder().name) / hashlib.sha256(version.encode()).hexdigest()
    folder.mkdir(exist_ok=True)
    where = f"file {Path(name).name}"
    allowance = max(SAFE_BYTES, MAX_EXPANSION * size)
    copies: list[str] = []
    for member in _members(name, where):
        with _unpacked(name, member, where) as (stream, inner_name):
            # Files of the same name in several folders of an archive stay apart.
            copy = folder / str(len(copies)) / inner_name
            copy.parent.mkdir(exist_ok=True)
            foreign = encoding not in _NATIVE and _is_text(inner_name)
            with copy.open("wb") as target:
                _pour(stream, target, where, encoding if foreign else None, allowance)
        allowance -= copy.stat().st_size
        copies.append(str(copy))
    return tuple(copies)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="stagecast-files-")


@contextmanager
def _unpacked(name: str, member: str, where: str) -> Iterator[tuple[IO[bytes], str]]:
    """Open the content of a file or of an archive's member; also the name of the file within."""
    lower_name, own_name = name.lower(), Path(name).name
    try:
        if lower_name.endswith(".zip"):
            with zipfile.ZipFile(name) as archive, archive.open(member) as stream:
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
    except _DAMAGES as error:
        raise _damaged(where, error) from error


def _damaged(where: str, error: Exception) -> UserError:
    return UserError(
        where,
        found=f"a compressed file that is damaged, cut off or locked ({type(error).__name__})",
        expected="a whole archive without a password",
        hint="deliver the file again, or uncompressed",
    )


def _members(name: str, where: str) -> list[str]:
    """Return the names of the tables in a zip archive, in order; one empty name for other files."""
    if not name.lower().endswith(".zip"):
        return [""]
    try:
        with zipfile.ZipFile(name) as archive:
            members = [member.filename for member in archive.infolist() if not member.is_dir()]
    except _DAMAGES as error:
        raise _damaged(where, error) from error
    tables = sorted(
        member
        for member in members
        if not Path(member).name.startswith(".")
        and not member.startswith("__MACOSX/")
        and Path(member).suffix.lower().removeprefix(".") in _TABLES
    )
    if not tables or len({Path(table).suffix.lower() for table in tables}) > 1:
        raise UserError(
            where,
            found=f"{len(members)} files in the archive: {', '.join(members[:10]) or 'none'}",
            expected="one table, or parts of one table in files of one kind",
            hint="unpack it, and name the files",
        )
    return tables


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
