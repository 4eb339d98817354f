"""Whether the MLflow server or database that the environment names answers."""

from __future__ import annotations

import os

from features.errors import UnavailableError
from features.servers import trouble, without_login

_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
_SERVERS = ("http:", "https:")
_DATABASES = ("postgresql", "mysql", "mssql")


def check_tracking_server() -> None:
    """Do nothing where no server or database is named, or the one that is named answers.

    Asked once, and without importing MLflow: MLflow itself asks again and again, of a server for
    minutes and of a database for an hour, before it says that nobody answers.

    Raises
    ------
    UnavailableError
        Where a server or a database server is named, and none answers.
    """
    for variable in _VARIABLES:
        address = os.environ.get(variable, "")
        if address.startswith(_SERVERS):
            shown_address, problem = (
                without_login(address),
                trouble(address, refused=range(500, 600)),
            )
        elif address.startswith(_DATABASES):
            shown_address, problem = _check_database(address)
        else:
            continue
        if problem is not None:
            raise UnavailableError(
                variable,
                found=f"{shown_address}: {problem}",
                expected="a server that answers",
                hint=f"start it, or unset {variable}",
            )


def _check_database(address: str) -> tuple[str, str | None]:
    """The address to be shown, and why no database answers there."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    hidden = f"{address.partition('://')[0]}://..."
    try:
        url = make_url(address)
    except (SQLAlchemyError, ValueError):
        return hidden, "no address of a database"
    parts = f"{url.host or ''}/{url.database or ''}"
    # What looks like a host or a name may be the second half of a password with a slash.
    plain = not set(parts) & set("@:?#%")
    shown = f"{url.drivername}://{parts}" if plain else hidden
    try:
        engine = create_engine(url)
        with engine.connect():
            pass
        engine.dispose()
    except ImportError as error:
        return shown, f"no driver: {error.name} is not installed"
    except DBAPIError as error:
        # The first line is the driver's own, and says why; the rest repeats the address.
        reason = str(error.orig).strip().partition("\n")[0]
        return shown, reason if plain else type(error).__name__
    except SQLAlchemyError as error:
        return shown, type(error).__name__
    return shown, None
