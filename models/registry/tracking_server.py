"""Whether the MLflow server or database that the environment names answers."""

from __future__ import annotations

import os

from features.errors import UserError
from features.servers import trouble, without_login

VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
SERVERS = ("http:", "https:")
DATABASES = ("postgresql", "mysql", "mssql")


def check_tracking_server() -> None:
    """Do nothing where no server or database is named, or the one that is named answers.

    Asked once, and without importing MLflow: MLflow itself asks again and again, of a server for
    minutes and of a database for an hour, before it says that nobody answers.

    Raises
    ------
    UserError
        Where a server or a database server is named, and none answers.
    """
    for variable in VARIABLES:
        address = os.environ.get(variable, "")
        if address.startswith(SERVERS):
            shown, found = without_login(address), trouble(address, refused=range(500, 600))
        elif address.startswith(DATABASES):
            shown, found = _asked_database(address)
        else:
            continue
        if found is not None:
            raise UserError(
                variable,
                found=f"{shown}: {found}",
                expected="a server that answers",
                hint=f"start it, or unset {variable}",
            )


def _asked_database(address: str) -> tuple[str, str | None]:
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
