"""Database URLs: taken apart first, and only then filled in, so that a password may hold any sign.

SQLAlchemy's `URL` keeps the parts; drivers are given parts and never a text made of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote

from features.config.secret_values import NAMED, environment_value, remember
from features.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import URL

_HOST = re.compile(r"[\w.\-:%~/,]*")
# libpq takes several servers: `host1:5432,host2:5432`.
_SERVERS = re.compile(
    r"(postgres\w*(?:\+\w+)?://(?:[^@/?]*@)?)([^@/?]*,[^@/?]*)((?:[/?].*)?)", re.DOTALL
)
_FIRST_TOKEN = 7_100_000_001  # of digits alone: a port may be filled in too


def filled(url: str, *, where: str = "sources: url") -> URL:
    """A URL of a config with every ``${NAME}`` in it filled in, part by part.

    A URL that is ``${NAME}`` alone is wholly in the environment.

    Raises
    ------
    UserError
        Where a variable is not set, or the URL cannot be read; it repeats no part of it.
    """
    whole_variable = NAMED.fullmatch(url.strip())
    if whole_variable is not None:
        return taken_apart(environment_value(whole_variable[1], where), where=where)
    variable_names = list(dict.fromkeys(NAMED.findall(url)))
    values = {name: environment_value(name, where) for name in variable_names}
    tokens = _tokens(url, len(variable_names))
    by_name = dict(zip(variable_names, tokens, strict=True))
    by_token = {token: values[name] for name, token in by_name.items()}
    url_parts = _parts(NAMED.sub(lambda match: by_name[match[1]], url), where)
    if not by_token:
        return url_parts
    tokens_in = re.compile("|".join(by_token))

    def fill(text: str | None) -> str | None:
        return text and tokens_in.sub(lambda match: by_token[match[0]], text)

    return _each_part(url_parts, fill, where)


def taken_apart(url: str, *, where: str) -> URL:
    """A URL as an environment variable holds it: parts of it are percent-encoded.

    Raises
    ------
    UserError
        Where it cannot be read, or could be read in more than one way.
    """
    url_parts = _parts(url.strip(), where)
    remember(url_parts.password)
    for option, value in url_parts.query.items():
        if "pass" in option.lower():
            remember(value if isinstance(value, str) else value[0])
    return url_parts


def _tokens(url: str, number: int) -> list[str]:
    """Numbers that stand nowhere in a URL."""
    tokens: list[str] = []
    token = _FIRST_TOKEN
    while len(tokens) < number:
        if str(token) not in url:
            tokens.append(str(token))
        token += 1
    return tokens


def _parts(text: str, where: str) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    servers = _SERVERS.fullmatch(text)
    url: URL | None = None
    # Refused below: an error from here would carry the text with it.
    with suppress(ArgumentError, ValueError):
        url = make_url(text if servers is None else servers[1] + servers[3])
    if url is None or not _clear(url, text):
        raise UserError(
            where,
            found="a URL that cannot be read, or in more than one way",
            expected="KIND://USER:PASSWORD@HOST:PORT/DATABASE, in which / # ? @ [ ] % : of user "
            "and password are percent-encoded (@ is %40, / is %2F)",
            hint="in a config write ${NAME} for the password: what the environment holds there is "
            "taken as it is, and needs no encoding",
        )
    if url.drivername.startswith("postgres"):
        # As libpq does: a socket's folder is a host, written %2Frun%2Fpostgresql.
        url = url.set(
            host=None if url.host is None else unquote(url.host),
            database=None if url.database is None else unquote(url.database),
        )
    if servers is not None:
        places = [server.partition(":") for server in servers[2].split(",")]
        url = url.update_query_dict({"host": ",".join(host for host, _, _ in places)})
        if any(port for _, _, port in places):
            url = url.update_query_dict({"port": ",".join(port for _, _, port in places)})
    return url


def _clear(url: URL, text: str) -> bool:
    """Whether nothing of a password can have got into another part."""
    login, sign, _ = text.partition("@")
    if text.count("@") > 1 or (sign and url.username is None):
        return False
    # `host/db?user=a@b` reads as a login too.
    if sign and "=" in login.partition("?")[2]:
        return False
    return _HOST.fullmatch(url.host or "") is not None


def _each_part(url: URL, fill: Callable[[str | None], str | None], where: str) -> URL:
    port = fill(None if url.port is None else str(url.port))
    if port is not None and not (port.isascii() and port.isdecimal()):
        raise UserError(where, found="a port that is no number", expected="a number as the port")
    query = {
        name: (fill(value) or "")
        if isinstance(value, str)
        else tuple(fill(one) or "" for one in value)
        for name, value in url.query.items()
    }
    return url.set(
        username=fill(url.username),
        password=fill(None if url.password is None else str(url.password)),
        host=fill(url.host),
        port=None if port is None else int(port),
        database=fill(url.database),
        query=query,
    )


def shown(url: URL) -> str:
    """Where a URL leads, for messages: no login, no query."""
    host = url.host or ""
    host_option = url.query.get("host")
    if not host and host_option:
        host = host_option if isinstance(host_option, str) else ",".join(host_option)
    port = f":{url.port}" if url.port is not None else ""
    return f"{url.drivername}://{host}{port}/{url.database or ''}"
