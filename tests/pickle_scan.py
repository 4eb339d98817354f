"""A scan for pickles: loading one runs its code, so no artifact may hold any."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickletools
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def pickled_files(folder: Path) -> list[Path]:
    """Files below `folder` that are a pickle, plain or compressed; loading one runs its code.

    Content decides, not names: pickle, cloudpickle and joblib all write a stream of pickle
    opcodes up to STOP.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if any(_is_pickle(data) for data in _unpacked(path))]


def _is_pickle(data: bytes) -> bool:
    try:
        opcodes = sum(1 for _ in pickletools.genops(data))
    except Exception:
        # joblib puts raw arrays between the opcodes: there the start alone tells.
        return data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return opcodes > 1  # a text that starts with a full stop is one STOP


def _unpacked(path: Path) -> Iterator[bytes]:
    """The bytes of a file, or of what is compressed in it."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
        return
    data = path.read_bytes()
    yield data
    for unpack in (gzip.decompress, zlib.decompress, bz2.decompress, lzma.decompress):
        with suppress(OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
            yield unpack(data)
