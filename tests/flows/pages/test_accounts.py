"""Local accounts: passwords as hashes, attempts that are limited, the commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from features.errors import UserError
from flows.pages.accounts import (
    ROLES,
    add_account,
    matching_account,
    read_accounts,
    remove_account,
    session_key,
)
from flows.serving.access import RateLimit

PASSWORD = "four words of no use"


def test_a_password_is_stored_as_a_salted_hash_that_its_owner_alone_reads(tmp_path: Path) -> None:
    first = add_account(tmp_path, "Anna", "read", PASSWORD)
    second = add_account(tmp_path, "ben@shop.example", "operate", PASSWORD)
    assert first.digest != second.digest
    files = list((tmp_path / "pages").iterdir())
    assert files
    for file in files:
        assert PASSWORD not in file.read_text(encoding="utf-8")
        assert file.stat().st_mode & 0o077 == 0
    accounts = read_accounts(tmp_path)
    assert [(a.name, a.role) for a in accounts.values()] == [
        ("anna", "read"), ("ben@shop.example", "operate"),
    ]  # fmt: skip
    assert matching_account(accounts, " ANNA ", PASSWORD) == first
    for name, password in (("anna", PASSWORD + " "), ("anna", ""), ("", ""), ("none", PASSWORD)):
        assert matching_account(accounts, name, password) is None


def test_another_password_is_another_mark_and_a_removed_account_is_gone(tmp_path: Path) -> None:
    before = add_account(tmp_path, "anna", "read", PASSWORD)
    after = add_account(tmp_path, "anna", "approve", PASSWORD)
    assert before.mark != after.mark
    assert read_accounts(tmp_path) == {"anna": after}
    remove_account(tmp_path, "anna")
    assert read_accounts(tmp_path) == {}
    with pytest.raises(UserError, match="NAME"):
        remove_account(tmp_path, "anna")


@pytest.mark.parametrize(
    ("name", "role", "password", "where"),
    [
        ("", "read", PASSWORD, "NAME"),
        ("a b", "read", PASSWORD, "NAME"),
        ("x" * 65, "read", PASSWORD, "NAME"),
        ("anna", "admin", PASSWORD, "--role"),
        ("anna", "read", "short", "password"),
        ("anna", "read", "x" * 1001, "password"),
    ],
)
def test_what_no_account_may_have_is_refused(
    tmp_path: Path, name: str, role: str, password: str, where: str
) -> None:
    with pytest.raises(UserError) as refused:
        add_account(tmp_path, name, role, password)
    assert refused.value.where == where
    assert password not in str(refused.value) or not password


def test_a_damaged_file_is_refused_in_words(tmp_path: Path) -> None:
    add_account(tmp_path, "anna", "read", PASSWORD)
    (tmp_path / "pages" / "accounts.json").write_text('[{"name": 1}]', encoding="utf-8")
    with pytest.raises(UserError, match="stagecast accounts add"):
        read_accounts(tmp_path)


def test_the_key_of_sessions_stays_the_same(tmp_path: Path) -> None:
    key = session_key(tmp_path)
    assert len(key) == 32
    assert session_key(tmp_path) == key


def test_attempts_with_one_name_are_limited() -> None:
    now = [0.0]
    attempts = RateLimit(0.5, clock=lambda: now[0], burst=2)
    assert [attempts.wait("anna") > 0 for _ in range(4)] == [False, False, True, True]
    assert attempts.wait("ben") == 0
    now[0] = 2.0
    assert attempts.wait("anna") == 0


def test_the_commands_add_list_and_remove(tmp_path: Path) -> None:
    def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flows.commands.cli", "accounts", *arguments]
        return subprocess.run(
            [*command, "--output", str(tmp_path)],
            input=typed, capture_output=True, text=True, check=False,
        )  # fmt: skip

    for role in ROLES:
        assert run("add", role, "--role", role, typed=f"{PASSWORD}\n").returncode == 0
    listed = json.loads(run("list", "--json", "-").stdout)
    assert listed == [{"name": role, "role": role} for role in sorted(ROLES)]
    assert matching_account(read_accounts(tmp_path), "read", PASSWORD) is not None
    assert run("remove", "read").returncode == 0
    refused = run("add", "anna", "--role", "read", typed="short\n")
    assert (refused.returncode, "12 to 1,000 signs" in refused.stderr) == (2, True)
    assert set(read_accounts(tmp_path)) == {"approve", "operate"}
