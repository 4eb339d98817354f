"""Print the path of the newest Python of this machine on which the project installs.

Nothing is printed where none is newer than the one that runs this. Looked for where `uv` looks, and
among those that `pyenv` keeps, whose stand-ins in the search path answer only for the chosen ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

NEWEST = (3, 14)  # the newest for which all packages have wheels


def version(path: Path) -> tuple[int, int]:
    """Major and minor version of an interpreter; (0, 0) where it does not run."""
    command = [path, "-I", "-c", "import json, sys; print(json.dumps(sys.version_info[:2]))"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        major, minor = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return (0, 0)
    return (major, minor)


def interpreters() -> list[Path]:
    """Paths that may be Pythons: of uv's list, and of pyenv's folders."""
    command = ["uv", "python", "list", "--only-installed", "--output-format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    listed = [Path(found["path"]) for found in json.loads(done.stdout or "[]")]
    return [*listed, *Path.home().glob(".pyenv/versions/3.*/bin/python3")]


def main() -> None:
    """Print the newest, if it is newer than this one."""
    newer = {version(path): path for path in interpreters()}
    fitting = [found for found in newer if sys.version_info[:2] < found <= NEWEST]
    if fitting:
        print(newer[max(fitting)])


if __name__ == "__main__":
    main()
