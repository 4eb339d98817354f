"""Words for yes and no: those every table may use, and what to say about unknown ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from features.errors import UserError
from features.sources.keys import INVISIBLE

# Compared by `plain_word`: without case, and with one underscore between words.
PLAIN_YES = {"true", "t", "yes", "y", "1"}
PLAIN_NO = {"false", "f", "no", "n", "0"}
NOTHING = {"", "nan", "none", "null", "na", "n/a", "_"}
YES = PLAIN_YES | {"granted", "opt_in", "subscribed"}
NO = PLAIN_NO | {
    "denied",
    "declined",
    "no_consent",
    "not_granted",
    "opt_out",
    "opted_out",
    "optout",
    "refused",
    "rejected",
    "revoked",
    "unsubscribe",
    "unsubscribed",
    "withdrawn",
}
# Only suggested, never assumed: a person has to confirm them in the config.
LIKELY_YES = set(
    [
        "on",
        "ok",
        "accepted",
        "agreed",
        "allowed",
        "active",
        "given",
        "opted in",
        "opted_in",
        "opt-in",
        "optin",
        "confirmed",
        "consented",
        "ja",
        "j",
        "oui",
        "o",
        "si",
        "sí",
        "s",
        "sì",
        "sim",
        "tak",
        "da",
        "ano",
        "igen",
        "kyllä",
        "evet",
        "wahr",
        "vrai",
        "verdadero",
        "vero",
        "да",
        "ναι",
        "はい",
        "是",
    ]
)
LIKELY_NO = set(
    [
        "off",
        "declined",
        "denied",
        "refused",
        "revoked",
        "rejected",
        "inactive",
        "opted out",
        "opted_out",
        "opt-out",
        "optout",
        "cancelled",
        "canceled",
        "unconfirmed",
        "pending",
        "unknown",
        "nein",
        "non",
        "não",
        "nao",
        "nie",
        "ne",
        "nem",
        "nee",
        "nej",
        "nei",
        "ei",
        "hayır",
        "falsch",
        "faux",
        "falso",
        "нет",
        "όχι",
        "いいえ",
        "否",
    ]
)
MOST_WORDS = 12
# Longer values, addresses and numbers are hardly words; they may be personal, and are not repeated.
_WORD = re.compile(r"[^\d@]{1,24}|[^\d@]{0,4}\d{1,3}")


def plain_word(text: str) -> str:
    """A cell as words are compared."""
    plain_text = re.sub(r"[\s_-]+", "_", text.strip(INVISIBLE).casefold())
    return re.sub(r"^([01])\.0*$", r"\1", plain_text)


def answers(texts: pd.Series[Any], config_place: str, words: Mapping[str, bool]) -> pd.Series[Any]:
    """Whether each cell says yes (True), no (False) or nothing (None).

    Parameters
    ----------
    texts
        Cells as text, null where empty.
    config_place
        The column's place in the config, for the error.
    words
        Meanings that the config declares; they come before the usual ones.

    Raises
    ------
    UserError
        Listing the words that say neither, and how to declare them: nobody is written to on a
        guess.
    """
    return _meant(texts, config_place, dict.fromkeys(YES, True) | dict.fromkeys(NO, False), words)


def marks(texts: pd.Series[Any], config_place: str, words: Mapping[str, bool]) -> Any:
    """Which cells mark somebody to be left out, as bool; a refusal in so many words does.

    Parameters and errors are those of `answers`; an empty cell marks nobody.
    """
    usual_meanings = dict.fromkeys(PLAIN_YES | (NO - PLAIN_NO), True) | dict.fromkeys(
        PLAIN_NO, False
    )
    return _meant(texts, config_place, usual_meanings, words).eq(True).to_numpy(dtype=bool)


def _meant(
    texts: pd.Series[Any],
    config_place: str,
    usual_meanings: Mapping[str, bool],
    words: Mapping[str, bool],
) -> pd.Series[Any]:
    meanings: dict[str, bool | None] = {**usual_meanings, **dict.fromkeys(NOTHING)}
    meanings |= {plain_word(word): says_yes for word, says_yes in words.items()}
    cell_words = texts.astype(object).where(texts.notna(), "").astype(str)
    normal_forms = {cell_text: plain_word(cell_text) for cell_text in cell_words.unique()}
    cell_words = cell_words.map(normal_forms)
    unknown = cell_words[~cell_words.isin(list(meanings))]
    if len(unknown):
        unknown_counts = [str(word) for word in unknown.value_counts().index]
        raise unknown_words(
            config_place, unknown_counts, len(unknown), block=config_place.split(":")[0]
        )
    return pd.Series([meanings[word] for word in cell_words], index=texts.index, dtype=object)


def unknown_words(config_place: str, words: Sequence[str], cells: int, *, block: str) -> UserError:
    """The error about words that say neither yes nor no, with a line to paste into the config.

    Parameters
    ----------
    config_place
        The column's place in the config.
    words
        The different words, as they were compared.
    cells
        How many cells hold one of them.
    block
        Config block that takes `words`.
    """
    expected = f"{', '.join(sorted(YES))}, or {', '.join(sorted(NO))}"
    if len(words) > MOST_WORDS or not all(_WORD.fullmatch(word) for word in words):
        return UserError(
            config_place,
            found=f"{cells} cells with {len(words)} different values that are neither yes nor no",
            expected=expected,
            mend="check that the column is the right one: these values do not look like words "
            f"for yes and no; words of your own are declared under `{block}: {{words: ...}}`",
        )
    meanings = {word: meaning(word) for word in words}
    config_line = ", ".join(
        f"{_quoted(word)}: {'yes' if says_yes else 'no'}" for word, says_yes in meanings.items()
    )
    suggestions = [
        f"{word!r} is close to {similar_word!r}" for word in words if (similar_word := _alike(word))
    ]
    unguessed = [word for word, says_yes in meanings.items() if says_yes is None]
    advice = [f"did you mean: {'; '.join(suggestions)}?"] if suggestions else []
    advice.append(f"say what they mean: `{block}: {{words: {{{config_line}}}}}`")
    if unguessed:
        advice.append(f"check {', '.join(map(repr, unguessed))}: `no` is only the safe assumption")
    return UserError(
        config_place,
        found=f"{cells} cells that are neither yes nor no: {', '.join(map(repr, words))}",
        expected=expected,
        mend="; ".join(advice),
    )


def meaning(word: str) -> bool | None:
    """What a word probably means; None where nothing suggests it."""
    spaced_word = word.replace("_", " ")
    for known_words, says_yes in ((YES | LIKELY_YES, True), (NO | LIKELY_NO, False)):
        if word in known_words or spaced_word in known_words:
            return says_yes
    similar_word = _alike(word)
    return None if similar_word is None else similar_word in YES


def _alike(word: str) -> str | None:
    """A known word that is spelled nearly the same."""
    if word in LIKELY_YES | LIKELY_NO:
        return None
    long_words: Collection[str] = [
        known_word for known_word in YES | NO if len(known_word) > 2 and known_word != "nan"
    ]
    similar_words = difflib.get_close_matches(word, sorted(long_words), n=1, cutoff=0.75)
    return similar_words[0] if similar_words else None


def _quoted(word: str) -> str:
    """A word as YAML has to have it."""
    yaml_list = yaml.safe_dump([word], default_flow_style=True, allow_unicode=True, width=10_000)
    return yaml_list.strip()[1:-1]
