"""The one exception that means: the user's configuration or data must change."""


class UserError(Exception):
    """An error the user can mend: shown as one message without a traceback, exit code 2.

    Parameters
    ----------
    where
        The config key, file or column at fault.
    found
        What was there.
    expected
        What is allowed there.
    mend
        What to do about it.
    """

    def __init__(self, where: str, *, found: object, expected: str, mend: str = "") -> None:
        self.where = where
        self.found = found
        self.expected = expected
        self.mend = mend
        super().__init__(str(self))

    def __reduce__(self) -> tuple[object, ...]:
        # Errors travel from worker processes, and keyword arguments do not by themselves.
        return _rebuilt, (self.where, str(self.found), self.expected, self.mend)

    def __str__(self) -> str:
        lines = [f"{self.where}: found {self.found}", f"  expected: {self.expected}"]
        if self.mend:
            lines.append(f"  to mend:  {self.mend}")
        return "\n".join(lines)


def _rebuilt(where: str, found: str, expected: str, mend: str) -> UserError:
    return UserError(where, found=found, expected=expected, mend=mend)
