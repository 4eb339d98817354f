"""Check that the MLflow server or database named by the environment answers."""

from __future__ import annotations

import os

from features.errors import UserError
from features.servers import trouble, without_password

_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
_SERVERS = ("http:", "https:")
_DATABASES = ("postgresql", "mysql", "mssql")


def check_tracking_server() -> None:
    """Check the server or database of MLflow's environment variables, if one is set.

    It is tried once, without importing MLflow: MLflow itself retries a server for minutes and a
    database for an hour before it reports a failure.

    Raises
    ------
    UserError
        If a server or database is named and does not answer.
    """
    for variable in _VARIABLES:
        address = os.environ.get(variable, "")
        if address.startswith(_SERVERS):
            shown_address, problem = (
                without_password(address),
                trouble(address, refused=range(500, 600)),
            )
        elif address.startswith(_DATABASES):
            shown_address, problem = _check_database(address)
        else:
            continue
        if problem is not None:
            raise UserError(
                "MLflow server",
                found=f"{shown_address}: {problem}",
                expected="a server that answers",
                hint=f"start it, or unset {variable}",
            )


def _check_database(address: str) -> tuple[str, str | None]:
    """Address to show, and the reason why the database does not answer; None if it does."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    hidden = f"{address.partition('://')[0]}://..."
    try:
        url = make_url(address)
    except (SQLAlchemyError, ValueError):
        return hidden, "no address of a database"
    location = f"{url.host or ''}/{url.database or ''}"
    # Host or database name may be the second half of a password that contains a slash.
    is_plain = not set(location) & set("@:?#%")
    shown_address = f"{url.drivername}://{location}" if is_plain else hidden
    try:
        engine = create_engine(url)
        with engine.connect():
            pass
        engine.dispose()
    except ImportError as error:
        return shown_address, f"no driver: {error.name} is not installed"
    except DBAPIError as error:
        # The first line is the driver's reason; the rest repeats the address.
        reason = str(error.orig).strip().partition("\n")[0]
        return shown_address, reason if is_plain else type(error).__name__
    except SQLAlchemyError as error:
        return shown_address, type(error).__name__
    return shown_address, None
