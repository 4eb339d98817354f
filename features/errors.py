"""The one exception that means: the user's configuration or data must change."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

LONGEST_PART = 1_500  # signs; what somebody typed or a file holds may be far longer
# Signs that a terminal obeys, that nothing can write, or that turn or hide the text around them.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


class UserError(Exception):
    """An error that the user can fix: shown as one message without a traceback, exit code 2.

    Parameters
    ----------
    where
        The config key, file or column at fault.
    found
        What was there.
    expected
        What is allowed there.
    hint
        What to do about it.
    """

    def __init__(self, where: str, *, found: object, expected: str, hint: str = "") -> None:
        self.where = where
        self.found = found
        self.expected = expected
        self.hint = hint
        super().__init__(str(self))

    @property
    def problems(self) -> tuple[UserError, ...]:
        """The single problems that this error reports, in order."""
        return (self,)

    def __reduce__(self) -> tuple[object, ...]:
        # Errors travel from worker processes, and keyword arguments do not by themselves.
        return _rebuild, (type(self), self.where, str(self.found), self.expected, self.hint)

    def __str__(self) -> str:
        place, actual = printable(self.where), printable(str(self.found))
        message_lines = [f"{place}: found {actual}", f"  expected: {printable(self.expected)}"]
        if self.hint:
            message_lines.append(f"  hint:     {printable(self.hint)}")
        return "\n".join(message_lines)


def printable(text: str) -> str:
    """Text for a message: not too long, and with every sign that cannot be seen written out."""
    if len(text) > LONGEST_PART:
        text = f"{text[:LONGEST_PART]}... ({len(text):,} signs)"
    return "".join(
        ascii(sign)[1:-1] if sign != "\n" and unicodedata.category(sign) in _UNSEEN else sign
        for sign in text
    )


def _rebuild(kind: type[UserError], where: str, found: str, expected: str, hint: str) -> UserError:
    return kind(where, found=found, expected=expected, hint=hint)


class UnavailableError(UserError):
    """A server, database or network that does not answer: the same command may succeed later."""


class UserErrors(UserError):
    """Several problems reported in one answer.

    Parameters
    ----------
    problems
        Two or more errors; an error that itself reports several is taken apart.
    """

    def __init__(self, problems: Iterable[UserError]) -> None:
        self._problems = tuple(single for error in problems for single in error.problems)
        super().__init__(
            f"{len(self._problems)} problems",
            found=", ".join(problem.where for problem in self._problems),
            expected="; ".join(problem.expected for problem in self._problems),
            hint="; ".join(problem.hint for problem in self._problems if problem.hint),
        )

    @property
    def problems(self) -> tuple[UserError, ...]:
        """The single problems, in the order in which they were met."""
        return self._problems

    def __reduce__(self) -> tuple[object, ...]:
        return UserErrors, (self._problems,)

    def __str__(self) -> str:
        listed = [f"{number}. {problem}" for number, problem in enumerate(self._problems, 1)]
        return "\n".join([f"{len(listed)} problems", *listed])


class Problems:
    """Collects user errors where work can go on, so that one answer reports all of them."""

    def __init__(self) -> None:
        self.errors: list[UserError] = []

    def add(self, error: UserError) -> None:
        """Keep an error; the same problem is kept once."""
        known_messages = {str(kept_error) for kept_error in self.errors}
        self.errors += [single for single in error.problems if str(single) not in known_messages]

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keep the user error that ends the block, and go on behind it."""
        try:
            yield
        except UserError as error:
            self.add(error)

    def refuse(self) -> None:
        """Raise what was collected; do nothing where nothing was.

        Raises
        ------
        UserError
            The only problem, or a `UserErrors` of all.
        """
        if self.errors:
            raise self.joined()

    def joined(self) -> UserError:
        """What was collected as one error; there must be something."""
        return self.errors[0] if len(self.errors) == 1 else UserErrors(self.errors)
