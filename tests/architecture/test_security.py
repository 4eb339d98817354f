"""What docs/security.md promises: no SQL from text, hostile configs refused, an honest audit."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from features.config.yaml_loading import parse_yaml
from features.errors import UserError
from scripts.audit import verdict

ROOT = Path(__file__).parents[2]
PACKAGES = ("features", "models", "campaigns", "simulator", "flows", "stagecast")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
RUNS_SQL = {"execute", "executemany", "raw_sql", "sql", "query", "SQL", "from_query"}
# Names of engine settings, which take no parameters; they are written out in the same module.
ALLOWED = {("duckdb_connection.py", "raw_sql")}


def made_of_parts(node: ast.expr) -> bool:
    """Whether an expression builds a text out of values."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        parts = list(ast.walk(node))
        texts = any(isinstance(p, ast.Constant) and isinstance(p.value, str) for p in parts)
        return texts and any(isinstance(p, ast.Name | ast.Attribute) for p in parts)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        plain = isinstance(node.func.value, ast.Constant)
        return plain and node.func.attr in {"format", "join", "replace"}
    return False


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sql_is_put_together_from_values(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.func.attr
        if name not in RUNS_SQL or (path.name, name) in ALLOWED:
            continue
        for argument in node.args:
            where = f"{path.name}:{node.lineno}: {name}"
            assert not made_of_parts(argument), f"{where}: use Ibis, or parameters"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('con.execute(f"SELECT {x}")', True),
        ('con.execute("SELECT " + x)', True),
        ('con.execute("SELECT %s" % x)', True),
        ('con.execute("SELECT {}".format(x))', True),
        ('con.execute("SELECT %s", [x])', False),
        ('con.execute(sql.SQL("SELECT {}").format(name))', False),
    ],
)
def test_the_check_knows_sql_from_text(text: str, found: bool) -> None:
    call = ast.parse(text).body[0].value  # type: ignore[attr-defined]
    assert any(made_of_parts(argument) for argument in call.args) == found


def test_an_audit_that_found_something_fails() -> None:
    vuln = {"id": "X-1", "fix_versions": ["2"]}
    package = {"name": "a", "version": "1", "vulns": [vuln]}
    code, text = verdict(json.dumps({"dependencies": [package]}), "")
    assert code == 1
    assert "a 1: X-1, fixed in 2" in text


def test_an_audit_that_nobody_answered_says_so() -> None:
    code, text = verdict("", "requests.exceptions.ConnectionError: Max retries exceeded")
    assert (code, text.startswith("AUDIT NOT DONE")) == (0, True)
    skipped = {"dependencies": [{"name": "a", "skip_reason": "not found"}]}
    assert verdict(json.dumps(skipped), "")[1].startswith("AUDIT NOT DONE")


def test_an_audit_that_broke_or_was_clean() -> None:
    assert verdict("", "Traceback: something else")[0] == 1
    clean = {"dependencies": [{"name": "a", "version": "1", "vulns": []}]}
    assert verdict(json.dumps(clean), "") == (0, "1 of 1 packages audited, no known vulnerability")


BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BOMB.encode(), "aliases"),
        (b"a: " + b"[" * 20_000 + b"]" * 20_000, "deep"),
        (b"a: '" + b"x" * 2_000_000 + b"'", "2,000,00"),
        (b"name: a\x00b\n", "UTF-8"),
        ("name: Größe\n".encode("latin-1"), "UTF-8"),
        (b"name: !!python/object/apply:os.system ['true']\n", "python/object"),
        (b"name: a\nname: b\n", "twice"),
    ],
    ids=["aliases", "depth", "size", "NUL", "encoding", "object", "twice"],
)
def test_a_hostile_config_is_refused_within_limits(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as told:
        parse_yaml(path)
    assert said in str(told.value)
    assert len(str(told.value)) < 2_000
