"""Telling a person: notification URLs stand in the environment, and only their names elsewhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from features.errors import UserError


def send(variables: Sequence[str], *, title: str, text: str) -> list[str]:
    """Send a message to the URLs that environment variables hold; gives who did not get it.

    A variable may hold several URLs, apart by white space or commas, of any kind apprise knows
    (mailto, slack, msteams, json, ...).

    Parameters
    ----------
    variables
        Names of the variables.
    title, text
        The message; it never holds anything of a single customer.

    Returns
    -------
    list of str
        Names of the variables whose message did not arrive. URLs hold secrets and are not told.

    Raises
    ------
    UserError
        Where a variable is not set, or holds what apprise does not know.
    """
    import apprise

    # It would log the URL, with the secrets in it, of what it cannot reach.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    failed = []
    for name in variables:
        target = apprise.Apprise()
        if not target.add(_urls(name)) or not len(target):
            raise UserError(
                f"monitoring.alert_urls: {name}",
                found="an environment variable with a URL of no known kind",
                expected="notification URLs of apprise, e.g. mailto://... or json://host/path",
                hint=f"set {name} anew; see docs/monitoring.md",
            )
        if not target.notify(title=title, body=text):
            failed.append(name)
    return failed


def check(variables: Sequence[str]) -> None:
    """Refuse names of variables that are not set, before anything has been computed.

    Raises
    ------
    UserError
        Naming the variable.
    """
    for name in variables:
        _urls(name)


def _urls(name: str) -> str:
    urls = os.environ.get(name, "").strip()
    if not urls:
        raise UserError(
            f"monitoring.alert_urls: {name}",
            found="no such environment variable",
            expected="one that holds the URL to notify",
            hint=f"set {name}, or take the name out of `monitoring.alert_urls`",
        )
    return urls
