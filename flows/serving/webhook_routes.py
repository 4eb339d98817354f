"""Routes that register, list and remove webhooks; `guard` admits only keys that may."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response

from features.errors import UserError
from flows.services.subscriptions import Subscription, subscribe, subscriptions, unsubscribe
from flows.serving.answers import Refusal, error_responses, json_response, read_json
from flows.serving.served_run import ServedRun
from flows.serving.threads import Threads

_LONGEST_URL, _MOST_CAMPAIGNS = 2_000, 100
_SCHEMA = {
    "type": "object",
    "required": ["url"],
    "additionalProperties": False,
    "properties": {
        "url": {
            "type": "string",
            "maxLength": _LONGEST_URL,
            "description": "Where to send: https, a public address.",
        },
        "campaigns": {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": _MOST_CAMPAIGNS,
            "description": "Campaigns of the current run; none: all.",
        },
    },
}
_FORBIDDEN = "an API key that may not register webhooks"


def add_webhooks(app: FastAPI, served: ServedRun, threads: Threads, *, allow_private: bool) -> None:
    """Add the routes under ``/webhooks``.

    Parameters
    ----------
    app, threads
        Of the service.
    served
        The run that is served, which has the campaigns.
    allow_private
        True: inner addresses and plain http are permitted.
    """

    @app.post(
        "/webhooks",
        status_code=201,
        summary="Register an address for messages that audiences have changed",
        responses=error_responses(
            status_400="no JSON, or a key twice",
            status_403=_FORBIDDEN,
            status_408="a body that comes too slowly",
            status_413="too large a body",
            status_422="an address that is not sent to, an unknown campaign, or too many",
            status_503="too many wait",
        ),
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}
        },
    )
    async def register(request: Request) -> Response:
        url, campaigns = _wanted(read_json(await request.body()), served.campaigns)

        def store() -> Subscription:
            return subscribe(
                served.output,
                url,
                campaigns=campaigns,
                allow_private=allow_private,
                now=dt.datetime.now(dt.UTC),
            )

        row = await threads.run(threads.reading, _refusable, store)
        # The key is shown this once.
        return json_response({**_shown(row), "signing_key": row.secret}, 201)

    @app.get(
        "/webhooks",
        summary="Registered webhooks, without their paths and keys",
        responses=error_responses(status_403=_FORBIDDEN, status_503="too many wait"),
    )
    async def registered() -> Response:
        rows = await threads.run(threads.reading, subscriptions, served.output)
        return json_response({"webhooks": [_shown(row) for row in rows]})

    @app.delete(
        "/webhooks/{webhook}",
        summary="Remove a registered webhook",
        responses=error_responses(
            status_403=_FORBIDDEN, status_404="no such webhook", status_422="a wrong path",
            status_503="too many wait",
        ),
    )  # fmt: skip
    async def remove(webhook: str) -> Response:
        if not await threads.run(threads.reading, unsubscribe, served.output, webhook):
            raise Refusal(404, "webhook", "none of this id", "an id that GET /webhooks lists")
        return json_response({"removed": True})


def _wanted(content: Any, known: frozenset[str]) -> tuple[str, list[str]]:
    """Address and campaigns of a request."""
    if not isinstance(content, dict) or not isinstance(content.get("url"), str):
        raise Refusal(422, "body", "no url", 'an object {"url": "https://..."}')
    if unknown := set(content) - {"url", "campaigns"}:
        raise Refusal(422, "body", f"{len(unknown)} other keys", "url and campaigns")
    if len(content["url"]) > _LONGEST_URL:
        raise Refusal(422, "url", "too long", f"at most {_LONGEST_URL:,} signs")
    campaigns = content.get("campaigns", [])
    if not isinstance(campaigns, list) or len(campaigns) > _MOST_CAMPAIGNS:
        expected = f"a list of at most {_MOST_CAMPAIGNS} campaigns"
        raise Refusal(422, "campaigns", "no such list", expected)
    if not all(isinstance(name, str) and name in known for name in campaigns):
        raise Refusal(422, "campaigns", "another name", f"of: {', '.join(sorted(known)) or 'none'}")
    return content["url"], list(dict.fromkeys(campaigns))


def _refusable(store: Callable[[], Subscription]) -> Subscription:
    try:
        return store()
    except UserError as error:
        raise Refusal.of(422, error) from None


def _shown(row: Subscription) -> dict[str, Any]:
    """What a list may show: the path of an address often is its password."""
    scheme, _, rest = row.url.partition("://")
    return {
        "id": row.id,
        "host": f"{scheme}://{rest.partition('/')[0].partition('?')[0]}",
        "campaigns": list(row.campaigns),
        "created_at": row.created_at.isoformat(timespec="seconds"),
    }
