"""Rules that hold for every source file, whoever writes it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scripts.import_picture import direct_importers, exceptions

ROOT = Path(__file__).parents[2]
PACKAGES = ("features", "models", "campaigns", "simulator", "flows", "stagecast")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
PURE = [path for path in SOURCES if path.relative_to(ROOT).parts[0] != "flows"]
SCORER = ROOT / "models" / "scorer"  # copied under another name, so it imports relatively
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

each_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
each_pure = pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= (path.parent == SCORER), f"{path}: relative import"
            yield f"{'.' * node.level}{node.module or ''}"


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_import_contracts_hold():
    # In a process of its own: the linter switches off all loggers of the one that calls it.
    command = "from importlinter.cli import lint_imports_command as lint; lint()"
    linted = subprocess.run(
        [sys.executable, "-c", command, "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_every_exception_of_an_import_contract_is_used():
    unused = [
        module
        for module, behind in exceptions()
        if not any(module in direct_importers(package) for package in behind)
    ]
    assert unused == [], "take it out of the contract"


@pytest.mark.parametrize("path", sorted(SCORER.glob("*.py")), ids=lambda path: path.stem)
def test_the_scorer_imports_itself_and_four_packages(path):
    allowed = {"numpy", "pandas", "lightgbm"} | set(sys.stdlib_module_names)
    allowed |= {"mlflow"} if path.stem == "pyfunc" else set()
    # Relative imports begin with a dot, of which nothing is left before it.
    assert {name.split(".")[0] for name in imported(path)} <= allowed | {""}


@each_source
def test_no_source_reads_or_writes_pickles(path):
    found = {name.split(".")[0] for name in imported(path)}
    assert not found & {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
    for name, call in calls(path):
        assert not name.endswith(("read_pickle", "to_pickle"))
        assert "allow_pickle" not in {keyword.arg for keyword in call.keywords}


CLOCK = re.compile(
    r"(^|\.)(datetime|date|Timestamp)\.(now|today|utcnow)$|^time\.(time|time_ns|localtime)$"
)
GLOBAL_RANDOM = re.compile(
    r"^(np|numpy)\.random\.(?!(default_rng|Generator|SeedSequence|Philox)\b)"
)


@each_pure
def test_no_clock_and_no_global_randomness_outside_flows(path):
    assert not {"random", "secrets"} & set(imported(path))
    for name, call in calls(path):
        where = f"{path.name}:{call.lineno}: {name}"
        assert not CLOCK.search(name), f"{where}: the time is a parameter"
        assert not GLOBAL_RANDOM.search(name), f"{where}: use numpy.random.default_rng(seed)"
        if name.endswith("random.default_rng"):
            assert call.args or call.keywords, f"{where}: the seed is a parameter"


@each_source
def test_sources_stay_short_and_named_after_the_domain(path):
    assert path.stem not in {"utils", "helpers", "common", "misc"}
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines: split it"


def normalised(requirement: str) -> str:
    name = re.split(r"[\s\[=<>~!;]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def test_everything_declared_is_pinned_and_no_registry_is_named():
    pinned = {normalised(line) for line in PROJECT["tool"]["uv"]["constraint-dependencies"]}
    groups = PROJECT["dependency-groups"].values()
    declared = [*PROJECT["project"]["dependencies"], *(line for group in groups for line in group)]
    assert {normalised(line) for line in declared} <= pinned
    assert "index" not in PROJECT["tool"]["uv"]
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "uv.lock" in ignored


def test_every_package_of_ours_is_shipped_and_typed():
    shipped = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(shipped) == {*PACKAGES, "configs"}
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)


def test_mlflows_deprecated_stages_are_used_nowhere():
    deprecated = re.compile(
        r"transition_model_version_stage|get_latest_versions|archive_existing_versions"
        r"|models:/[\w{}.-]+/(Production|Staging|Archived|None)\b"
    )
    places = [*(ROOT / package for package in PACKAGES), ROOT / "examples", ROOT / "docs"]
    files = [p for place in places for p in place.rglob("*") if p.suffix in {".py", ".md", ".sql"}]
    assert len(files) > 100
    used = [str(p.relative_to(ROOT)) for p in files if deprecated.search(p.read_text("utf-8"))]
    assert used == []


def test_a_public_repository_has_what_is_expected_of_it():
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["project"]["license"] == "Apache-2.0"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert (ROOT / "SECURITY.md").is_file()
    for template in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(template.read_text(encoding="utf-8"))


FOREIGN = re.compile(r"webpack|sourceMappingURL|@license|Copyright \(c\)|!function\(")


def test_no_code_of_others_lies_in_the_repository():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    scripts = [ROOT / name for name in listed if name.endswith((".js", ".mjs", ".css", ".ts"))]
    assert scripts
    for path in scripts:
        text = path.read_text(encoding="utf-8")
        assert max(map(len, text.splitlines())) < 400, f"{path.name}: minified"
        assert not FOREIGN.search(text), f"{path.name}: a package brings code of others"
    assert not [name for name in listed if "vendor" in name or "node_modules" in name]


CSV_WRITER = ROOT / "features" / "storage" / "csv_files.py"
# Rows for PostgreSQL's COPY: its protocol, and no file that a spreadsheet opens.
DATABASE_ROWS = ROOT / "features" / "storage" / "postgres_rows.py"
WRITES_CSV = re.compile(
    r"to_csv$|write_csv$|savetxt$|(^|\.)(csv\.)?(writer|DictWriter)$|CSVWriter$"
)
OURS = {"write_csv", "csv_files.write_csv", "lists.write_csv"}


@each_source
def test_only_one_module_writes_csv(path):
    """Cells that a spreadsheet would run are escaped in one place, so all are written there."""
    if path in (CSV_WRITER, DATABASE_ROWS):
        return
    written = [f"{name}:{call.lineno}" for name, call in calls(path)
               if WRITES_CSV.search(name) and name not in OURS]  # fmt: skip
    assert written == []
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\bFORMAT\s+'?(csv|CSV)\b", text)


def test_whoever_writes_csv_takes_the_writer_from_there():
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and any(a.name == "write_csv" for a in node.names):
                ours = ("features.storage.csv_files", "flows.commands.leads")
                assert node.module in ours, path
