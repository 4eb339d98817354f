"""Check, with one short request, whether a server that a setting names answers."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

NO_ADDRESS = "(no address of a server)"
_SECONDS = 8  # one that is up answers within, also a busy one


def without_login(address: str) -> str:
    """An address without user, password, query and fragment, for messages and requests.

    An ambiguous HTTP address is not shown at all: its apparent path may be part of a password.
    Other addresses with a login are reduced to their scheme.
    """
    try:
        url_parts = urlsplit(address)
    except ValueError:
        return NO_ADDRESS
    host = url_parts.netloc.rpartition("@")[2]
    if url_parts.scheme not in ("", "http", "https"):
        return f"{url_parts.scheme}://..." if "@" in address else address.partition("?")[0]
    if not url_parts.scheme or "@" in url_parts.path + url_parts.query + url_parts.fragment:
        return NO_ADDRESS
    return urlunsplit((url_parts.scheme, host, url_parts.path, "", ""))


def trouble(address: str, *, refused: range = range(0)) -> str | None:
    """Why no server answers at an address; None where one does.

    Parameters
    ----------
    address
        A URL of HTTP; user and password in it are not sent.
    refused
        Answers (HTTP status) that are as bad as none.

    Returns
    -------
    str or None
        A few words for a message, without any part of the address. Whoever asks for a password or
        has a certificate that is not known here is there: its own client knows how to go on.
    """
    # Most commands ask no server, and these modules take part of the second in which help comes.
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(without_login(address), timeout=_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"answer {error.code}" if error.code in refused else None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            return None
        return _words(error.reason)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return _words(error)


def _words(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_SECONDS} seconds"
    from http.client import InvalidURL

    if isinstance(error, ValueError | InvalidURL | str):
        return "no address of a server"
    reason = getattr(error, "strerror", None)
    return str(reason) if reason else type(error).__name__
