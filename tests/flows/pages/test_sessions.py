"""Who a request is of: signed sessions, tokens of forms, headers of a proxy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features.config.pages import Pages, ProxySignIn
from flows.pages.accounts import ROLES, add_account, remove_account
from flows.pages.sessions import Sessions, Visitor, proxy_user, signed_in

PASSWORD = "four words of no use"
PROXY = ProxySignIn(
    user_header="X-User", group_header="X-Groups", trusted=("127.0.0.1", "10.1.0.0/16"),
    users={"anna": "read"}, groups={"marketing": "approve", "it": "operate"},
)  # fmt: skip


def sessions(output: Path, settings: Pages | None = None) -> Sessions:
    return Sessions(output, lambda: settings or Pages())


def test_a_session_is_of_its_account_until_the_password_changes(tmp_path: Path) -> None:
    account = add_account(tmp_path, "anna", "approve", PASSWORD)
    mine = sessions(tmp_path)
    visitor = signed_in(account)
    cookie = mine.cookie(visitor)
    assert mine.visitor([], "127.0.0.1", cookie) == visitor
    assert sessions(tmp_path).visitor([], "127.0.0.1", cookie) == visitor  # another process
    add_account(tmp_path, "anna", "approve", PASSWORD + "!")
    assert mine.visitor([], "127.0.0.1", cookie).role is None
    remove_account(tmp_path, "anna")
    assert mine.visitor([], "127.0.0.1", cookie).role is None


def test_a_role_that_was_taken_away_is_gone_at_once(tmp_path: Path) -> None:
    mine, account = sessions(tmp_path), add_account(tmp_path, "anna", "operate", PASSWORD)
    cookie = mine.cookie(signed_in(account))
    file = tmp_path / "pages" / "accounts.json"
    file.write_text(file.read_text().replace('"operate"', '"read"'))
    visitor = mine.visitor([], "127.0.0.1", cookie)
    assert (visitor.may("read"), visitor.may("approve")) == (True, False)


@given(st.data())
def test_a_session_that_was_changed_is_none(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    output = tmp_path_factory.getbasetemp() / "changed"
    if not output.exists():
        output.mkdir()
        add_account(output, "anna", "operate", PASSWORD)
    mine = sessions(output)
    from flows.pages.accounts import read_accounts

    cookie = mine.cookie(signed_in(read_accounts(output)["anna"]))
    place = data.draw(st.integers(0, len(cookie) - 2))  # the last sign has spare bits
    sign = data.draw(st.sampled_from("abcXYZ019-_.").filter(lambda s: s != cookie[place]))
    forged = cookie[:place] + sign + cookie[place + 1 :]
    assert mine.visitor([], "127.0.0.1", forged).role is None
    assert mine.visitor([], "127.0.0.1", None).role is None
    other = output.parent / "other"
    other.mkdir(exist_ok=True)
    assert sessions(other).visitor([], "127.0.0.1", cookie).role is None


def test_a_session_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = add_account(tmp_path, "anna", "read", PASSWORD)
    mine = sessions(tmp_path, Pages(session_hours=1))
    cookie = mine.cookie(signed_in(account))
    import itsdangerous.timed

    now = itsdangerous.timed.time.time
    monkeypatch.setattr(itsdangerous.timed.time, "time", lambda: now() + 3599)
    assert mine.visitor([], "127.0.0.1", cookie).role == "read"
    monkeypatch.setattr(itsdangerous.timed.time, "time", lambda: now() + 3602)
    assert mine.visitor([], "127.0.0.1", cookie).role is None


def test_a_token_is_of_one_session(tmp_path: Path) -> None:
    mine = sessions(tmp_path)
    first, second = mine.begun(Visitor()), mine.begun(Visitor())
    assert mine.accepts_form(first, mine.form_token(first))
    assert not mine.accepts_form(first, mine.form_token(second))
    assert not mine.accepts_form(first, "")
    assert not mine.accepts_form(first, "ünïcode")
    assert not mine.accepts_form(Visitor(), mine.form_token(Visitor()))


def test_a_header_counts_from_trusted_addresses_alone(tmp_path: Path) -> None:
    headers = [(b"x-user", b"anna"), (b"x-groups", b"staff, marketing")]
    for peer in ("127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3"):
        assert proxy_user(headers, peer, PROXY) == ("anna", "approve")
    for peer in ("10.2.0.1", "127.0.0.2", "::1", "", "testclient", "10.1.2.3, 127.0.0.1"):
        assert proxy_user(headers, peer, PROXY) is None
    assert proxy_user(headers, "127.0.0.1", None) is None
    mine = sessions(tmp_path, Pages(proxy=PROXY))
    assert mine.visitor(headers, "10.2.0.1", None).role is None
    assert mine.visitor(headers, "10.1.0.1", None).role == "approve"


def test_a_header_that_stands_twice_counts_as_none() -> None:
    twice = [(b"x-user", b"anna"), (b"x-user", b"ben")]
    assert proxy_user(twice, "127.0.0.1", PROXY) is None
    groups = [(b"x-user", b"anna"), (b"x-groups", b"it"), (b"x-groups", b"marketing")]
    assert proxy_user(groups, "127.0.0.1", PROXY) == ("anna", "read")


def test_without_a_role_somebody_sees_nothing() -> None:
    assert proxy_user([(b"x-user", b"carl")], "127.0.0.1", PROXY) == ("carl", None)
    assert not Visitor("carl", None, by_proxy=True).may("read")


@given(st.dictionaries(st.sampled_from(["marketing", "it", "none"]), st.none()))
def test_the_highest_role_of_name_and_groups_counts(groups: dict[str, None]) -> None:
    headers = [(b"x-user", b"anna"), (b"x-groups", ",".join(groups).encode())]
    known = ["read", *(PROXY.groups[name] for name in groups if name in PROXY.groups)]
    assert proxy_user(headers, "127.0.0.1", PROXY) == ("anna", max(known, key=ROLES.index))


def test_a_proxys_session_is_none_of_an_account_with_the_same_name(tmp_path: Path) -> None:
    add_account(tmp_path, "anna", "operate", PASSWORD)
    mine = sessions(tmp_path, Pages(proxy=PROXY))
    named = [(b"x-user", b"anna")]
    cookie = mine.cookie(mine.begun(mine.visitor(named, "127.0.0.1", None)))
    assert mine.visitor(named, "127.0.0.1", cookie).role == "read"
    assert mine.visitor([], "127.0.0.1", cookie).role is None


@pytest.mark.parametrize("trusted", [[], ["0.0.0.0/0"], ["::/0"], ["proxy.example"], ["10.0.0"]])
def test_trust_in_everyone_or_nothing_is_refused(trusted: list[str]) -> None:
    with pytest.raises(ValidationError):
        ProxySignIn.model_validate({"user_header": "X-User", "trusted": trusted})
