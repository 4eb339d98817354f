"""Tables for tools that copy rows elsewhere when they change (reverse ETL), in both stores.

A row stays as it is, with its moment of change, until a text or a date differs or a number has
moved noticeably. So a tool that asks for rows changed since its last visit does not copy all
customers every night because a probability moved in its third digit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

CHANGED_AT = "changed_at"
_CHANCE = "abs(n.{c} - o.{c}) < 0.05"
# Compared without a product that could leave the range of floating-point numbers.
_MONEY = (
    "CASE WHEN abs(n.{c}) < 1e15 AND abs(o.{c}) < 1e15 "
    "THEN abs(n.{c} - o.{c}) * 10 <= abs(o.{c}) ELSE n.{c} = o.{c} END"
)


@dataclass(frozen=True)
class SyncTable:
    """A table with a fixed list of columns, derived from the current run at every publication.

    Attributes
    ----------
    name, source
        Name of the table, and of the table or view that it is derived from.
    key
        Columns that identify a row; all are text.
    texts, dates
        Columns of which every difference is a change.
    numbers
        Columns with the condition under which a number counts as unchanged.
    condition
        Which rows of the source there are; empty: all.
    identity
        Expression of ``row_id``, one column that identifies a row.
    """

    name: str
    source: str
    key: tuple[str, ...]
    texts: tuple[str, ...]
    dates: tuple[str, ...]
    identity: str
    numbers: Mapping[str, str] = field(default_factory=dict)
    condition: str = ""

    @property
    def types(self) -> dict[str, str]:
        """Type of every column, in the words of both engines."""
        return {
            "row_id": "text",
            **dict.fromkeys((*self.key, *self.texts), "text"),
            **dict.fromkeys(self.dates, "date"),
            **dict.fromkeys(self.numbers, "double precision"),
            CHANGED_AT: "timestamp",
        }

    def definition(self) -> str:
        """Return the statement that creates ``{table}``, without an index, in a new DuckDB file."""
        columns = ", ".join(f"{name} {kind}" for name, kind in self.types.items())
        return f"CREATE TABLE {{table}} ({columns})"

    def changes(self, present: Collection[str], *, with_unchanged: bool) -> str:
        """Return a query of the rows of ``{source}``, beside those of before in ``{before}``.

        Parameters
        ----------
        present
            Columns of the source; one that it lacks is null.
        with_unchanged
            True: with the rows that stay as they are; ``{runs}`` names the moment of the others.
        """
        content = (*self.texts, *self.dates, *self.numbers)
        new = ", ".join(
            f"CAST({name if name in present else 'NULL'} AS {self.types[name]}) AS {name}"
            for name in (*self.key, *content)
        )
        where = f" WHERE {self.condition}" if self.condition else ""
        same = " AND ".join(
            [
                *(f"n.{c} IS NOT DISTINCT FROM o.{c}" for c in (*self.texts, *self.dates)),
                *(
                    f"(n.{c} IS NULL AND o.{c} IS NULL OR {rule.format(c=c)})"
                    for c, rule in self.numbers.items()
                ),
            ]
        )
        joined = " AND ".join(f"o.{c} = n.{c}" for c in self.key)
        kept = f"(o.row_id IS NOT NULL AND coalesce({same}, false))"
        columns = ", ".join(
            [
                f"{self.identity} AS row_id",
                *(f"n.{c}" for c in self.key),
                *(f"CASE WHEN {kept} THEN o.{c} ELSE n.{c} END AS {c}" for c in content),
                f"CASE WHEN {kept} THEN o.{CHANGED_AT} ELSE "
                f"(SELECT finished_at FROM {{runs}} WHERE is_current) END AS {CHANGED_AT}",
            ]
        )
        query = (
            f"SELECT {columns} FROM (SELECT {new} FROM {{source}}{where}) n "
            f"LEFT JOIN {{before}} o ON {joined}"
        )
        return query if with_unchanged else f"{query} WHERE NOT {kept}"

    def missing(self) -> str:
        """Return the statement that deletes from ``{before}`` what ``{source}`` has no more."""
        same = " AND ".join(f"n.{c} = o.{c}" for c in self.key)
        rows = f"{same} AND {self.condition}" if self.condition else same
        return (
            f"DELETE FROM {{before}} o WHERE NOT EXISTS (SELECT 1 FROM {{source}} n WHERE {rows})"
        )


SYNC_TABLES: Mapping[str, SyncTable] = MappingProxyType(
    {
        table.name: table
        for table in (
            SyncTable(
                name="customer_scores_sync",
                source="customer_scores",
                key=("customer_id",),
                texts=(
                    "stage",
                    "sub_stage",
                    "next_stage",
                    "churn_band",
                    "lead_band",
                    "value_tier",
                    "preferred_channel",
                    "score_quality",
                ),
                dates=("stage_since", "lapses_at_if_silent"),
                numbers={
                    "p_churn": _CHANCE,
                    "p_first_purchase": _CHANCE,
                    "p_reactivate": _CHANCE,
                    "clv": _MONEY,
                },
                identity="n.customer_id",
            ),
            SyncTable(
                name="audience_members_sync",
                source="audience_members",
                key=("campaign_id", "customer_id"),
                texts=("channel", "arm", "offer_name"),
                dates=("entered_at", "expires_at"),
                condition="change <> 'removed'",
                identity="n.campaign_id || ':' || n.customer_id",
            ),
        )
    }
)
