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

    def __str__(self) -> str:
        lines = [f"{self.where}: found {self.found}", f"  expected: {self.expected}"]
        if self.mend:
            lines.append(f"  to mend:  {self.mend}")
        return "\n".join(lines)
