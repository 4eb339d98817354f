"""Which code made something: the commit it was run from, or the version that is installed."""

from __future__ import annotations

import importlib.metadata
import subprocess
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


@cache
def commit() -> str:
    """Commit of this code, ``+changes`` where files differ from it; installed: its version."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return f"version {importlib.metadata.version('stagecast')}"
    return f"{head}+changes" if changed else head


def _git(*arguments: str) -> str:
    # A checkout of something else that we are merely installed in does not count.
    if not (PROJECT / ".git").exists():
        raise FileNotFoundError(PROJECT / ".git")
    done = subprocess.run(
        ["git", "-C", str(PROJECT), *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.strip()
