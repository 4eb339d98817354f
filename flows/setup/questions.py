"""Questions in the terminal about what `stagecast init` had to assume, each with a default."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from zoneinfo import available_timezones

from rich.console import Console
from rich.prompt import Prompt
from rich.text import Text

from flows.setup.answers import IGNORED, Answers, DateOrder, is_ambiguous, words_of_source
from flows.setup.source_draft import SourceProposal

_NOTEBOOK = "JPY_PARENT_PID"  # what Jupyter sets for its kernels
_MOST_WORDS = 12  # words of a column that are asked about


@dataclass(frozen=True)
class Question:
    """A question with the answer that was assumed.

    Attributes
    ----------
    text
        The question.
    default
        What holds without an answer.
    problem
        Says what is wrong with an answer; empty if nothing is.
    record
        The answers, with this one.
    """

    text: str
    default: str
    problem: Callable[[str], str]
    record: Callable[[Answers, str], Answers]


def can_ask() -> bool:
    """True if a person sits at a terminal; a notebook's `!` command has one without a person."""
    in_notebook = _NOTEBOOK in os.environ
    return sys.stdin is not None and sys.stdin.isatty() and not in_notebook


def ask(sources: Sequence[SourceProposal], answers: Answers, console: Console) -> Answers:
    """Answers with those that the user gives in the terminal to the open questions."""
    for question in open_questions(sources, answers):
        while True:
            text = Text(question.text, "prompt")
            said = Prompt.ask(text, default=question.default, console=console).strip()
            problem = question.problem(said)
            if not problem:
                break
            console.print(problem, style="red", highlight=False)
        answers = question.record(answers, said)
    return answers


def open_questions(sources: Sequence[SourceProposal], answers: Answers) -> list[Question]:
    """What had to be assumed and the user has not said, in the order of its weight."""
    questions = []
    for source in sources:
        if (amount := _of_amounts(source, answers)) is not None:
            questions.append(amount)
        if (words := _of_words(source, answers)) is not None:
            questions.append(words)
    times = [
        source.table.columns[source.columns["occurred_at"]["column"]].time for source in sources
    ]
    if answers.dates is None and any(is_ambiguous(time) for time in times):
        questions.append(_of_date_order())
    if any(time is not None and time.naive for time in times):
        questions.append(_of_zone(answers))
    return questions


def _of_zone(answers: Answers) -> Question:
    return Question(
        "Clock times name no zone. In which time zone is the business?",
        answers.timezone,
        lambda said: "" if said in available_timezones() else f"no time zone {said!r}",
        lambda known, said: replace(known, timezone=said),
    )


def _of_date_order() -> Question:
    orders: dict[str, DateOrder] = {"day-first": "day-first", "month-first": "month-first"}
    return Question(
        "Every date reads day first and month first. Which is right (day-first, month-first)?",
        "day-first",
        lambda said: "" if said in orders else "one of: day-first, month-first",
        lambda known, said: replace(known, dates=orders[said]),
    )


def _of_amounts(source: SourceProposal, answers: Answers) -> Question | None:
    names = source.alternatives.get("value", ())
    if not names or "value" in answers.columns:
        return None
    return Question(
        f"{source.table.name}: which column is the revenue ({', '.join(names)})?",
        names[0],
        lambda said: "" if said in names else f"one of: {', '.join(names)}",
        lambda known, said: replace(known, columns={**known.columns, "value": said}),
    )


def _of_words(source: SourceProposal, answers: Answers) -> Question | None:
    words = words_of_source(source)
    asked = [word for word in words if word.lower() not in {w.lower() for w in answers.roles}]
    unsure = "CHECK" in source.notes.get("event_type", "")
    if not unsure or not asked or len(words) > _MOST_WORDS or isinstance(source.event_type, str):
        return None
    column = source.event_type["column"]
    assumed = [word for word, role in words.items() if role == "purchase"]

    def problem(said: str) -> str:
        unknown = [word for word in _listed(said) if word not in words]
        return f"no word {unknown[0]!r}; one of: {', '.join(words)}" if unknown else ""

    def record(known: Answers, said: str) -> Answers:
        chosen = _listed(said)
        others = {word: IGNORED if role == "purchase" else role for word, role in words.items()}
        purchases = dict.fromkeys(chosen, "purchase")
        return replace(known, roles={**known.roles, **others, **purchases})

    return Question(
        f"{source.table.name}: which words of {column!r} are purchases ({', '.join(words)})?",
        ", ".join(assumed),
        problem,
        record,
    )


def _listed(said: str) -> list[str]:
    return [word.strip() for word in said.split(",") if word.strip()]
