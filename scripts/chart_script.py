"""Write flows/report/vega.js, the script of the charts: `python scripts/chart_script.py`.

Vega, Vega-Lite and Vega-Embed as npm has them, one after the other, with their licences. A page
must draw offline, and a package that brings these scripts to Python brings a browser engine, too.
Vega-Lite is of the version that Altair writes for: run this again when Altair is raised.
"""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from pathlib import Path

from altair import SCHEMA_VERSION

TARGET = Path(__file__).resolve().parents[1] / "flows" / "report" / "vega.js"
LITE = ".".join(SCHEMA_VERSION.removeprefix("v").split(".")[:2])
PACKAGES = {"vega": "6", "vega-lite": LITE, "vega-embed": "7"}


def packed(name: str, version: str, folder: Path) -> tuple[str, str, str]:
    """Exact version, licence and minified script of a package."""
    command = ["npm", "pack", "--silent", f"{name}@{version}"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    file = done.stdout.split()[-1]
    with tarfile.open(folder / file) as archive:
        licence, script = (
            archive.extractfile(f"package/{inside}").read().decode()  # type: ignore[union-attr]
            for inside in ("LICENSE", f"build/{name}.min.js")
        )
    return file.removeprefix(f"{name}-").removesuffix(".tgz"), licence.strip(), script.strip()


def script() -> str:
    """All of the file."""
    heads, scripts = [], []
    holders: dict[str, list[str]] = {}  # of copyrights, by the conditions that they share
    with tempfile.TemporaryDirectory() as folder:
        for name, wanted in PACKAGES.items():
            version, licence, code = packed(name, wanted, Path(folder))
            heads.append(f"{name} {version}")
            holder, _, conditions = licence.partition("\n\n")
            holders.setdefault(conditions, []).append(f"{name}: {holder}")
            mapped = code.rpartition("\n//# sourceMappingURL=")
            scripts.append((mapped[0] or code).replace("</script", "<\\/script"))
    head = f"{', '.join(heads)}; written by scripts/chart_script.py"
    licences = [text for conditions, who in holders.items() for text in (*who, conditions)]
    return "\n".join([f"/*! {head}\n", "\n\n".join(licences), "*/", *scripts, ""])


if __name__ == "__main__":
    TARGET.write_text(script(), encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")
