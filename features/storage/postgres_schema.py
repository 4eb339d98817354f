"""Layout of the PostgreSQL store, as a list of migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from features.errors import UserError
from features.storage.postgres_rows import columns_of

if TYPE_CHECKING:
    from psycopg import Connection

RUN_COLUMNS = {
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
# Views for readers: underlying table, and which runs they show.
VIEWS = {
    "customer_scores": ("score_rows", "is_current"),
    "customer_scores_history": ("score_rows", "published"),
    "audience_members": ("audience_rows", "is_current"),
    "audience_members_history": ("audience_rows", "published"),
}
# Each migration is a list of statements; {s} is the schema. A released migration never changes.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE {s}.runs (" + ", ".join(f"{n} {t}" for n, t in RUN_COLUMNS.items()) + ")",
        "CREATE TABLE {s}.score_rows (publication bigint NOT NULL, customer_id text NOT NULL, "
        "snapshot_at timestamp NOT NULL)",
        "CREATE TABLE {s}.audience_rows (publication bigint NOT NULL, campaign_id text NOT NULL, "
        "customer_id text NOT NULL, snapshot_at date NOT NULL)",
    ),
    (
        # Tools look up, and erase, one customer without reading the whole history.
        "CREATE UNIQUE INDEX score_rows_customer ON {s}.score_rows (customer_id, publication)",
        "CREATE UNIQUE INDEX audience_rows_customer "
        "ON {s}.audience_rows (customer_id, campaign_id, publication)",
        "CREATE INDEX score_rows_publication ON {s}.score_rows (publication)",
        "CREATE INDEX audience_rows_publication ON {s}.audience_rows (publication)",
    ),
    (
        # Each publication adds the columns that these tables lack.
        "CREATE TABLE {s}.campaign_effects ()",
        "CREATE TABLE {s}.campaign_effects_history ()",
        "CREATE TABLE {s}.prediction_accuracy ()",
    ),
    (
        "CREATE TABLE {s}.customer_scores_sync (row_id text PRIMARY KEY, customer_id text, "
        "stage text, sub_stage text, next_stage text, churn_band text, lead_band text, "
        "value_tier text, preferred_channel text, score_quality text, stage_since date, "
        "lapses_at_if_silent date, p_churn double precision, p_first_purchase double precision, "
        "p_reactivate double precision, clv double precision, changed_at timestamp)",
        "CREATE TABLE {s}.audience_members_sync (row_id text PRIMARY KEY, campaign_id text, "
        "customer_id text, channel text, arm text, offer_name text, entered_at date, "
        "expires_at date, changed_at timestamp)",
        # A tool asks for what changed since its last visit; erasure asks for a customer.
        "CREATE INDEX customer_scores_sync_changed ON {s}.customer_scores_sync (changed_at)",
        "CREATE INDEX audience_members_sync_changed ON {s}.audience_members_sync (changed_at)",
        "CREATE INDEX audience_members_sync_customer ON {s}.audience_members_sync (customer_id)",
    ),
)
LAYOUT_VERSION = len(_MIGRATIONS)


def migrate(connection: Connection[Any], schema: str, *, to: int = LAYOUT_VERSION) -> int:
    """Migrate the schema within the open transaction; return its previous version.

    Raises
    ------
    UserError
        If a newer stagecast created it.
    """
    from psycopg import sql

    schema_name = sql.Identifier(schema)
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema_name))
    connection.execute(
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {}.schema_version "
            "(version bigint PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        ).format(schema_name)
    )
    query = sql.SQL("SELECT coalesce(max(version), 0) FROM {}.schema_version").format(schema_name)
    version_row = connection.execute(query).fetchone()
    old_version = int(version_row[0]) if version_row is not None else 0
    if old_version > LAYOUT_VERSION:
        raise UserError(
            f"schema {schema}",
            found=f"a store of schema version {old_version}",
            expected=f"version {LAYOUT_VERSION} or older",
            hint="use the newer stagecast that wrote it, or another schema (?schema=NAME)",
        )
    for number, statements in enumerate(_MIGRATIONS[old_version:to], start=old_version + 1):
        for statement in statements:
            connection.execute(sql.SQL(statement).format(s=schema_name))
        connection.execute(
            sql.SQL("INSERT INTO {}.schema_version (version) VALUES (%s)").format(schema_name),
            [number],
        )
    return old_version


def refresh_views(connection: Connection[Any], schema: str) -> None:
    """Make the views show all columns; complete views stay untouched.

    Views are replaced, not dropped, so that grants persist.
    """
    from psycopg import sql

    for view, (table, row_filter) in VIEWS.items():
        columns = [
            column for column in columns_of(connection, schema, table) if column != "publication"
        ]
        if list(columns_of(connection, schema, view)) == columns:
            continue
        condition = {
            "is_current": sql.SQL("r.is_current"),
            "published": sql.SQL("r.status = 'published'"),
        }[row_filter]
        connection.execute(
            sql.SQL(
                "CREATE OR REPLACE VIEW {}.{} AS SELECT {} FROM {}.{} d "
                "JOIN {}.runs r ON r.sequence = d.publication WHERE {}"
            ).format(
                sql.Identifier(schema),
                sql.Identifier(view),
                sql.SQL(", ").join(sql.Identifier("d", column) for column in columns),
                sql.Identifier(schema),
                sql.Identifier(table),
                sql.Identifier(schema),
                condition,
            )
        )
