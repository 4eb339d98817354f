"""Disks of the tests' own: small, full, or read-only, as a machine has them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A file system in memory."""

    folder: Path

    def read_only(self) -> None:
        """Allow no more writing, to the superuser neither."""
        subprocess.run(["mount", "-o", "remount,ro", self.folder], check=True)

    def fill(self, *, spare: int = 0) -> None:
        """Leave room for so many bytes."""
        space = os.statvfs(self.folder)
        left = space.f_bavail * space.f_bsize - spare
        with contextlib.suppress(OSError), (self.folder / "filler").open("ab", 0) as file:
            while left > 0:
                left -= file.write(bytes(min(left, 1 << 20)))

    def make_room(self) -> None:
        """Undo `fill`."""
        (self.folder / "filler").unlink()


@contextlib.contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Disk]:
    """A disk of its own for the time of the block; skips the test where none may be mounted."""
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "stagecast-test", str(folder)]
    done = subprocess.run(options, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"only the superuser may mount a disk: {done.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
