"""What the state of an order, payment or deal says: it counts, was lost, is open, or came back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from flows.setup import foreign_words
from flows.setup.column_synonyms import plain_name

State = Literal["counts", "lost", "open", "back"]

# The first that matches decides.
_STATES: tuple[tuple[State, str], ...] = (
    ("counts", r"part(ial|ly|iell|iel).*(refund|return|erstatt|rembours|reembols)"),
    (
        "back",
        r"refund|returned|money_back|(given|sent|brought|paid)_back|credited|charge_?back|dispute"
        rf"|reversed|{foreign_words.BACK}",
    ),
    (
        "open",
        r"uncaptured|not_paid|incomplete|unpaid|unfulfilled|undelivered|not_shipped|(un|not_)confirmed"
        rf"|{foreign_words.NOT_YET}",
    ),
    (
        "lost",
        r"cancel|called?_off|withdrawn|void|declin|den(y|ied)|fail|lost|abandon|expired|reject"
        r"|error|unavailable|uncollect|written_off"
        rf"|disqualif|deleted|trash|dead|no_show|{foreign_words.LOST}",
    ),
    (
        "counts",
        r"complete|^sent$|paid|deliver|shipped|fulfil|invoiced|won$|^won|closed|success|captured|settled"
        r"|^processing|approved|cleared|done|active|confirmed|accepted|finished|attended|billed"
        rf"|picked_?up|dispatched|received|placed|booked|checked_(in|out)|{foreign_words.WON}",
    ),
    (
        "open",
        r"pending|open|draft|on_?hold|hold$|await|quali|proposal|negotia|contract_sent|prospect"
        r"|lead|new$|created|appointment|presentation|decision|demo|meeting|discovery|in_progress"
        r"|review|authori[sz]ed|requested|scheduled|trial|quote|analysis|contact|process"
        rf"|{foreign_words.OPEN}",
    ),
)


def order_state(word: str) -> State | None:
    """What a state's word says; None if no word is known.

    >>> order_state("Closed Won"), order_state("closedlost"), order_state("wc-on-hold")
    ('counts', 'lost', 'open')
    """
    plain = plain_name(word).removeprefix("wc_")
    return next((state for state, pattern in _STATES if re.search(pattern, plain)), None)


_OF_PEOPLE = re.compile(
    r"customer|client|member|account|subscri|loyal|newsletter|consent|user|kunde|(^|_)abo|mail"
    r"|marketing|plan$|contract|vertrag"
)


def says_yes(word: str) -> bool | None:
    """Whether a word says yes or no, in many languages; None for other words.

    >>> says_yes("Ja"), says_yes("nej"), says_yes("いいえ"), says_yes("maybe")
    (True, False, False, None)
    """
    plain = plain_name(word)
    if re.fullmatch(foreign_words.YES, plain):
        return True
    return False if re.fullmatch(foreign_words.NO, plain) else None


def flag_state(name: str) -> State | None:
    """What yes in a column of this name says of an order; None where the name tells nothing.

    >>> flag_state("is_cancelled"), flag_state("Makulerad"), flag_state("Livré ?")
    ('lost', 'lost', 'counts')
    """
    plain = plain_name(name).removeprefix("is_")
    if plain in ("won", "closed_won", "paid"):
        return "counts"
    if order_state(plain) in ("lost", "back") and plain.endswith("ed"):
        return "lost"
    if re.match(foreign_words.LOST, plain):
        return "lost"
    return "counts" if re.match(foreign_words.WON, plain) else None


def state_in(column: str, word: str) -> State | None:
    """What a word of a column says of an order: by itself, or yes and no by the column's name."""
    said = says_yes(word)
    if said is None:
        return order_state(word)
    named = flag_state(column)
    if named is None:
        return None
    return "counts" if said == (named == "counts") else "lost"


def are_order_states(column: str, words: Iterable[str]) -> bool:
    """Whether most of a column's words are states of orders, at least one of which counts."""
    states = [state_in(column, word) for word in words]
    known = [state for state in states if state is not None]
    return "counts" in known and len(known) >= len(states) / 2


def say_what_is_lost(column: str, words: Iterable[str]) -> bool:
    """Whether one of some words says that an order was lost, and another is of unknown meaning.

    >>> say_what_is_lost("Tila", ["Peruttu", "Matkustettu"])
    True
    """
    states = [state_in(column, word) for word in words]
    return None in states and ("lost" in states or "back" in states)


def surely_order_states(column: str, words: Iterable[str]) -> bool:
    """Whether words are states of orders under any name: most are known, one counts, one is lost.

    What is said of the customer is no state of the order.

    >>> surely_order_states("発送状況", ["発送済み", "キャンセル"])
    True
    >>> surely_order_states("x", ["Paid", "Sent"])
    False
    """
    if _OF_PEOPLE.search(plain_name(column)):
        return False
    states = [state_in(column, word) for word in words]
    known = [state for state in states if state is not None]
    return {"counts", "lost"} <= set(known) and len(known) >= 0.75 * len(states)


_SIDES: dict[Literal["debit", "credit"], str] = {
    "debit": r"d|db|dr|deb(it|et|e|ito|i)?|af|soll|s|belastung|lastschrift|addebito|dare"
    r"|out(going)?|money_out|paid_out|withdrawal|расход|списание|дебет|借|借方|出金|支出",
    "credit": r"c|cr|cred(it|ito)?|bij|haben|h|gutschrift|accredito|avere|haber"
    r"|in(coming)?|money_in|paid_in|deposit|приход|зачисление|кредит|貸|貸方|入金|收入",
}


def side_of(word: str) -> Literal["debit", "credit"] | None:
    """Whether a word of a statement says debit or credit; None for other words.

    >>> side_of("Af"), side_of("Bij"), side_of("Haben"), side_of("Card")
    ('debit', 'credit', 'credit', None)
    """
    plain = plain_name(word)
    return next((side for side, words in _SIDES.items() if re.fullmatch(words, plain)), None)
