"""Questions in the terminal about a new playbook, each with a default."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.prompt import Prompt
from rich.text import Text

from campaigns.playbook_loading import known_channels
from features.errors import UserError
from features.similar_names import did_you_mean
from flows.services.console import progress_console
from flows.setup.playbook_draft import GOALS
from flows.setup.questions import can_ask


@dataclass(frozen=True)
class _Question:
    """A question, its default, what is allowed, and how an answer is read; None: not allowed."""

    text: str
    default: str
    option: str
    expected: str
    read: Callable[[str], Any]


def _goal(text: str) -> str | None:
    return text if text in GOALS else None


def _name(text: str) -> str | None:
    return text if re.fullmatch(r"[a-z][a-z0-9_]{0,62}", text) else None


def _channels(text: str) -> tuple[str, ...] | None:
    names = tuple(re.split(r"[,\s]+", text.strip()))
    return names if all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names) else None


def _discount(text: str) -> float | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?%?", text)
    if match is None:
        return None
    share = float(match[1]) / 100
    return share if share < 1 else None


_QUESTIONS: Mapping[str, _Question] = {
    "goal": _Question(
        f"What is the campaign for? ({', '.join(GOALS)})",
        "next-order",
        "--goal",
        f"one of: {', '.join(GOALS)}",
        _goal,
    ),
    "campaign": _Question(
        "Short name of the campaign (small letters, digits, _)",
        "my_campaign",
        "NAME",
        "small letters, digits and _, beginning with a letter",
        _name,
    ),
    "channels": _Question(
        f"Channel, or several in order of preference ({', '.join(known_channels())})",
        "email",
        "--channel",
        "names of channels, separated by commas",
        _channels,
    ),
    "offer": _Question(
        "What do people get? (in your words)",
        "A reminder",
        "--offer",
        "some words",
        lambda text: text or None,
    ),
    "discount": _Question(
        "Discount in percent (0: none)", "0", "--discount", "0 to 99 percent", _discount
    ),
}


def complete(said: Mapping[str, Any], *, asks: bool) -> dict[str, Any]:
    """Answers to the open questions, beside those that were said.

    Parameters
    ----------
    said
        Answers by name; None where nothing was said.
    asks
        False: nothing is asked, even in a terminal.

    Raises
    ------
    UserError
        Where something needed was not said and nobody can be asked, or is not allowed.
    """
    answers = dict(said)
    for key, question in _QUESTIONS.items():
        if answers[key] is None and asks and can_ask():
            answers[key] = _ask(question)
        elif answers[key] is None and key == "discount":
            answers[key] = 0.0
        elif answers[key] is None:
            raise UserError(
                question.option,
                found="nothing",
                expected=question.expected,
                hint="say it, or run the command in a terminal without --yes: it asks",
            )
    for key, known in (("goal", GOALS), ("campaign", None)):
        if _QUESTIONS[key].read(answers[key]) is None:
            raise UserError(
                _QUESTIONS[key].option,
                found=repr(answers[key]),
                expected=_QUESTIONS[key].expected,
                hint=did_you_mean(answers[key], known or ()),
            )
    return answers


def _ask(question: _Question) -> Any:
    while True:
        prompt = Text(question.text, "prompt")
        said = Prompt.ask(prompt, default=question.default, console=progress_console).strip()
        answer = question.read(said)
        if answer is not None:
            return answer
        progress_console.print(f"expected: {question.expected}", style="red", highlight=False)
