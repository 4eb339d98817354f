"""The pages, as an application that `stagecast serve` mounts under ``/pages``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from flows.pages.account_pages import add_account_pages
from flows.pages.action_log import ActionLog
from flows.pages.campaign_pages import add_campaign_pages
from flows.pages.command_runs import CommandRuns
from flows.pages.customer_pages import add_customer_pages
from flows.pages.model_pages import add_model_pages
from flows.pages.rendering import style_sheet
from flows.pages.sessions import Sessions
from flows.pages.site import PREFIX, Site, read_config, see_other, with_headers
from flows.services.workspace import Workspace
from flows.serving.served_run import ServedRun

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">'
    '<path fill="#2F7FC1" d="M0 8V5h2v3zm3 0V3h2v5zm3 0V0h2v8z"/></svg>'
)


def mount_pages(app: FastAPI, served: ServedRun) -> None:
    """Add the pages to the service's application."""
    output = served.output
    log = ActionLog(output)
    site = Site(
        output,
        served,
        Sessions(output, lambda: read_config(Workspace(output)).pages),
        log,
        CommandRuns(output, log),
    )
    app.mount(PREFIX, _pages(site))


def _pages(site: Site) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.middleware("http")
    async def protect(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        return with_headers(await call_next(request))

    @app.get("/style.css")
    async def style() -> Response:
        return Response(
            style_sheet(), media_type="text/css", headers={"Cache-Control": "max-age=300"}
        )

    @app.get("/icon.svg")
    async def icon() -> Response:
        return Response(_ICON, media_type="image/svg+xml", headers={"Cache-Control": "max-age=300"})

    @app.get("/")
    async def begin() -> Response:
        return see_other("/customers")

    @app.exception_handler(404)
    async def unknown(_: Request, error: Exception) -> Response:
        return PlainTextResponse("There is no such page.", 404)

    @app.exception_handler(405)
    async def wrong_method(_: Request, error: Exception) -> Response:
        return PlainTextResponse("This page cannot be asked in this way.", 405)

    add_account_pages(app, site)
    add_customer_pages(app, site)
    add_campaign_pages(app, site)
    add_model_pages(app, site)
    return app
