"""Secrets stay in the environment: a config names them as ``${NAME}``, and a plain one is refused.

`refuse_plain_secrets` looks at every value of a config before anything else does, so that no later
message can repeat a password. `environment_value` gives a named one, and `hidden` takes all of them
out of a text that somebody else wrote.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from features.errors import UserError

NAMED = re.compile(r"\$\{(\w+)\}")
_ONLY_NAMED = re.compile(r"(?:\$\{\w+\})+")
# Parts of a setting's name that say its value is a secret; signs between words do not count.
_SECRET_WORDS = (
    "password",
    "passwd",
    "passphrase",
    "passfile",
    "passcode",
    "secret",
    "accesskey",
    "accountkey",
    "apikey",
    "authkey",
    "authstring",
    "clientkey",
    "encryptionkey",
    "keyid",
    "privatekey",
    "serverkey",
    "sharedaccess",
    "signingkey",
    "token",
)  # fmt: skip
_SECRET_ENDS = ("pass", "pwd", "pw", "pswd", "credential", "credentials")
# Settings about secrets whose values are none: names of files, classes and Kubernetes objects.
_HARMLESS_ENDS = (
    "class",
    "dir",
    "enabled",
    "file",
    "impl",
    "interval",
    "lifetime",
    "path",
    "provider",
    "providers",
    "regex",
    "uri",
    "url",
)
_HARMLESS_PARTS = (".secrets.", ".secretkeyref.", "tokenizer")
_PASSFILE = "passfile"
# A setting inside a text: `?password=x`, `;pwd=x`, `-Dkey.password=x`, `password='x'`.
_SETTING = re.compile(r"([\w.\-%]+)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s&;,)\"']+)")
# A clause of DuckDB's CREATE SECRET: `SECRET 'x'`, `KEY_ID "x"`.
_CLAUSE = re.compile(r"\b(\w+)\s+(\"[^\"]+\"|'[^']+')")
_SCHEME = re.compile(r"\s*(?:[\w+.\-]+:)*[\w+.\-]+://", re.ASCII)
_LOGIN_WITHIN = re.compile(r"([\w+.\-]+)://([^\s\"'<>]*)@")
# Databases whose URLs may name a user alone; elsewhere the user is the key.
_USER_ALONE = ("postgres", "mysql", "mariadb", "mssql", "oracle", "clickhouse", "trino",
               "snowflake", "sqlserver", "risingwave", "redshift", "cockroachdb", "ssh",
               "sftp", "hdfs", "abfs", "wasb", "impala", "druid", "exa")  # fmt: skip
# Their values are names of columns or words for people, and no settings.
_COLUMNS = ("columns", "stages", "roles", "params")
_PROSE = ("description", "notice", "title", "about", "offer", "note", "message")
_SHORTEST = 4  # a shorter value stands in any text by chance
# Variables of every shell, for the working directory.
_WORKING_FOLDERS = ("PWD", "OLDPWD")

_filled_in: set[str] = set()


def is_secret(name: str) -> bool:
    """Whether a setting of this name holds a password, a key or a token."""
    lower_name = unquote_plus(name).lower()
    words = [word for word in re.split(r"[\W_]+", lower_name) if word]
    joined = "".join(words)
    if joined.endswith(_PASSFILE):
        return True
    if not words or joined.endswith(_HARMLESS_ENDS):
        return False
    if any(part in f".{lower_name}." for part in _HARMLESS_PARTS):
        return False
    return words[-1] in _SECRET_ENDS or any(word in joined for word in _SECRET_WORDS)


def plain_secret(text: str, *, prose: bool = False) -> str | None:
    """What kind of secret stands in a text in plain; None where all are ``${NAME}``.

    Parameters
    ----------
    text
        A value of a config.
    prose
        Whether people read it: an address in it ends at the first blank.
    """
    for decoded in dict.fromkeys((text, unquote(text))):
        if _plain_login(decoded, prose=prose):
            return "a password in an address"
        for setting in (_SETTING, _CLAUSE):
            for setting_name, value in setting.findall(decoded):
                if is_secret(setting_name) and not _ONLY_NAMED.fullmatch(value.strip("\"'")):
                    return f"a secret in plain text ({setting_name.strip('-')[:40]})"
    return None


def _plain_login(text: str, *, prose: bool) -> bool:
    """Whether an address names a password, or a key in the place of the user."""
    scheme = _SCHEME.match(text)
    if scheme is not None and not prose:
        # A password may hold any sign, blanks and another @ too: all before the last one counts.
        logins = [(scheme[0].strip(), text[scheme.end() :].rpartition("@")[0])]
    else:
        logins = _LOGIN_WITHIN.findall(text)
    for kind, login in logins:
        if login.startswith("/"):
            continue  # a path on this machine
        user, colon, password = login.partition(":")
        if colon and password and not _ONLY_NAMED.fullmatch(password):
            return True
        user_is_key = user and not colon and "/" not in user and not _ONLY_NAMED.fullmatch(user)
        if user_is_key and not any(name in kind for name in _USER_ALONE):
            return True
    return False


def refuse_plain_secrets(content: Any, where: str) -> None:
    """Refuse a config that holds a secret which is not named as ``${NAME}``.

    Raises
    ------
    UserError
        Naming the key; the message never repeats the value.
    """
    for path, value in _leaves(content):
        config_key = ".".join(path) or "the file"
        secret_kind = plain_secret(value, prose=bool(path) and path[-1] in _PROSE)
        if secret_kind is None and _named_secret(path) and not _ONLY_NAMED.fullmatch(value.strip()):
            secret_kind = "a secret in plain text" if value.strip() else None
        if secret_kind is not None:
            raise UserError(
                f"{where}: {_short(config_key)}",
                found=secret_kind,
                expected="no secret in a file: ${NAME} in its place, which the environment variable"
                " of that name fills in (with any signs, not encoded)",
                hint="export NAME=... before the command; for the scores store STAGECAST_STORE_URL "
                "may hold the whole address. A sign @ that ends no login is written %40",
            )


def _named_secret(path: tuple[str, ...]) -> bool:
    """Whether the key of a value says that it is a secret."""
    if not path or any(part in _COLUMNS for part in path[:-1]):
        return False
    return any(is_secret(part) for part in path[-2:] if not part.isdigit())


def _leaves(content: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text and number of a config with its path of keys; keys are looked at as texts too."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Mapping):
            for key, nested in value.items():
                if plain_secret(str(key)) is not None:
                    yield path, str(key)
                waiting.append(((*path, str(key)), nested))
        elif isinstance(value, list | tuple):
            waiting += [((*path, str(number)), nested) for number, nested in enumerate(value)]
        elif isinstance(value, str):
            yield path, value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield path, repr(value)


def _short(key: str) -> str:
    return key if len(key) <= 200 else f"{key[:200]}..."


def environment_value(name: str, where: str) -> str:
    """Value of an environment variable that a config names.

    Raises
    ------
    UserError
        Where it is not set, or holds bytes that are no text.
    """
    value = os.environ.get(name)
    if value is None:
        raise UserError(
            where,
            found=f"${{{name}}}, which is not set",
            expected="an environment variable of that name",
            hint=f"export {name}=... before the command",
        )
    if any("\ud800" <= sign <= "\udfff" for sign in value):
        raise UserError(
            where,
            found=f"${{{name}}}, which holds bytes that are no UTF-8",
            expected="an environment variable with text",
            hint=f"export {name}=... anew in a UTF-8 terminal",
        )
    _filled_in.add(value)
    return value


def filled_text(text: str, where: str) -> str:
    """A setting with every ``${NAME}`` filled in as it is; for URLs see `database_url.filled`.

    Raises
    ------
    UserError
        As `environment_value`.
    """
    return NAMED.sub(lambda match: environment_value(match[1], where), text)


def remember(secret: str | None) -> None:
    """Let `hidden` know a secret that came another way than by ``${NAME}``."""
    if secret:
        _filled_in.add(secret)


def hidden(text: str) -> str:
    """A text of somebody else without any secret that was filled in, and without logins of URLs."""
    secrets = _filled_in | {
        value
        for name, value in os.environ.items()
        if is_secret(name) and name not in _WORKING_FOLDERS
    }
    secret_forms = {
        secret_form
        for value in secrets
        if len(value) >= _SHORTEST
        for secret_form in (value, quote(value, safe=""), quote_plus(value), repr(value)[1:-1])
    }
    for secret_form in sorted(secret_forms, key=len, reverse=True):
        text = text.replace(secret_form, "***")
    return _LOGIN_WITHIN.sub(r"\1://***@", text)
