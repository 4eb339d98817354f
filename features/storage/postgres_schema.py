"""Layout of the store in PostgreSQL, brought up step by step, each step once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from features.errors import UserError
from features.storage.postgres_rows import columns_of

if TYPE_CHECKING:
    from psycopg import Connection

COLUMNS_OF_RUNS = {
    "sequence": "bigint PRIMARY KEY",
    "run_id": "text NOT NULL UNIQUE",
    "status": "text NOT NULL",
    "is_current": "boolean NOT NULL",
    "dataset": "text NOT NULL",
    "kind": "text NOT NULL",
    "snapshot_at": "date NOT NULL",
    "scorer_version": "text NOT NULL",
    "mlflow_run_id": "text",
    "customers": "bigint NOT NULL",
    "members": "bigint NOT NULL",
    "started_at": "timestamp NOT NULL",
    "finished_at": "timestamp NOT NULL",
    "score_files": "text[] NOT NULL",
    "audience_file": "text NOT NULL",
}
# What readers see: the table behind it, and which of the runs.
VIEWS = {
    "customer_scores": ("score_rows", "is_current"),
    "customer_scores_history": ("score_rows", "published"),
    "audience_members": ("audience_rows", "is_current"),
    "audience_members_history": ("audience_rows", "published"),
}
# Each step is a list of statements; {s} is the schema. A step that was released never changes.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE {s}.runs (" + ", ".join(f"{n} {t}" for n, t in COLUMNS_OF_RUNS.items()) + ")",
        "CREATE TABLE {s}.score_rows (publication bigint NOT NULL, customer_id text NOT NULL, "
        "snapshot_at timestamp NOT NULL)",
        "CREATE TABLE {s}.audience_rows (publication bigint NOT NULL, campaign_id text NOT NULL, "
        "customer_id text NOT NULL, snapshot_at date NOT NULL)",
    ),
    (
        # A customer is looked up by tools, and erased, without reading the whole history.
        "CREATE UNIQUE INDEX score_rows_customer ON {s}.score_rows (customer_id, publication)",
        "CREATE UNIQUE INDEX audience_rows_customer "
        "ON {s}.audience_rows (customer_id, campaign_id, publication)",
        "CREATE INDEX score_rows_publication ON {s}.score_rows (publication)",
        "CREATE INDEX audience_rows_publication ON {s}.audience_rows (publication)",
    ),
)
VERSION = len(MIGRATIONS)


def migrated(con: Connection[Any], schema: str, *, to: int = VERSION) -> int:
    """Bring the schema to a version within the open transaction; the version it had.

    Raises
    ------
    UserError
        Where a newer stagecast made it.
    """
    from psycopg import sql

    name = sql.Identifier(schema)
    con.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
    con.execute(
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {}.schema_version "
            "(version bigint PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        ).format(name)
    )
    query = sql.SQL("SELECT coalesce(max(version), 0) FROM {}.schema_version").format(name)
    row = con.execute(query).fetchone()
    had = int(row[0]) if row is not None else 0
    if had > VERSION:
        raise UserError(
            f"schema {schema}",
            found=f"a store of schema version {had}",
            expected=f"version {VERSION} or older",
            hint="use the newer stagecast that wrote it, or another schema (?schema=NAME)",
        )
    for number, statements in enumerate(MIGRATIONS[had:to], start=had + 1):
        for statement in statements:
            con.execute(sql.SQL(statement).format(s=name))
        con.execute(
            sql.SQL("INSERT INTO {}.schema_version (version) VALUES (%s)").format(name), [number]
        )
    return had


def refreshed_views(con: Connection[Any], schema: str) -> None:
    """Let the views show every column there is; one that does already stays untouched.

    A view is replaced and not dropped, so that grants last.
    """
    from psycopg import sql

    for view, (table, which) in VIEWS.items():
        columns = [c for c in columns_of(con, schema, table) if c != "publication"]
        if list(columns_of(con, schema, view)) == columns:
            continue
        condition = {
            "is_current": sql.SQL("r.is_current"),
            "published": sql.SQL("r.status = 'published'"),
        }[which]
        con.execute(
            sql.SQL(
                "CREATE OR REPLACE VIEW {}.{} AS SELECT {} FROM {}.{} d "
                "JOIN {}.runs r ON r.sequence = d.publication WHERE {}"
            ).format(
                sql.Identifier(schema),
                sql.Identifier(view),
                sql.SQL(", ").join(sql.Identifier("d", c) for c in columns),
                sql.Identifier(schema),
                sql.Identifier(table),
                sql.Identifier(schema),
                condition,
            )
        )
