"""Ask the advisory database about every pinned package: `python scripts/audit.py`.

Exit code 1 where a package has a known vulnerability, or the audit itself fails. Where no advisory
service can be reached, that is said, and is no failure: nothing was found because nobody was asked.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OUT_OF_REACH = (
    "connectionerror",
    "connection error",
    "max retries exceeded",
    "could not connect",
    "name resolution",
    "timed out",
    "proxyerror",
    "forbidden",
)


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = project["tool"]["uv"]["constraint-dependencies"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pins.txt"
        file.write_text("\n".join(pins) + "\n", encoding="utf-8")
        options = ["--requirement", str(file), "--no-deps", "--disable-pip", "--format", "json"]
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    code, text = verdict(done.stdout, done.stderr)
    print(text)
    return code


def verdict(printed: str, complained: str) -> tuple[int, str]:
    """Exit code and what to say, from what the audit printed and complained of."""
    try:
        packages: list[dict[str, Any]] = json.loads(printed)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (complained.strip().splitlines() or ["nothing"])[-1]
        if any(sign in complained.lower() for sign in OUT_OF_REACH):
            return 0, "AUDIT NOT DONE: no advisory service can be reached from here"
        return 1, f"the audit failed: {last}"
    asked = [package for package in packages if "vulns" in package]
    found = [(package, vuln) for package in asked for vuln in package["vulns"]]
    if found:
        lines = [
            f"{package['name']} {package['version']}: {vuln['id']}, "
            f"fixed in {', '.join(vuln['fix_versions']) or 'no version yet'}"
            for package, vuln in found
        ]
        return 1, "\n".join([f"{len(found)} known vulnerabilities", *lines])
    if not asked:
        return 0, "AUDIT NOT DONE: the service here knows no advisories of any package"
    return 0, f"{len(asked)} of {len(packages)} packages audited, no known vulnerability"


if __name__ == "__main__":
    sys.exit(main())
