"""The service: stored scores, scores of events that just happened, and audiences, as JSON."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse

from features.errors import UserError
from features.sources.api_events import plain_events
from features.sources.keys import key_value
from features.storage.row_reader import open_reader
from flows.serving.access import ApiKeys
from flows.serving.answers import (
    Refusal,
    defect,
    error_responses,
    json_response,
    read_json,
)
from flows.serving.guard import Guard, Limits
from flows.serving.measures import Measures
from flows.serving.served_run import ServedRun
from flows.serving.threads import Threads
from flows.serving.webhook_routes import add_webhooks
from models.serving.event_scoring import plain_value

MOST_EVENTS = 20_000  # in one request
MOST_MEMBERS = 1_000  # of an audience in one answer
Answer = TypeVar("Answer")
_EVENTS_SCHEMA = {
    "type": "object",
    "required": ["events"],
    "properties": {
        "events": {
            "type": "array",
            "description": "All events of each customer; declared attributes as further columns.",
            "items": {
                "type": "object",
                "required": ["customer_id", "event_type", "occurred_at"],
                "properties": {
                    "customer_id": {"type": "string"},
                    "event_type": {"type": "string"},
                    "occurred_at": {
                        "type": "string",
                        "description": "ISO time with its offset, or a local date.",
                    },
                    "known_at": {"type": "string"},
                    "value": {"type": "number"},
                    "order_id": {"type": "string"},
                },
            },
        },
        "at": {"type": "string", "format": "date", "description": "Date of the scores."},
        "since_run": {
            "type": "boolean",
            "description": "The events are those since the run; the stored history is added.",
        },
    },
}


def create_app(
    output: Path,
    *,
    keys: ApiKeys,
    limits: Limits | None = None,
    reload_seconds: float = 5.0,
    extensions: Sequence[Callable[[FastAPI, ServedRun], None]] = (),
    private_webhooks: bool = False,
) -> Guard:
    """The ASGI application for an output folder.

    Parameters
    ----------
    output
        Folder of a published run.
    keys
        Accepted API keys.
    limits
        What a request may cost.
    reload_seconds
        Seconds between two looks for a newer run.
    extensions
        Called with the application and its run, to add routes.
    private_webhooks
        True: registered webhooks may have inner addresses and plain http.

    Raises
    ------
    UserError
        If the URL of the store cannot be read.
    """
    output = output.absolute()
    measures, threads = Measures(), Threads()
    served = ServedRun(output, open_reader(output), lambda: measures.ready.set(1))

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.get_running_loop().run_in_executor(threads.scoring, served.refresh)
        served.watch(reload_seconds)
        yield
        served.stop()

    app = FastAPI(
        title="stagecast", version="1", lifespan=life, docs_url=None, redoc_url=None,
        description="Scores and audiences of the current run.",
    )  # fmt: skip
    _add_scores(app, served, threads)
    _add_operation(app, served, measures)
    add_webhooks(app, served, threads, allow_private=private_webhooks)
    for extend in extensions:
        extend(app, served)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(Exception, _failed)
    app.add_exception_handler(404, _unknown_path)
    app.add_exception_handler(405, _unknown_path)
    app.add_exception_handler(RequestValidationError, _wrong_parameter)
    return Guard(app, keys, limits or Limits(), measures)


def _add_scores(app: FastAPI, served: ServedRun, threads: Threads) -> None:
    """The routes that name customers."""

    @app.post(
        "/scores/events",
        summary="Scored rows of customers from all their raw events, exactly as the batch",
        responses=error_responses(
            status_400="no JSON, or a key twice",
            status_408="a body that comes too slowly",
            status_413="too many events, or too large a body",
            status_422="events that cannot be used",
            status_503="no run is loaded, or too many wait",
        ),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _EVENTS_SCHEMA}},
            }
        },
    )
    async def score_events(request: Request) -> Response:
        content = read_json(await request.body())
        return json_response(await threads.run(threads.scoring, _scored, served, content))

    @app.get(
        "/scores/{customer:path}",
        summary="Stored scored row of a customer",
        responses=error_responses(
            status_404="no such customer",
            status_422="a wrong path",
            status_503="the store is away, or too many wait",
        ),
    )
    async def stored_row(customer: str) -> Response:
        key = _customer(customer)
        row = None
        if key is not None:
            row = await threads.run(threads.reading, _stored, served.reader.scored_row, key)
        if row is None:
            raise Refusal(404, "customer", "no scored row", "a customer of the current run")
        return json_response(_plain(row))

    @app.get(
        "/audiences/{campaign}",
        summary="Members of a campaign's audience, in both arms",
        responses=error_responses(
            status_404="no such campaign",
            status_422="a wrong parameter",
            status_503="the store is away, or too many wait",
        ),
    )
    async def audience(
        campaign: str,
        offset: Annotated[int, Query(ge=0, le=10**9, description="Members to skip.")] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_MEMBERS, description="Most members.")] = 100,
    ) -> Response:
        def read() -> tuple[str, list[Mapping[str, Any]]]:
            return served.reader.audience(campaign, offset=offset, limit=limit)

        run_id, rows = "", []
        if _customer(campaign) is not None:
            run_id, rows = await threads.run(threads.reading, _stored, read)
        if not rows and not offset and campaign not in served.campaigns:
            raise Refusal(404, "campaign", "none of this name", "a campaign of the current run")
        following = offset + len(rows) if len(rows) == limit else None
        members = [_plain(row) for row in rows]
        return json_response({"run_id": run_id, "members": members, "next_offset": following})


def _add_operation(app: FastAPI, served: ServedRun, measures: Measures) -> None:
    """The routes for operators."""

    @app.get("/health", summary="200 as long as the process answers")
    async def health() -> Response:
        return json_response({"status": "ok"})

    @app.get(
        "/ready",
        summary="200 once a run is served, else 503; and which one",
        responses={503: {"description": "no run is served yet; `trouble` says why"}},
    )
    async def ready() -> Response:
        status = served.status()
        return json_response(status, 200 if status["ready"] else 503)

    @app.get(
        "/metrics",
        summary="Metrics in the form of Prometheus",
        responses=error_responses()
        | {200: {"description": "Metrics", "content": {"text/plain": {}}}},
        response_class=PlainTextResponse,
    )
    async def metrics() -> Response:
        return Response(measures.text(), media_type="text/plain; version=0.0.4")

    @app.get("/", summary="This list", include_in_schema=False)
    async def contents() -> Response:
        paths = app.openapi()["paths"]
        listed = {
            f"{method.upper()} {path}": operation["summary"]
            for path, methods in paths.items()
            for method, operation in methods.items()
        }
        return json_response({"routes": listed, "schema": "/openapi.json"})


def _scored(served: ServedRun, content: Any) -> dict[str, Any]:
    """Scored rows of the events of a request."""
    if not isinstance(content, dict) or not isinstance(content.get("events"), list):
        raise Refusal(422, "body", "no list of events", 'an object {"events": [...]}')
    if unknown := set(content) - {"events", "at", "since_run"}:
        raise Refusal(422, "body", f"{len(unknown)} other keys", "events, at and since_run")
    since_run = content.get("since_run", False)
    if not isinstance(since_run, bool):
        raise Refusal(422, "since_run", "no boolean", "true or false")
    if len(content["events"]) > MOST_EVENTS:
        found, expected = f"{len(content['events']):,} events", f"at most {MOST_EVENTS:,}"
        raise Refusal(413, "events", found, expected, "ask for fewer customers at once")
    day = _date(content.get("at"))
    try:
        scorer = served.scorer
    except UserError as error:
        raise Refusal.of(503, error) from None
    try:
        return scorer.score(plain_events(content["events"]), at=day, since_run=since_run)
    except UserError as error:
        raise Refusal.of(422, error) from None


def _date(text: Any) -> dt.date | None:
    """The date that a request asks for; None without one."""
    try:
        return None if text is None else dt.date.fromisoformat(text)
    except (TypeError, ValueError):
        raise Refusal(422, "at", "no date", "a date like 2024-05-01") from None


def _stored(read: Callable[..., Answer], *arguments: Any) -> Answer:
    """What a reader returns; 503 where the store cannot be read."""
    try:
        return read(*arguments)
    except UserError as error:
        raise Refusal.of(503, error) from None


def _customer(text: str) -> str | None:
    """An id as the stores have it; None for what is none in any store."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return None if "\x00" in text else key_value(text)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain_value(value) for name, value in row.items()}


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


async def _failed(_: Request, error: Exception) -> Response:
    """Answer a defect of ours; `Guard` notes where it is."""
    return defect().response()


async def _unknown_path(_: Request, error: Exception) -> Response:
    status = int(getattr(error, "status_code", 404))
    found = "no such path" if status == 404 else "a method that it does not have"
    return Refusal(status, "path", found, "one of those that / lists").response()


async def _wrong_parameter(_: Request, error: Exception) -> Response:
    """A refusal that names the parameters; FastAPI's own repeats what was sent."""
    assert isinstance(error, RequestValidationError)
    names = sorted({str(problem["loc"][-1]) for problem in error.errors()})
    return Refusal(422, ", ".join(names), "a wrong value", "what /openapi.json says").response()
