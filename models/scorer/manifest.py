"""Check that a folder holds exactly the files that were written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
_LONGEST = 10_000_000  # largest accepted manifest in bytes


class DamagedArtifact(ValueError):
    """Files that are missing, changed or added since the folder was written."""


def _file_hashes(folder: Path, *, apart_from: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file below `folder`, by relative path.

    Parameters
    ----------
    folder
        Folder to read in full.
    apart_from
        Paths to leave out; they are not opened.

    Raises
    ------
    DamagedArtifact
        If there is a link, a device or an empty folder, which are never written.
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
    """List all files below `folder` in its ``manifest.json``; return the hash of that file."""
    files = _file_hashes(folder, apart_from={MANIFEST, *apart_from})
    text = json.dumps({"files": files}, indent=1, sort_keys=True)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return manifest_hash(folder)


def manifest_hash(folder: Path) -> str:
    """SHA-256 of the manifest of a folder.

    Raises
    ------
    DamagedArtifact
        If there is no manifest.
    """
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LONGEST:
        raise DamagedArtifact(f"{MANIFEST}: missing, or not a plain file of a few lines")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_manifest(folder: Path, *, apart_from: Collection[str] = ()) -> None:
    """Compare all files below `folder` with its manifest; only the manifest is parsed.

    Raises
    ------
    DamagedArtifact
        If a file is missing, changed or was added; the message names the first one.
    """
    manifest_hash(folder)
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        listed_files = dict(json.loads(text)["files"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DamagedArtifact(f"{MANIFEST}: cannot be read as a list of files") from None
    actual_files = _file_hashes(folder, apart_from={MANIFEST, *apart_from})
    for name in sorted(listed_files.keys() | actual_files.keys()):
        if name not in actual_files:
            raise DamagedArtifact(f"{name}: missing")
        if name not in listed_files:
            raise DamagedArtifact(f"{name}: was added after the folder was written")
        if listed_files[name] != actual_files[name]:
            raise DamagedArtifact(f"{name}: changed after the folder was written")
