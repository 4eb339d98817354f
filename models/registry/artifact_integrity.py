"""Seal a version's artifacts when they are logged; check the seal before they are read."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from models.scorer.manifest import (
    MANIFEST,
    DamagedArtifact,
    check_manifest,
    manifest_hash,
    write_manifest,
)

SIGNING_KEY = "STAGECAST_SIGNING_KEY"
SIGNATURE = "manifest.hmac"
# Tag of a registered version; it detects a manifest that was replaced together with a file.
MANIFEST_TAG = "manifest_sha256"
_DOWNLOADED = "registered_model_meta"  # MLflow writes it into downloaded folders
_COMPILED = "__pycache__"


def seal_artifacts(folder: Path) -> tuple[str, list[Path]]:
    """Write the manifest of a model's folder, and its signature if a key is set.

    Returns
    -------
    The manifest's hash, and the files written.
    """
    digest = write_manifest(folder, apart_from=_not_logged(folder))
    written_files = [folder / MANIFEST]
    if signing_key := os.environ.get(SIGNING_KEY):
        written_files.append(folder / SIGNATURE)
        written_files[-1].write_text(_signature(signing_key, folder), encoding="ascii")
    return digest, written_files


def check_seal(folder: Path, digest: str | None = None) -> None:
    """Raise if a file of a folder is missing, changed, added, or not signed as required.

    Only the manifest is parsed, and no code is run.

    Parameters
    ----------
    folder
        Local folder with a model's artifacts.
    digest
        Hash of the manifest in the registry; None if the registry is not available.

    Raises
    ------
    DamagedArtifact
        Names the first damaged file.
    """
    actual_digest = manifest_hash(folder)
    if digest is not None and not hmac.compare_digest(actual_digest, digest):
        raise DamagedArtifact(f"{MANIFEST}: not the one that the registry knows")
    signing_key, signature = os.environ.get(SIGNING_KEY), folder / SIGNATURE
    if signing_key:
        if not signature.is_file() or signature.is_symlink():
            raise DamagedArtifact(f"not signed, and {SIGNING_KEY} is set")
        expected_signature = _signature(signing_key, folder).encode()
        if not hmac.compare_digest(signature.read_bytes(), expected_signature):
            raise DamagedArtifact(f"signed with another key than {SIGNING_KEY}")
    _check_note(folder)
    check_manifest(folder, apart_from=_not_logged(folder))


def _signature(key: str, folder: Path) -> str:
    return hmac.new(key.encode(), (folder / MANIFEST).read_bytes(), hashlib.sha256).hexdigest()


def _not_logged(folder: Path) -> set[str]:
    """Allowed files that are not logged: MLflow's note, and compiled files.

    The note is checked separately; compiled files are never read
    (`logged_code.importable_folders`).
    """
    compiled = {
        path.relative_to(folder).as_posix()
        for cache in (folder / _COMPILED, *(folder / "code").glob(f"*/{_COMPILED}"))
        if not cache.is_symlink()
        for path in (cache, *cache.glob("*.pyc"))
    }
    return {SIGNATURE, _DOWNLOADED, *compiled}


def _check_note(folder: Path) -> None:
    """Raise if MLflow's note contains anything but a model name and a version."""
    note = folder / _DOWNLOADED
    if not note.exists() and not note.is_symlink():
        return
    if note.is_symlink() or not note.is_file() or note.stat().st_size > 10_000:
        raise DamagedArtifact(f"{_DOWNLOADED}: not the note that MLflow writes")
    lines = note.read_bytes().decode("utf-8", errors="replace").splitlines()
    if [line.partition(":")[0] for line in lines] != ["model_name", "model_version"]:
        raise DamagedArtifact(f"{_DOWNLOADED}: not the note that MLflow writes")
