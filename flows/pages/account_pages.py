"""Pages about people: sign-in, sign-out, and the log of actions."""

from __future__ import annotations

from fastapi import FastAPI, Response

from flows.pages.accounts import matching_account, read_accounts
from flows.pages.sessions import COOKIE, signed_in
from flows.pages.site import (
    PREFIX,
    Site,
    Visit,
    add_page,
    keep_session,
    own_path,
    see_other,
)
from flows.serving.access import RateLimit

_PER_SECOND = 0.2  # attempts to sign in with one name
_AT_ONCE = 5  # of them, for those who mistype


def add_account_pages(app: FastAPI, site: Site) -> None:
    """Add the pages."""
    attempts = RateLimit(_PER_SECOND, burst=_AT_ONCE)

    def form(visit: Visit) -> Response:
        if visit.visitor.role is not None:
            return see_other("/customers")
        return _form(visit, "", 200)

    def sign_in(visit: Visit) -> Response:
        name, password = visit.form.get("name", "").strip().lower(), visit.form.get("password", "")
        if wait := attempts.wait(name):
            visit.site.log.add(name[:64], "sign in", "", "too many attempts")
            return _form(visit, f"Too many attempts. Try again in {wait:.0f} seconds.", 429)
        account = matching_account(read_accounts(site.output), name, password)
        if account is None:
            visit.site.log.add(name[:64], "sign in", "", "wrong name or password")
            return _form(visit, "This name and password do not belong together.", 401)
        visit.site.log.add(account.name, "sign in")
        response = see_other(own_path(visit.form.get("next", "")))
        keep_session(site, response, signed_in(account), is_https=visit.is_https)
        return response

    def sign_out(visit: Visit) -> Response:
        visit.note("sign out")
        response = see_other("/sign-in")
        response.delete_cookie(COOKIE, path=PREFIX)
        return response

    def actions(visit: Visit) -> Response:
        return visit.show("actions.html.j2", "Log of actions", actions=site.log.latest())

    add_page(app, site, "/sign-in", form, role=None, method="GET")
    add_page(app, site, "/sign-in", sign_in, role=None, method="POST")
    add_page(app, site, "/sign-out", sign_out, role="read", method="POST")
    add_page(app, site, "/actions", actions, role="operate", method="GET")


def _form(visit: Visit, trouble: str, status: int) -> Response:
    return visit.show(
        "sign_in.html.j2", "Sign in", status, trouble=trouble,
        next=visit.form.get("next") or visit.query.get("next", ""),
        has_accounts=bool(read_accounts(visit.site.output)),
    )  # fmt: skip
