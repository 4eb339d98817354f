"""What the user says of unsure things in the data, by options or by answers in the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from features.contracts import LEFT_OUT, ROLES
from features.errors import UserError
from flows.setup.column_synonyms import plain_name, role_of
from flows.setup.datetime_formats import TimeForm
from flows.setup.readings import counted, is_purchase
from flows.setup.source_draft import SourceProposal
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

DateOrder = Literal["day-first", "month-first"]
IGNORED = "ignore"  # the role of words that are no events


@dataclass(frozen=True)
class Answers:
    """What the user has said.

    Attributes
    ----------
    timezone
        Of the business, and of clock times that name none.
    columns
        Event column: table column.
    dates
        How dates are read that fit either way; None: day first, which is marked CHECK.
    roles
        Word of an event type or state: its role, or `IGNORED`.
    """

    timezone: str
    columns: Mapping[str, str] = field(default_factory=dict)
    dates: DateOrder | None = None
    roles: Mapping[str, str] = field(default_factory=dict)

    def options(self) -> str:
        """The same as options of the command."""
        parts = [("--timezone", self.timezone)]
        parts += [("--column", f"{name}={column}") for name, column in self.columns.items()]
        parts += [("--dates", self.dates)] if self.dates else []
        parts += [("--role", f"{word}={role}") for word, role in self.roles.items()]
        return " ".join(f"{option} {shlex.quote(value)}" for option, value in parts)


def roles_said(settings: Sequence[str]) -> dict[str, str]:
    """Word: role, of the options WORD=ROLE.

    Raises
    ------
    UserError
        For an option of another form.
    """
    roles = {}
    for setting in settings:
        word, sign, role = setting.rpartition("=")
        if not sign or not word or role not in (*ROLES, IGNORED):
            raise UserError(
                f"--role {setting}",
                found=repr(role),
                expected=f"WORD=ROLE, where ROLE is one of: {', '.join(ROLES)}, {IGNORED}",
            )
        roles[word] = role
    return roles


def order_dates(tables: Sequence[ProfiledTable], dates: DateOrder | None) -> list[ProfiledTable]:
    """The tables, with dates that fit either way read as the user says."""
    if dates is None:
        return list(tables)
    return [
        replace(
            table,
            columns={name: _ordered(column, dates) for name, column in table.columns.items()},
        )
        for table in tables
    ]


def is_ambiguous(time: TimeForm | None) -> bool:
    """Whether dates fit day first and month first."""
    return time is not None and "month first" in time.doubt


def _ordered(column: ColumnProfile, dates: DateOrder) -> ColumnProfile:
    time = column.time
    if time is None or not is_ambiguous(time):
        return column
    form = time.keys["format"]
    if dates == "month-first":
        form = form.replace("%d", "%?").replace("%m", "%d").replace("%?", "%m")
    return replace(column, time=replace(time, keys={**time.keys, "format": form}, doubt=""))


def words_of_source(source: SourceProposal) -> dict[str, str]:
    """Words that say what the rows of a source are: their role, or `IGNORED`."""
    if isinstance(source.event_type, str):
        return {}
    words = {word: IGNORED for word in source.ignored}
    words |= {word: role for role, types in source.roles.items() for word in types}
    for word, event_type in source.event_type.get("words", {}).items():
        words[word] = IGNORED if event_type == LEFT_OUT else event_type
    return words


def apply_roles(sources: Sequence[SourceProposal], roles: Mapping[str, str]) -> None:
    """Give words of event types and states the roles that the user says.

    Raises
    ------
    UserError
        For a word that no source has.
    """
    written = {word for source in sources for word in words_of_source(source)}
    plain = {plain_name(word) for word in written}
    unknown = [word for word in roles if plain_name(word) not in plain]
    if unknown:
        raise UserError(
            f"--role {unknown[0]}={roles[unknown[0]]}",
            found=f"no word {unknown[0]!r} in a column of types or states",
            expected=f"one of: {', '.join(sorted(written)) or 'none'}",
            hint="name the column first: --column event_type=COLUMN",
        )
    for source in sources:
        spoken = {
            word: role
            for word in words_of_source(source)
            for name, role in roles.items()
            if plain_name(name) == plain_name(word)
        }
        if spoken:
            _give_roles(source, spoken)


def _give_roles(source: SourceProposal, spoken: Mapping[str, str]) -> None:
    assert isinstance(source.event_type, dict)
    words = dict(source.event_type.get("words", {}))
    for word, role in spoken.items():
        if word in words:
            words[word] = LEFT_OUT if role == IGNORED else role
            continue
        source.ignored = [each for each in source.ignored if each != word]
        source.roles = {
            name: left
            for name, types in source.roles.items()
            if (left := [each for each in types if each != word])
        }
        if role == IGNORED:
            source.ignored.append(word)
        else:
            source.roles.setdefault(role, []).append(word)
    if "purchase" in spoken.values():
        # What was only guessed to be a purchase gives way to what the user calls one.
        bought = source.roles.get("purchase", [])
        guessed = [each for each in bought if each not in spoken and not role_of(each)[0]]
        source.ignored += guessed
        if guessed:
            source.roles["purchase"] = [each for each in bought if each not in guessed]
    if words:
        source.event_type = {**source.event_type, "words": words}
    if set(words_of_source(source)) <= set(spoken):
        source.notes.pop("event_type", None)
    elif "event_type" in source.notes:
        source.notes["event_type"] = _as_said(source)


def _as_said(source: SourceProposal) -> str:
    """The note on words of which the user named some, and on columns that leave rows out."""
    words = words_of_source(source)
    left_out = [repr(word) for word, kind in words.items() if kind == IGNORED]
    only = "".join(
        f" Of {name!r} only rows with {', '.join(map(repr, kept))} count."
        for name, kept in source.only.items()
        if not {">0", "<0", "*"} & set(kept)
    )
    return (
        f"CHECK: left out: {', '.join(left_out) or 'nothing'}. All rows as purchases: "
        f"{counted(source)}; as you say: {counted(source, is_purchase(source))}.{only}"
    )
