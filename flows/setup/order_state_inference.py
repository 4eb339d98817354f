"""Which rows of a table of orders count: states, stages of deals, flags, debits of a ledger."""

from __future__ import annotations

import re

from features.contracts import LEFT_OUT
from flows.setup import column_synonyms
from flows.setup.column_synonyms import plain_name, synonym_rank
from flows.setup.order_states import (
    are_order_states,
    say_what_is_lost,
    side_of,
    state_in,
    surely_order_states,
)
from flows.setup.readings import amounts, as_word, counted, is_purchase
from flows.setup.source_draft import SourceProposal, best_column, used_columns
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_MOST_STATES, _FEWEST_AMOUNTS = 60, 20
_NAMED = 3  # words listed in a note
_FULL = 0.99  # share of the rows that must have a state
# What is not shipped yet may be paid.
_OF_PAYMENT = re.compile(
    r"pay|financial|pag(o|a|amento)(_|$)|zahl|bezahl|paie|betal|支払|入金|決済|付款|결제|оплат"
)
_OF_SHIPPING = re.compile(
    r"ship|fulfil|deliver|envio|enviado|versand|liefer|livr|exped|consegn|spediz|wysyl|配送|発送|배송"
)


def words_of(column: ColumnProfile) -> tuple[str, ...]:
    """Distinct words of a column, in the whole table where it was looked at as a whole."""
    if column.types:
        return column.types
    return tuple(sorted({as_word(cell) for cell in column.cells.dropna().unique()}))


def state_column(found: SourceProposal, table: ProfiledTable) -> ColumnProfile | None:
    """The column that says how each order ended, by its name or by its words."""
    columns = state_columns(found, table)
    return columns[0] if columns else None


def state_columns(found: SourceProposal, table: ProfiledTable) -> list[ColumnProfile]:
    """All columns that say how orders ended; first those with a name of states."""
    used = used_columns(found)
    free = {
        name: column
        for name, column in table.columns.items()
        if (column.kind in ("text", "flag") or (column.kind == "number" and column.distinct == 2))
        and name not in used
        and 0 < column.distinct <= _MOST_STATES
    }
    named = best_column(
        free, column_synonyms.STATUS, lambda c: are_order_states(c.name, words_of(c))
    )
    named = named or best_column(
        free, column_synonyms.STATUS, lambda c: say_what_is_lost(c.name, words_of(c))
    )
    others = [c for c in free.values() if c is not named]
    sure = [c for c in others if surely_order_states(c.name, words_of(c))]
    columns = [*([] if named is None else [named]), *sure]
    # What was paid counts before what was done with the order.
    return sorted(columns, key=lambda c: not _OF_PAYMENT.search(plain_name(c.name)))


def propose_states(found: SourceProposal, column: ColumnProfile) -> bool:
    """Let the words of a column of states say which rows are purchases; False where they cannot."""
    words: dict[str, str] = {}
    unknown = []
    of_shipping = _OF_SHIPPING.search(plain_name(column.name)) is not None
    for word in words_of(column):
        state = state_in(column.name, word)
        kinds = {"counts": "purchase", "back": LEFT_OUT}
        if _is_negative(found, column, word):
            kinds["back"] = "refund"
        if of_shipping:
            kinds |= {"open": "purchase", "None": "purchase"}
        words[word] = kinds.get(str(state), LEFT_OUT)
        if state is None:
            unknown.append(word)
    if "purchase" not in words.values() and len(unknown) < len(words):
        words |= dict.fromkeys(unknown, "purchase")  # what is lost is known
    elif "purchase" not in words.values() and unknown:
        # One word must count: the most frequent of those that nothing is known of.
        written = column.cells.map(as_word, na_action="ignore")
        words[max(unknown, key=lambda word: int((written == word).sum()))] = "purchase"
    kind: dict[str, object] = {"column": column.name, "words": words}
    if column.filled < _FULL and not _fill(found, column):
        return False
    found.event_type = kind
    left_out = [word for word, name in words.items() if name == LEFT_OUT]
    if left_out:
        found.notes["event_type"] = (
            f"CHECK: {', '.join(map(repr, left_out[:_NAMED]))}"
            f"{', ...' if len(left_out) > _NAMED else ''} "
            f"{'is' if len(left_out) == 1 else 'are'} left out. All rows as purchases: "
            f"{counted(found)}; as proposed: {counted(found, is_purchase(found))}."
        )
        if unknown:
            found.notes["event_type"] += (
                f" Unknown words: {', '.join(map(repr, unknown[:_NAMED]))}; if one of them counts: "
                "--role 'WORD=purchase'."
            )
    return True


def _fill(found: SourceProposal, column: ColumnProfile) -> bool:
    """Whether the first line of each order fills the others; then it is so declared."""
    order_id = found.columns.get("order_id")
    if order_id is None:
        return False
    filled = column.cells.notna().groupby(found.table.columns[order_id].cells).transform("any")
    if float(filled.mean()) < _FULL:
        return False
    found.fill_within_order = [column.name]
    return True


