"""The server of the Model Context Protocol: lists the questions, checks arguments, answers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from features.errors import UserError
from flows.assistant.questions import RULE_OF_HIDING, Answers, Question
from flows.services.system_errors import as_user_error
from flows.serving.answers import Refusal, json_response
from flows.serving.guard import App

_log = logging.getLogger("stagecast.mcp")
_PATH = "/mcp"
_MOST_ROWS = 200  # of one answer
_INSTRUCTIONS = (
    "Read-only answers about the customers of a business, by life-cycle stage: counts, trends, "
    f"forecasts, campaigns, results, definitions. {RULE_OF_HIDING}"
)


def create_server(output: Path) -> Server[Any]:
    """Return the server for an output folder.

    Parameters
    ----------
    output
        Folder of a published run; newer runs are followed.
    """
    answers = Answers(output.absolute())

    async def list_tools(_: Any, __: PaginatedRequestParams | None) -> ListToolsResult:
        questions = await asyncio.to_thread(answers.questions)
        return ListToolsResult(tools=[_tool(question) for question in questions])

    async def call_tool(_: Any, call: CallToolRequestParams) -> CallToolResult:
        return await asyncio.to_thread(_answered, answers, call.name, call.arguments)

    return Server(
        "stagecast",
        version=version("stagecast"),
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def run_stdio(output: Path) -> None:
    """Answer the program that started this process, over its standard input and output."""

    async def serve() -> None:
        server = create_server(output)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    asyncio.run(serve())


def http_app(output: Path, *, local_only: bool) -> App:
    """Return the ASGI application that answers at ``/mcp`` (streamable HTTP, without sessions).

    ``/health`` answers as long as the process does.

    Parameters
    ----------
    output
        Folder of a published run.
    local_only
        True: requests under another name than this machine's, and from pages of other sites, are
        refused. False: keys do that (`flows.serving.guard`).
    """
    from mcp.server.transport_security import TransportSecuritySettings

    names = ["127.0.0.1", "localhost", "[::1]"]
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=local_only,
        allowed_hosts=[*names, *(f"{name}:*" for name in names)],
        allowed_origins=[f"http://{name}:*" for name in names],
    )
    protocol = create_server(output).streamable_http_app(
        json_response=True, stateless_http=True, transport_security=security
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] == _PATH:
            await protocol(scope, receive, send)
        elif scope["path"] == "/health":
            await json_response({"status": "ok"})(scope, receive, send)
        else:
            refusal = Refusal(404, "path", "no such path", f"{_PATH} or /health")
            await refusal.response()(scope, receive, send)

    return app


def _tool(question: Question) -> Tool:
    return Tool(
        name=question.name,
        description=question.description,
        input_schema=question.schema(),
        annotations=ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


def _answered(answers: Answers, name: str, arguments: Mapping[str, Any] | None) -> CallToolResult:
    """The answer to a call, or what is wrong with it; a defect of ours shows no value."""
    try:
        content = _answer(answers, name, arguments or {})
    except Exception as error:
        problem = error if isinstance(error, UserError) else as_user_error(error)
        if problem is None:
            _log.error("a question failed: %s", type(error).__name__)
            problem = UserError("stagecast", found="a defect of ours", expected="an answer",
                                hint="look into the log")  # fmt: skip
        return _result({"error": Refusal.of(200, problem).parts()}, is_error=True)
    if isinstance(content, dict):
        return _result(content)
    answer: dict[str, Any] = {"rows": content[:_MOST_ROWS]}
    if len(content) > _MOST_ROWS:
        further = len(content) - _MOST_ROWS
        answer["left_out"] = f"{further} further rows; ask with more arguments for fewer"
    if not content:
        answer["none"] = "there are no such figures, or none of at least 30 customers"
    return _result(answer)


def _answer(answers: Answers, name: str, arguments: Mapping[str, Any]) -> Any:
    known = {question.name: question for question in answers.questions()}
    if name not in known:
        raise UserError("tool", found="none of this name",
                        expected=f"one of: {', '.join(known)}")  # fmt: skip
    question = known[name]
    if not set(arguments) <= set(question.choices):
        expected = ", ".join(question.choices) or "no arguments"
        raise UserError(f"{name}: arguments", found="another one", expected=expected)
    # Many assistants fill every parameter; null is the same as leaving it out.
    arguments = {name: value for name, value in arguments.items() if value is not None}
    for parameter, value in arguments.items():
        choices = question.choices[parameter]
        if not isinstance(value, str) or value not in choices:
            shown = ", ".join(choices) or "none: the run has no such thing"
            raise UserError(f"{name}: {parameter}", found="another value",
                            expected=f"one of: {shown}")  # fmt: skip
    return question.answer(**arguments)


def _result(content: dict[str, Any], *, is_error: bool = False) -> CallToolResult:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=content,
        is_error=is_error,
    )
