"""Answers of the service: strict JSON, and errors in the form that the command line has, too."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from fastapi import Response

from features.errors import UserError

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_FOLDERS = re.compile(r"(?<!\S)(?:[A-Za-z]:)?[/\\](?:[^\s/\\]+[/\\])+")


@dataclass(eq=False)
class Refusal(Exception):
    """A request that is not answered: status, and what is wrong, without its values.

    Attributes
    ----------
    status
        HTTP status.
    where, found, expected, hint
        As in `features.errors.UserError`.
    retry_after
        Seconds after which to ask again; None: never as it is.
    """

    status: int
    where: str
    found: str
    expected: str
    hint: str = ""
    retry_after: float | None = None

    @classmethod
    def of(cls, status: int, error: UserError) -> Refusal:
        """The refusal of a user error.

        What it quotes may come from a row, and is left out; of a path only the last part stays.
        """
        where, found, expected, hint = (
            _FOLDERS.sub("", _QUOTED.sub("'...'", part))
            for part in (error.where, str(error.found), error.expected, error.hint)
        )
        return cls(status, where, found, expected, hint)

    def parts(self) -> dict[str, str]:
        """The parts of the message by name."""
        return {
            "where": self.where,
            "found": self.found,
            "expected": self.expected,
            "hint": self.hint,
        }

    def response(self) -> Response:
        """The answer."""
        answer = json_response({"error": self.parts()}, self.status)
        if self.retry_after is not None:
            answer.headers["Retry-After"] = str(math.ceil(self.retry_after))
        if self.status == 401:
            answer.headers["WWW-Authenticate"] = "Bearer"
        return answer


ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["where", "found", "expected", "hint"],
            "properties": {
                "where": {"type": "string", "description": "What is at fault."},
                "found": {"type": "string"},
                "expected": {"type": "string"},
                "hint": {"type": "string", "description": "What to do; empty if it is plain."},
            },
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}


def error_responses(**meanings: str) -> dict[int | str, dict[str, Any]]:
    """Return the answers of a route that are errors, for its OpenAPI schema.

    Parameters
    ----------
    meanings
        What a status means, as ``status_404="no such customer"``.
    """
    common = {
        "status_401": "no accepted API key",
        "status_421": "another name than this machine's, without keys",
        "status_429": "too many requests; `Retry-After` says when to ask again",
        "status_500": "a defect of the service",
    }
    content = {"application/json": {"schema": ERROR_SCHEMA}}
    return {
        int(name.removeprefix("status_")): {"description": meaning, "content": content}
        for name, meaning in (common | meanings).items()
    }


def defect() -> Refusal:
    """The answer where something of ours is broken."""
    return Refusal(500, "stagecast", "a defect of ours", "an answer", "look into the log")


def json_response(content: Any, status: int = 200) -> Response:
    """Content as JSON, in which numbers that are not finite are null."""
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False)
    body = text.encode("utf-8", "replace")
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_json(body: bytes) -> Any:
    """Parse the body of a request.

    Raises
    ------
    Refusal
        If it is no JSON, holds numbers that JSON does not have, or an object with a key twice: two
        readers could take another one of its values.
    """
    try:
        return json.loads(body, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise Refusal(400, "body", "no JSON", "one JSON object, in UTF-8") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise Refusal(400, "body", "an object with a key twice", "each key once")
    return content


def _refuse_constant(_: str) -> None:
    raise ValueError
