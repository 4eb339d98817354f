"""Seal a version's artifacts when they are logged, and check the seal before anything is read."""

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
# Tag of a registered version: a manifest that was replaced together with a file does not fit it.
MANIFEST_TAG = "manifest_sha256"
_DOWNLOADED = "registered_model_meta"  # MLflow writes it into what it has downloaded
_COMPILED = "__pycache__"


def seal(folder: Path) -> tuple[str, list[Path]]:
    """Write the manifest of a model's folder, and its signature where there is a key.

    Returns
    -------
    The manifest's hash, and the files written.
    """
    digest = write_manifest(folder, apart_from=_not_logged(folder))
    files = [folder / MANIFEST]
    if key := os.environ.get(SIGNING_KEY):
        files.append(folder / SIGNATURE)
        files[-1].write_text(_signature(key, folder), encoding="ascii")
    return digest, files


def check_seal(folder: Path, digest: str | None = None) -> None:
    """Refuse a folder in which any file is missing, changed, added, or not signed as it must be.

    Nothing is parsed but the manifest, and nothing is run.

    Parameters
    ----------
    folder
        A model's artifacts on this machine.
    digest
        Hash of the manifest as the registry has it; None where it cannot be asked.

    Raises
    ------
    DamagedArtifact
        With the first file that is wrong.
    """
    actual = manifest_hash(folder)
    if digest is not None and not hmac.compare_digest(actual, digest):
        raise DamagedArtifact(f"{MANIFEST}: not the one that the registry knows")
    key, signature = os.environ.get(SIGNING_KEY), folder / SIGNATURE
    if key:
        if not signature.is_file() or signature.is_symlink():
            raise DamagedArtifact(f"not signed, and {SIGNING_KEY} is set")
        wanted = _signature(key, folder).encode()
        if not hmac.compare_digest(signature.read_bytes(), wanted):
            raise DamagedArtifact(f"signed with another key than {SIGNING_KEY}")
    _check_note(folder)
    check_manifest(folder, apart_from=_not_logged(folder))


def _signature(key: str, folder: Path) -> str:
    return hmac.new(key.encode(), (folder / MANIFEST).read_bytes(), hashlib.sha256).hexdigest()


def _not_logged(folder: Path) -> set[str]:
    """What may lie in a folder beside what was logged: MLflow's note, and compiled copies.

    The note is checked by itself, and compiled copies are never read (`logged_code.importable`).
    """
    compiled = {
        path.relative_to(folder).as_posix()
        for cache in (folder / _COMPILED, *(folder / "code").glob(f"*/{_COMPILED}"))
        if not cache.is_symlink()
        for path in (cache, *cache.glob("*.pyc"))
    }
    return {SIGNATURE, _DOWNLOADED, *compiled}


def _check_note(folder: Path) -> None:
    """The note that MLflow leaves holds a name and a number, and nothing else."""
    path = folder / _DOWNLOADED
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 10_000:
        raise DamagedArtifact(f"{_DOWNLOADED}: not the note that MLflow writes")
    lines = path.read_bytes().decode("utf-8", errors="replace").splitlines()
    if [line.partition(":")[0] for line in lines] != ["model_name", "model_version"]:
        raise DamagedArtifact(f"{_DOWNLOADED}: not the note that MLflow writes")
