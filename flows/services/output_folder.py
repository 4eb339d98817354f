"""Whether an output folder can be written to: asked before the first second of work."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from features.errors import UserError

ROOM = 4 << 20  # bytes: the databases of MLflow and Prefect alone take as much


def require_writable(output: Path, *, make: bool = True) -> None:
    """Make the folder, and write and remove a nameless file of a few megabytes in it.

    Only writing tells: the superuser passes every look at permissions, a quota shows in no count
    of free space, and a mount may be read-only whatever the permissions say.

    Parameters
    ----------
    output
        The folder.
    make
        Make it where it does not exist; else there is nothing to be asked then.

    Raises
    ------
    UserError
        Where the folder cannot be made or written to, or is full.
    """
    if not make and not output.is_dir():
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output, prefix=".stagecast-") as file:
            file.write(bytes(ROOM))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(
            "--output",
            found=f"{output}: {reason[0].lower()}{reason[1:]}",
            expected=f"a folder to write to, with room for more than {ROOM >> 20} MB",
            hint="make room, allow it, or give another folder; published results are as they were",
        ) from error
