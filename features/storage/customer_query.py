"""Queries for a page of customers: filtered, sorted, and continued behind a customer.

A page begins behind the last customer of the one before, and not after so many rows: the
thousandth page costs as much as the first, and no customer is listed twice while rows are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_COMPARISONS = {"==": "=", ">=": ">=", "<=": "<=", ">": ">", "<": "<"}


@dataclass(frozen=True)
class CustomerFilter:
    """Which customers are asked for; empty: all.

    Attributes
    ----------
    equal
        Value that a column must have, by column.
    rule
        A rule on columns in a playbook's syntax: all, any, not, comparisons and missing.
    campaign
        Campaign of which the customer must be a member.
    search
        Part of the customer's id, in small or capital letters.
    """

    equal: Mapping[str, str] = field(default_factory=dict)
    rule: Mapping[str, Any] | None = None
    campaign: str = ""
    search: str = ""


@dataclass(frozen=True)
class CustomerQuery:
    """A page of customers.

    Attributes
    ----------
    chosen
        Which customers.
    sort
        Column; customers without a value come last in either direction, equal ones by id.
    descending
        Whether the largest value comes first.
    after, before
        Value and id of the customer behind whom the page begins, or before whom it ends; at most
        one of the two.
    limit
        Most customers.
    """

    chosen: CustomerFilter = CustomerFilter()
    sort: str = "customer_id"
    descending: bool = False
    after: tuple[Any, str] | None = None
    before: tuple[Any, str] | None = None
    limit: int = 25


@dataclass(frozen=True)
class Query:
    """SQL with question marks, and their values."""

    text: str
    values: list[Any]


def page_query(
    query: CustomerQuery, scores: str, audience: str, *, key: str = "customer_id"
) -> Query:
    """SQL for a page; the caller turns the rows round if `query.before` is given.

    Parameters
    ----------
    query
        What is asked for.
    scores, audience
        Quoted names of the tables.
    key
        Column by which single rows are looked up fastest.
    """
    where, values = _conditions(query.chosen, audience)
    column, backwards = _quoted(query.sort), query.before is not None
    place = query.before if backwards else query.after
    if place is not None:
        text, more = _beyond(column, place, rising=query.descending == backwards, back=backwards)
        where, values = [*where, text], [*values, *more]
    direction = "ASC" if query.descending == backwards else "DESC"
    nulls, ids = ("FIRST", "DESC") if backwards else ("LAST", "ASC")
    order = f"{column} {direction} NULLS {nulls}, customer_id {ids}"
    # Ids alone are sorted, and the whole rows of a few looked up: a table has a hundred columns.
    chosen = f"SELECT {key} FROM {scores}{_where(where)} ORDER BY {order} LIMIT ?"
    text = f"SELECT * FROM {scores} WHERE {key} IN ({chosen}) ORDER BY {order}"
    return Query(text, [*values, query.limit])


def count_query(chosen: CustomerFilter, scores: str, audience: str) -> Query:
    """SQL for the number of customers."""
    where, values = _conditions(chosen, audience)
    return Query(f"SELECT count(*) AS customers FROM {scores}{_where(where)}", values)


def memberships_query(customer: str, audience: str) -> Query:
    """SQL for a customer's rows in audiences."""
    text = f"SELECT * FROM {audience} WHERE customer_id = ? ORDER BY campaign_id"
    return Query(text, [customer])


def _conditions(chosen: CustomerFilter, audience: str) -> tuple[list[str], list[Any]]:
    conditions, values = [], []
    for column, value in chosen.equal.items():
        conditions.append(f"{_quoted(column)} = ?")
        values.append(value)
    if chosen.rule is not None:
        conditions.append(_rule(chosen.rule, values))
    if chosen.campaign:
        conditions.append(
            f"customer_id IN (SELECT customer_id FROM {audience} "
            "WHERE campaign_id = ? AND change <> 'removed')"
        )
        values.append(chosen.campaign)
    if chosen.search:
        conditions.append("strpos(lower(customer_id), ?) > 0")
        values.append(chosen.search.lower())
    return conditions, values


def _rule(rule: Mapping[str, Any], values: list[Any]) -> str:
    """A rule as SQL that is never null: a comparison with an unknown value does not hold."""
    if "all" in rule or "any" in rule:
        word, rules = ("AND", rule["all"]) if "all" in rule else ("OR", rule["any"])
        return "(" + f" {word} ".join(_rule(part, values) for part in rules) + ")"
    if "not" in rule:
        return f"NOT {_rule(rule['not'], values)}"
    column = _quoted(rule["column"])
    if "missing" in rule:
        return f"({column} IS {'' if rule['missing'] else 'NOT '}NULL)"
    (sign, value), *_ = [(s, rule[name]) for name, s in _COMPARISONS.items() if name in rule]
    values.append(value)
    return f"coalesce({column} {sign} ?, false)"


def _beyond(
    column: str, place: tuple[Any, str], *, rising: bool, back: bool
) -> tuple[str, list[Any]]:
    """Condition for rows beyond a place, in the direction of reading; unknown values come last."""
    value, customer = place
    id_sign, value_sign = "<" if back else ">", ">" if rising else "<"
    if value is None:
        same = f"({column} IS NULL AND customer_id {id_sign} ?)"
        return (f"({column} IS NOT NULL OR {same})" if back else same), [customer]
    beyond = f"{column} {value_sign} ? OR ({column} = ? AND customer_id {id_sign} ?)"
    unknown = "" if back else f" OR {column} IS NULL"
    return f"({beyond}{unknown})", [value, value, customer]


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
