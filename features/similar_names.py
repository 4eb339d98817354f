"""The known name that a misspelt one was probably meant to be, for the hint of an error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: object, known: Iterable[str], *, otherwise: str = "") -> str:
    """Hint with the most similar known name.

    Parameters
    ----------
    name
        What was written.
    known
        Names that are allowed there.
    otherwise
        The hint where no known name is similar.

    Returns
    -------
    str
        ``did you mean NAME?``, or `otherwise`.
    """
    known_by_fold = {known_name.lower(): known_name for known_name in known}
    folded = str(name).lower()
    similar = difflib.get_close_matches(folded, list(known_by_fold), n=1)
    if folded[::-1] in known_by_fold:  # `=>`, which is otherwise as close to `>` as to `>=`
        similar = [folded[::-1]]
    return f"did you mean {known_by_fold[similar[0]]}?" if similar else otherwise