def propose_ledger(found: SourceProposal, table: ProfiledTable) -> bool:
    """Read a ledger in which most amounts are negative: a debit is the customer's payment."""
    amount = amounts(found)
    if amount is None:
        return False
    signed = amount[amount.notna() & (amount != 0)]
    if len(signed) < _FEWEST_AMOUNTS or (signed < 0).mean() <= 0.5:
        return False
    as_written = counted(found, amount > 0)
    found.value_scale = -1.0
    column = _sign_column(found, table)
    if column is not None:
        negative = (amount < 0).groupby(column.cells).mean()
        found.event_type = {
            "column": column.name,
            "words": {
                word: "purchase" if negative.get(word, 0) > 0.5 else LEFT_OUT
                for word in words_of(column)
            },
        }
    else:
        found.only[found.columns["value"]] = ["<0"]
    found.notes["event_type"] = (
        f"CHECK: {(signed < 0).mean():.0%} of the amounts are negative, so debits are read as "
        f"purchases: {counted(found, amount < 0)}; credits as purchases: {as_written}. "
        f"If negative amounts are refunds, remove `value_scale`{'' if column else ' and `only`'}."
    )
    return True


def propose_sides(found: SourceProposal, table: ProfiledTable) -> bool:
    """Read a statement of unsigned amounts in which a word says debit or credit."""
    if amounts(found) is None:
        return False

    def names_sides(column: ColumnProfile) -> bool:
        sides = {side_of(word) for word in words_of(column)}
        return column.filled >= _FULL and sides == {"debit", "credit"}

    columns = [c for c in table.columns.values() if c.kind == "text" and names_sides(c)]
    if len(columns) != 1:
        return False
    (column,) = columns
    cells = column.cells.reset_index(drop=True)
    words = {word: side_of(word) for word in words_of(column)}
    readings = {
        side: counted(found, cells.isin([word for word, own in words.items() if own == side]))
        for side in ("debit", "credit")
    }
    kinds = {"debit": "purchase", "credit": LEFT_OUT}
    found.event_type = {
        "column": column.name,
        "words": {word: kinds[str(side)] for word, side in words.items()},
    }
    credit, debit = (
        next(word for word, own in words.items() if own == side) for side in ("credit", "debit")
    )
    found.notes["event_type"] = (
        f"CHECK: {column.name!r} says debit or credit, and debits are read as purchases: "
        f"{readings['debit']}; credits: {readings['credit']}. For those: --role "
        f"'{credit}=purchase' --role '{debit}=ignore'."
    )
    return True


def leave_out_lost(found: SourceProposal, table: ProfiledTable) -> None:
    """Leave out rows that further columns call cancelled or open, beside a column of types."""
    for column in state_columns(found, table):
        if column.filled < _FULL or _OF_SHIPPING.search(plain_name(column.name)):
            continue
        words = {word: state_in(column.name, word) for word in words_of(column)}
        # What is paid may still be open elsewhere.
        is_paid = _OF_PAYMENT.search(plain_name(str(_type_name(found)))) is not None
        sure = {"lost", "back"} | (set() if is_paid or None in words.values() else {"open"})
        lost = [
            word
            for word, state in words.items()
            if state in sure and not (state == "back" and _is_negative(found, column, word))
        ]
        if not lost:
            continue
        before = is_purchase(found)
        kept = [word for word in words if word not in lost]
        found.only[column.name] = kept
        if (before == is_purchase(found)).all():
            del found.only[column.name]
            continue
        found.notes["event_type"] = (
            f"{found.notes.get('event_type', '')} CHECK: rows with "
            f"{', '.join(map(repr, lost[:_NAMED]))}{', ...' if len(lost) > _NAMED else ''} in "
            f"{column.name!r} are left out. With them: {counted(found, before)}; without: "
            f"{counted(found, is_purchase(found))}."
        ).strip()


def _type_name(found: SourceProposal) -> object:
    """The column of event types; empty where one type is said for all rows."""
    return found.event_type["column"] if isinstance(found.event_type, dict) else ""


def _is_negative(found: SourceProposal, column: ColumnProfile, word: str) -> bool:
    """Whether most amounts of the rows with a word are negative."""
    amount = amounts(found)
    if amount is None:
        return False
    rows = column.cells.map(as_word, na_action="ignore").reset_index(drop=True) == word
    return bool((amount[rows].dropna() < 0).mean() > 0.5)


def _sign_column(found: SourceProposal, table: ProfiledTable) -> ColumnProfile | None:
    """The column with words that follow the sign of the amount."""
    amount, used = amounts(found), used_columns(found)

    def goes_with_the_sign(column: ColumnProfile) -> bool:
        if column.kind != "text" or column.name in used or not 2 <= column.distinct <= _MOST_STATES:
            return False
        if amount is None or column.filled < _FULL:
            return False
        shares = (amount < 0).groupby(column.cells).mean()
        follows = bool(((shares < 0.1) | (shares > 0.9)).all())
        return follows and shares.min() < 0.1 and shares.max() > 0.9

    named = best_column(table.columns, column_synonyms.EVENT_TYPE, goes_with_the_sign)
    others = [c for c in table.columns.values() if goes_with_the_sign(c)]
    return named or (min(others, key=lambda c: c.distinct) if others else None)


def role_of_cases(table: ProfiledTable) -> str | None:
    """The role of a table with ids of tickets or cancellations instead of orders."""
    for name in table.columns:
        if synonym_rank(name, column_synonyms.CASE_ID) is not None:
            return "cancel" if re.search("churn|cancel", plain_name(name)) else "support"
    return None
