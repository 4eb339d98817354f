"""What all pages share: who may see what, forms with tokens, headers, threads and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from features.config.config import Config
from features.config.pages import PageRole
from features.errors import UserError
from features.lifecycle.taxonomy import Taxonomy
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.storage.row_reader import RowReader
from flows.pages.action_log import ActionLog
from flows.pages.command_runs import CommandRuns
from flows.pages.rendering import render
from flows.pages.sessions import COOKIE, Sessions, Visitor
from flows.services.workspace import Workspace
from flows.serving.answers import Refusal
from flows.serving.served_run import ServedRun

PREFIX = "/pages"
# No script runs on any page, no other site may frame one, and forms go to this service alone.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Site:
    """The parts that pages need.

    Attributes
    ----------
    output
        The output folder.
    served
        The run that is served.
    sessions, log, commands
        Who visits; what was done; commands that pages have started.
    """

    output: Path
    served: ServedRun
    sessions: Sessions
    log: ActionLog
    commands: CommandRuns
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "pages"))

    @property
    def reader(self) -> RowReader:
        """Reader of the store."""
        return self.served.reader

    @property
    def space(self) -> Workspace:
        """The output folder's workspace."""
        return Workspace(self.output)

    def config(self) -> Config:
        """The config of the last step; read again once it has changed."""
        return read_config(self.space)

    def taxonomy(self) -> Taxonomy:
        """The stages of this config."""
        return _taxonomy(self.space, _changed_at(self.space))


@dataclass(frozen=True)
class Visit:
    """A request for a page, by somebody who may see it.

    Attributes
    ----------
    site, visitor
        Where, and who.
    path
        Parts of the address that vary.
    query, form
        What stands behind the question mark, and what a form has sent; the last value of each key.
    is_https
        Whether the browser speaks https.
    """

    site: Site
    visitor: Visitor
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    is_https: bool = False

    def show(self, template: str, title: str, status: int = 200, **content: Any) -> Response:
        """A page in the frame that all pages have."""
        return page(self.site, self.visitor, template, title, status, **content)

    def note(self, what: str, detail: str = "", outcome: str = "done") -> None:
        """Log what the visitor does."""
        self.site.log.add(self.visitor.name, what, detail, outcome)


def read_config(space: Workspace) -> Config:
    """The config of an output folder, read again once its file has changed."""
    return _config(space, _changed_at(space))


def _changed_at(space: Workspace) -> int:
    try:
        return space.config_file.stat().st_mtime_ns
    except OSError:
        return 0  # whoever reads it says what is missing


@lru_cache(maxsize=4)
def _config(space: Workspace, changed_at: int) -> Config:
    return space.config()


@lru_cache(maxsize=4)
def _taxonomy(space: Workspace, changed_at: int) -> Taxonomy:
    return load_taxonomy(_config(space, changed_at))


Answer = Callable[[Visit], Response]


def page(
    site: Site, visitor: Visitor, template: str, title: str, status: int = 200, **content: Any
) -> Response:
    """A page for a visitor."""
    token = site.sessions.form_token(visitor) if visitor.nonce else ""
    text = render(template, title=title, visitor=visitor, token=token, prefix=PREFIX, **content)
    return HTMLResponse(text, status)


def see_other(path: str) -> Response:
    """Send the browser to another page after a form."""
    return RedirectResponse(f"{PREFIX}{path}", 303)


def add_page(
    app: FastAPI, site: Site, path: str, answer: Answer, *, role: PageRole | None, method: str
) -> None:
    """Add a page.

    Parameters
    ----------
    app
        The application of the pages.
    path, method
        Its address below the prefix, with ``{name}`` for what varies; GET or POST.
    answer
        Called in a thread of its own.
    role
        What a visitor must be allowed to; None: everyone sees it.
    """

    async def endpoint(request: Request) -> Response:
        peer = request.client.host if request.client else ""
        visitor = site.sessions.visitor(request.headers.raw, peer, request.cookies.get(COOKIE))
        began = site.sessions.begun(visitor)
        response = await _response(site, request, began, answer, role)
        if began is not visitor and COOKIE not in response.headers.get("set-cookie", ""):
            keep_session(site, response, began, is_https=_is_https(request))
        return response

    app.add_api_route(path, endpoint, methods=[method], response_model=None)


async def _response(
    site: Site, request: Request, visitor: Visitor, answer: Answer, role: PageRole | None
) -> Response:
    try:
        if role is not None and visitor.role is None:
            return _sign_in_first(request, visitor)
        if role is not None and not visitor.may(role):
            site.log.add(visitor.name, f"{request.method} {_route(request)}", "", "not allowed")
            raise Refusal(403, "role", f"the role {visitor.role}", f"the role {role}")
        form: dict[str, str] = {}
        if request.method == "POST":
            form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
            if not _own_form(site, request, visitor, form):
                site.log.add(visitor.name, f"POST {_route(request)}", "", "not from our form")
                raise Refusal(
                    403, "form", "no token of this session", "a form of these pages",
                    "go back, load the page again, and send it once more",
                )  # fmt: skip
        visit = Visit(
            site, visitor, request.path_params, request.query_params, form, _is_https(request)
        )
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(site.threads, answer, visit)
    except UserError as error:
        return _refused(site, visitor, Refusal.of(422, error))
    except Refusal as refusal:
        return _refused(site, visitor, refusal)


def _sign_in_first(request: Request, visitor: Visitor) -> Response:
    if visitor.by_proxy:
        raise Refusal(
            403, "role", "no role for you", "a role for your name or group",
            "ask whoever keeps the config: pages: {proxy: {users: ...}}",
        )  # fmt: skip
    if request.method != "GET":
        raise Refusal(401, "sign-in", "nobody signed in", "a signed-in person", "sign in again")
    wanted = request.url.path.removeprefix(PREFIX)
    wanted += f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{PREFIX}/sign-in?next={quote(wanted)}", 303)


def own_path(text: str) -> str:
    """A path below the prefix that a form names; the customers' table for any other address."""
    parts = urlsplit(text)
    plain = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if plain and not parts.netloc and "\\" not in text else "/customers"


def _own_form(site: Site, request: Request, visitor: Visitor, form: Mapping[str, str]) -> bool:
    """Whether a form is ours: by its token, and by what the browser says of its origin."""
    is_foreign = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
    return not is_foreign and site.sessions.accepts_form(visitor, form.get("token", ""))


def _refused(site: Site, visitor: Visitor, refusal: Refusal) -> Response:
    return page(site, visitor, "refused.html.j2", "Not possible", refusal.status, refusal=refusal)


def keep_session(site: Site, response: Response, visitor: Visitor, *, is_https: bool) -> None:
    """Set the session's cookie: scripts cannot read it, and other sites cannot send it."""
    response.set_cookie(
        COOKIE, site.sessions.cookie(visitor), path=PREFIX, httponly=True, samesite="strict",
        secure=is_https, max_age=3600 * site.sessions.settings().session_hours,
    )  # fmt: skip


def _is_https(request: Request) -> bool:
    """Whoever lies in this header keeps only their own cookie from being sent."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))


def _route(request: Request) -> str:
    """The page's address without what varies: it may hold the id of a customer."""
    return str(getattr(request.scope.get("route"), "path", "?"))


def with_headers(response: Response) -> Response:
    """Add the headers that protect every page; a page may be stricter, and never laxer."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
