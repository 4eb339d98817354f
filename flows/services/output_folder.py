"""Check, before any work, that the output folder can be written to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from features.errors import UserError

_PROBE_BYTES = 4 << 20  # about the size of the empty databases of MLflow and Prefect


def require_writable(output: Path, *, create: bool = True) -> None:
    """Create the folder, and write and remove an unnamed file of a few megabytes in it.

    Only writing shows whether it works: the superuser passes every permission check, free space
    does not include quotas, and a mount can be read-only whatever the permissions are.

    Parameters
    ----------
    output
        The folder.
    create
        Create the folder if it does not exist; if False, a missing folder is not checked.

    Raises
    ------
    UserError
        If the folder cannot be created or written to, or is full.
    """
    if not create and not output.is_dir():
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output, prefix=".stagecast-") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(
            "--output",
            found=f"{output}: {reason[0].lower()}{reason[1:]}",
            expected=f"a writable folder with more than {_PROBE_BYTES >> 20} MB of free space",
            hint="free space, allow writing, or give another folder; published results are "
            "unchanged",
        ) from error
