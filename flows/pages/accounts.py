"""Local accounts of the pages: names, roles, and passwords as salted hashes."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

from features.config.pages import PageRole
from features.errors import UserError
from features.storage.output_lock import exclusive

PAGES_FOLDER = "pages"
ROLES: tuple[PageRole, ...] = get_args(PageRole)  # each may do all that those before it may
SHORTEST_PASSWORD = 12
_LONGEST_PASSWORD = 1_000
_FILE = "accounts.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
# 32 MB and three rounds, about 0.2 s: the second of the settings for scrypt that OWASP's password
# storage cheat sheet counts as equal.
_N, _R, _P, _MEMORY = 2**15, 8, 3, 64 * 2**20


@dataclass(frozen=True)
class Account:
    """An account.

    Attributes
    ----------
    name
        Small letters, digits and ``._@+-``.
    role
        read, approve or operate.
    salt, digest
        Base64; the password itself is stored nowhere.
    """

    name: str
    role: PageRole
    salt: str
    digest: str

    def accepts(self, password: str) -> bool:
        """Whether a password is that of the account."""
        return hmac.compare_digest(_digest(password, self.salt), self.digest)

    @property
    def mark(self) -> str:
        """What changes with the password: sessions of an earlier one end."""
        return hashlib.sha256(self.digest.encode()).hexdigest()[:16]


_UNKNOWN = Account("", "read", base64.b64encode(bytes(16)).decode(), "")


def accounts_folder(output: Path) -> Path:
    """Folder for accounts, the key of sessions and the log of actions; only its owner may read."""
    folder = output / PAGES_FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def read_accounts(output: Path) -> dict[str, Account]:
    """All accounts of an output folder by name, in the order of names.

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    file = output / PAGES_FOLDER / _FILE
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return {row["name"]: Account(**row) for row in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            str(file),
            found=type(error).__name__,
            expected="accounts as `stagecast accounts add` writes them",
            hint="remove the file, and add the accounts again",
        ) from error


def matching_account(accounts: Mapping[str, Account], name: str, password: str) -> Account | None:
    """The account with this name and password; None if there is none.

    An unknown name takes as long as a known one, so that time does not tell which names exist.
    """
    account = accounts.get(name.strip().lower(), _UNKNOWN)
    return account if account.accepts(password[:_LONGEST_PASSWORD]) else None


def add_account(output: Path, name: str, role: str, password: str) -> Account:
    """Add an account, or replace the role and the password of one with this name.

    Raises
    ------
    UserError
        For a name, role or password that no account may have.
    """
    account = Account(_name(name), _role(role), _new_salt(), "")
    if not SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD:
        raise UserError(
            "password",
            found=f"{len(password)} signs",
            expected=f"{SHORTEST_PASSWORD} to {_LONGEST_PASSWORD:,} signs",
            hint="four words that do not belong together are easy to remember",
        )
    account = replace(account, digest=_digest(password, account.salt))
    with exclusive(output, "accounts", wait_seconds=5):
        _write(output, read_accounts(output) | {account.name: account})
    return account


def remove_account(output: Path, name: str) -> None:
    """Remove an account; its sessions end with the next request.

    Raises
    ------
    UserError
        If there is none of this name.
    """
    with exclusive(output, "accounts", wait_seconds=5):
        accounts = read_accounts(output)
        if accounts.pop(name.lower(), None) is None:
            known = ", ".join(accounts) or "no account yet"
            raise UserError("NAME", found=name, expected=f"an account: {known}")
        _write(output, accounts)


def session_key(output: Path) -> bytes:
    """The secret that signs sessions; the first call creates it."""
    file = accounts_folder(output) / "session.key"
    if not file.exists():
        partial = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as key:
            key.write(secrets.token_bytes(32))
        # Of two processes that begin at once one wins; none sees a key that is not whole.
        with contextlib.suppress(FileExistsError):
            os.link(partial, file)
        partial.unlink()
    return file.read_bytes()


def _write(output: Path, accounts: Mapping[str, Account]) -> None:
    file = accounts_folder(output) / _FILE
    partial = file.with_name(f"{_FILE}.{secrets.token_hex(4)}.tmp")
    rows = [asdict(accounts[name]) for name in sorted(accounts)]
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(rows, stream, indent=1)
    os.replace(partial, file)


def _digest(password: str, salt: str) -> str:
    digest = hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=base64.b64decode(salt), n=_N, r=_R, p=_P, maxmem=_MEMORY,
    )  # fmt: skip
    return base64.b64encode(digest).decode()


def _new_salt() -> str:
    return base64.b64encode(secrets.token_bytes(16)).decode()


def _name(text: str) -> str:
    name = text.lower()
    if not _NAME.fullmatch(name):
        raise UserError(
            "NAME",
            found=repr(text),
            expected="up to 64 letters, digits and . _ @ + -, such as anna or anna@shop.example",
        )
    return name


def _role(text: str) -> PageRole:
    if text not in ROLES:
        raise UserError("--role", found=repr(text), expected=", ".join(ROLES))
    return text
