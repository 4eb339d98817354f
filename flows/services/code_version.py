"""Version of the running code: the git commit, or the installed package version."""

from __future__ import annotations

import importlib.metadata
import subprocess
from functools import cache
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]


@cache
def code_commit() -> str:
    """Commit of this checkout (``+changes`` if files differ), or the installed version."""
    try:
        commit_hash = _git("rev-parse", "HEAD")
        changed_files = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return f"version {importlib.metadata.version('stagecast')}"
    return f"{commit_hash}+changes" if changed_files else commit_hash


def _git(*arguments: str) -> str:
    # If the package is installed inside another project's checkout, that commit is not ours.
    if not (_PROJECT / ".git").exists():
        raise FileNotFoundError(_PROJECT / ".git")
    completed = subprocess.run(
        ["git", "-C", str(_PROJECT), *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return completed.stdout.strip()
