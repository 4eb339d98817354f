"""Who a request is of: a signed session of a local account, or the header of a trusted proxy."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from itsdangerous import BadData, Signer, URLSafeTimedSerializer

from features.config.pages import PageRole, Pages, ProxySignIn
from flows.pages.accounts import ROLES, Account, read_accounts, session_key

COOKIE = "stagecast_session"


@dataclass(frozen=True)
class Visitor:
    """A person who asks for a page.

    Attributes
    ----------
    name
        Name; empty before sign-in.
    role
        What they may do; None: nothing.
    nonce
        Random text of their session, to which tokens of forms are bound.
    by_proxy
        Whether a proxy has signed them in.
    mark
        Of the account's password; empty for a proxy's user.
    """

    name: str = ""
    role: PageRole | None = None
    nonce: str = ""
    by_proxy: bool = False
    mark: str = ""

    def may(self, role: PageRole) -> bool:
        """Whether the visitor's role includes another one."""
        return self.role is not None and ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True)
class Sessions:
    """Sessions of an output folder, stored in nothing but signed cookies.

    Attributes
    ----------
    output
        The output folder.
    settings
        The config's `pages`, read anew so that a change needs no restart.
    """

    output: Path
    settings: Callable[[], Pages]
    _key: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the key."""
        object.__setattr__(self, "_key", session_key(self.output))

    def visitor(
        self, headers: Sequence[tuple[bytes, bytes]], peer: str, cookie: str | None
    ) -> Visitor:
        """The person of a request.

        Parameters
        ----------
        headers
            All headers, names in small letters.
        peer
            Address that the connection comes from.
        cookie
            Value of the session's cookie; None without one.
        """
        settings = self.settings()
        session = self._session(cookie, 3600 * settings.session_hours)
        nonce = session.get("nonce", "")
        named = proxy_user(headers, peer, settings.proxy)
        if named is not None:
            name, role = named
            same = session.get("name") == name and session.get("mark") == ""
            return Visitor(name, role, nonce if same else "", by_proxy=True)
        account = read_accounts(self.output).get(session.get("name", ""))
        if account is None or account.mark != session.get("mark"):
            return Visitor(nonce=nonce if not session.get("name") else "")
        return Visitor(account.name, account.role, nonce, mark=account.mark)

    def begun(self, visitor: Visitor) -> Visitor:
        """The visitor with a session: an existing one goes on."""
        if visitor.nonce:
            return visitor
        return Visitor(
            visitor.name, visitor.role, _nonce(), by_proxy=visitor.by_proxy, mark=visitor.mark
        )

    def cookie(self, visitor: Visitor) -> str:
        """The signed value that keeps a visitor's session."""
        content = {"name": visitor.name, "nonce": visitor.nonce, "mark": visitor.mark}
        return str(self._serializer().dumps(content))

    def form_token(self, visitor: Visitor) -> str:
        """What every form must send back: no other site can know it."""
        signer = Signer(self._key, salt="stagecast form", digest_method=_sha256)
        return signer.get_signature(visitor.nonce).decode()

    def accepts_form(self, visitor: Visitor, token: str) -> bool:
        """Whether a form was written for this session."""
        given = token.encode("utf-8", "replace")
        return bool(visitor.nonce) and hmac.compare_digest(self.form_token(visitor).encode(), given)

    def _session(self, cookie: str | None, seconds: int) -> dict[str, str]:
        try:
            content: dict[str, str] = self._serializer().loads(cookie or "", max_age=seconds)
            return content
        except BadData:
            return {}

    def _serializer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self._key, salt="stagecast session", signer_kwargs={"digest_method": _sha256}
        )


def signed_in(account: Account) -> Visitor:
    """The visitor after sign-in, in a session of its own: an earlier one may be known to others."""
    return Visitor(account.name, account.role, _nonce(), mark=account.mark)


def proxy_user(
    headers: Sequence[tuple[bytes, bytes]], peer: str, proxy: ProxySignIn | None
) -> tuple[str, PageRole | None] | None:
    """Name and role that a trusted proxy gives; None where none signs in.

    A header that stands twice counts as none: who wrote which is not known.
    """
    if proxy is None or not _is_trusted(peer, proxy.trusted):
        return None
    name = _single(headers, proxy.user_header)
    if not name:
        return None
    groups = (_single(headers, proxy.group_header) or "") if proxy.group_header else ""
    roles = [proxy.users.get(name)]
    roles += [proxy.groups.get(group.strip()) for group in groups.split(",")]
    known = [role for role in roles if role is not None]
    return name, max(known, key=ROLES.index, default=None)


def _is_trusted(peer: str, trusted: Sequence[str]) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in ipaddress.ip_network(network) for network in trusted)


def _single(headers: Sequence[tuple[bytes, bytes]], name: str) -> str | None:
    values = [value for key, value in headers if key == name.lower().encode()]
    return values[0].decode("latin-1").strip() if len(values) == 1 else None


def _nonce() -> str:
    return secrets.token_urlsafe(24)


def _sha256(text: bytes = b"") -> object:
    return hashlib.sha256(text)
