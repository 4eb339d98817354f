"""A PostgreSQL of the tests' own."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def postgres_server() -> Iterator[Any]:
    """A running server from `pgserver`, gone at the end with all its data."""
    import pgserver

    # Not in pytest's folder, which the next session of pytest closes to the database's own user.
    folder = Path(tempfile.mkdtemp(prefix="stagecast-postgres-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a folder of the desktop
        server = pgserver.get_server(folder)
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
