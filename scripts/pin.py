"""Write the whole resolved set of packages into pyproject.toml, and nowhere a registry's address.

Run from the repository's root: ``uv run python scripts/pin.py``. A lock file would record the
address of the registry it was made from, so the pins live at the end of ``pyproject.toml`` as
``[tool.uv] constraint-dependencies``, where ``uv run`` and ``uv sync`` honour them.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPENING = "# >>> pins, written by scripts/pin.py"
CLOSING = "# <<< pins"
BLOCK = re.compile(f"{re.escape(OPENING)}.*?{re.escape(CLOSING)}\n?", re.DOTALL)


def without_pins(text: str) -> str:
    """The project file before pinning: old pins must not hold the new resolution back."""
    return BLOCK.sub("", text).rstrip() + "\n"


def compile_requirements(source: Path, options: list[str]) -> list[str]:
    """Lines ``name==version [; marker]`` that satisfy `source` on every supported Python."""
    command = ["uv", "pip", "compile", str(source), "--universal", "--no-emit-index-url"]
    command += ["--no-header", "--no-annotate", "--quiet", *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=source.parent)
    return [line.strip() for line in done.stdout.splitlines() if "==" in line]


def toml_list(name: str, lines: list[str]) -> str:
    """A TOML array of strings, one a line (uv writes markers with single quotes)."""
    body = "".join(f'    "{line}",\n' for line in lines)
    return f"{name} = [\n{body}]\n"


def main() -> None:
    """Resolve every group and extra together and rewrite the block of pins."""
    path = ROOT / "pyproject.toml"
    text = without_pins(path.read_text(encoding="utf-8"))
    project = tomllib.loads(text)
    groups = [f"--group={name}" for name in project.get("dependency-groups", {})]
    minimum = project["project"]["requires-python"].removeprefix(">=")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pyproject.toml"
        source.write_text(text, encoding="utf-8")
        python = f"--python-version={minimum}"
        run = compile_requirements(source, ["--all-extras", *groups, python])
        build = Path(folder) / "build.in"
        build.write_text("\n".join(project["build-system"]["requires"]), encoding="utf-8")
        make = compile_requirements(build, [python])
    pins = toml_list("constraint-dependencies", run) + toml_list(
        "build-constraint-dependencies", make
    )
    path.write_text(f"{text}{OPENING}\n{pins}{CLOSING}\n", encoding="utf-8")
    print(f"{len(run)} packages pinned, and {len(make)} to build with")


if __name__ == "__main__":
    main()
