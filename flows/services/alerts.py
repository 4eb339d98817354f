"""Send notifications to URLs in environment variables; configs hold only the variables' names."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from features.errors import UserError


def send_alert(variables: Sequence[str], *, title: str, text: str) -> list[str]:
    """Send a message to the URLs in environment variables; return the variables that failed.

    A variable may hold several URLs, separated by white space or commas, of any kind that apprise
    supports (mailto, slack, msteams, json, ...).

    Parameters
    ----------
    variables
        Names of the variables.
    title, text
        The message; it must not contain data of a single customer.

    Returns
    -------
    list of str
        Names of the variables to which sending failed. URLs contain secrets and are not returned.

    Raises
    ------
    UserError
        If a variable is not set, or holds a URL that apprise does not support.
    """
    import apprise

    # Apprise logs unreachable URLs, including the secrets in them.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    failed_variables = []
    for variable in variables:
        target = apprise.Apprise()
        if not target.add(_urls(variable)) or not len(target):
            raise UserError(
                f"monitoring.alert_urls: {variable}",
                found="an environment variable with a URL of an unknown kind",
                expected="notification URLs of apprise, e.g. mailto://... or json://host/path",
                hint=f"correct {variable}; see docs/monitoring.md",
            )
        if not target.notify(title=title, body=text):
            failed_variables.append(variable)
    return failed_variables


def require_alert_urls(variables: Sequence[str]) -> None:
    """Raise for variables that are not set, before any computation.

    Raises
    ------
    UserError
        Naming the variable.
    """
    for variable in variables:
        _urls(variable)


def _urls(variable: str) -> str:
    urls = os.environ.get(variable, "").strip()
    if not urls:
        raise UserError(
            f"monitoring.alert_urls: {variable}",
            found="no such environment variable",
            expected="an environment variable with the URL to notify",
            hint=f"set {variable}, or remove the name from `monitoring.alert_urls`",
        )
    return urls
