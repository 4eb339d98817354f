"""Check that a folder holds exactly the files it was written with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
_LONGEST = 10_000_000  # bytes of a manifest; a larger one is none of ours


class DamagedArtifact(ValueError):
    """Files are missing, changed or were added since the folder was written."""


def file_hashes(folder: Path, *, apart_from: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file below `folder`, by its path from there.

    Parameters
    ----------
    folder
        Read in full.
    apart_from
        Paths that are left out, and are not opened.

    Raises
    ------
    DamagedArtifact
        A link, a device, or an empty folder: nothing that we write.
    """
    hashes: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name in apart_from:
            continue
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise DamagedArtifact(f"{name}: a link or a device, expected a plain file")
        if path.is_dir():
            if not any(path.iterdir()):
                raise DamagedArtifact(f"{name}: an empty folder that was not written with the rest")
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        hashes[name] = {"bytes": path.stat().st_size, "sha256": digest}
    return hashes


def write_manifest(folder: Path, *, apart_from: Collection[str] = ()) -> str:
    """List all files below `folder` in its ``manifest.json``; gives the hash of that file."""
    files = file_hashes(folder, apart_from={MANIFEST, *apart_from})
    text = json.dumps({"files": files}, indent=1, sort_keys=True)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return manifest_hash(folder)


def manifest_hash(folder: Path) -> str:
    """SHA-256 of the manifest of a folder.

    Raises
    ------
    DamagedArtifact
        There is no manifest.
    """
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LONGEST:
        raise DamagedArtifact(f"{MANIFEST}: missing, or not a plain file of a few lines")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_manifest(folder: Path, *, apart_from: Collection[str] = ()) -> None:
    """Compare all files below `folder` with its manifest; nothing is parsed but the manifest.

    Raises
    ------
    DamagedArtifact
        With the first file that is missing, changed or was added.
    """
    manifest_hash(folder)
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        listed = dict(json.loads(text)["files"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DamagedArtifact(f"{MANIFEST}: cannot be read as a list of files") from None
    actual = file_hashes(folder, apart_from={MANIFEST, *apart_from})
    for name in sorted(listed.keys() | actual.keys()):
        if name not in actual:
            raise DamagedArtifact(f"{name}: missing")
        if name not in listed:
            raise DamagedArtifact(f"{name}: was added after the folder was written")
        if listed[name] != actual[name]:
            raise DamagedArtifact(f"{name}: changed after the folder was written")
