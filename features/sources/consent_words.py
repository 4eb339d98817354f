"""Words for yes and no: the built-in ones, and the error for unknown ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from features.errors import UserError
from features.sources.keys import fold_word

# In the form of `_plain_word`: lower case, words joined by one underscore.
_PLAIN_YES = {"true", "t", "yes", "y", "1"}
_PLAIN_NO = {"false", "f", "no", "n", "0"}
_EMPTY = {"", "nan", "none", "null", "na", "n/a", "_"}
_YES = _PLAIN_YES | {"granted", "opt_in", "subscribed"}
_NO = _PLAIN_NO | {
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
# Suggested in errors, never assumed: the config must confirm them.
_LIKELY_YES = set(
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
_LIKELY_NO = set(
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
_MAX_LISTED_WORDS = 12
# Longer values, addresses and numbers may be personal data; messages do not repeat them.
_WORD = re.compile(r"[^\d@]{1,24}|[^\d@]{0,4}\d{1,3}")


def _plain_word(text: str) -> str:
    """Normalise a cell for comparison: as `fold_word`, and 0.0 and 1.0 are whole."""
    return re.sub(r"^([01])\.0*$", r"\1", fold_word(text))


def consent_answers(
    texts: pd.Series[Any], config_place: str, words: Mapping[str, bool]
) -> pd.Series[Any]:
    """Parse cells into True (yes), False (no) or None (empty).

    Parameters
    ----------
    texts
        Cells as text, null where empty.
    config_place
        Place of the column in the config, for the error.
    words
        Meanings that the config declares; they override the built-in ones.

    Raises
    ------
    UserError
        For unknown words, with the way to declare them: consent is never guessed.
    """
    return _word_meanings(
        texts, config_place, dict.fromkeys(_YES, True) | dict.fromkeys(_NO, False), words
    )


def exclusion_marks(texts: pd.Series[Any], config_place: str, words: Mapping[str, bool]) -> Any:
    """Return bool per cell: True where it excludes the customer; words of refusal also do.

    Parameters and errors as in `consent_answers`; an empty cell does not exclude.
    """
    usual_meanings = dict.fromkeys(_PLAIN_YES | (_NO - _PLAIN_NO), True) | dict.fromkeys(
        _PLAIN_NO, False
    )
    return _word_meanings(texts, config_place, usual_meanings, words).eq(True).to_numpy(dtype=bool)


def _word_meanings(
    texts: pd.Series[Any],
    config_place: str,
    usual_meanings: Mapping[str, bool],
    words: Mapping[str, bool],
) -> pd.Series[Any]:
    meanings: dict[str, bool | None] = {**usual_meanings, **dict.fromkeys(_EMPTY)}
    meanings |= {_plain_word(word): says_yes for word, says_yes in words.items()}
    cell_words = texts.astype(object).where(texts.notna(), "").astype(str)
    normal_forms = {cell_text: _plain_word(cell_text) for cell_text in cell_words.unique()}
    cell_words = cell_words.map(normal_forms)
    unknown = cell_words[~cell_words.isin(list(meanings))]
    if len(unknown):
        unknown_counts = [str(word) for word in unknown.value_counts().index]
        raise _unknown_words(
            config_place, unknown_counts, len(unknown), block=config_place.split(":")[0]
        )
    return pd.Series([meanings[word] for word in cell_words], index=texts.index, dtype=object)


def _unknown_words(config_place: str, words: Sequence[str], cells: int, *, block: str) -> UserError:
    """Return the error for words that mean neither yes nor no, with a config line to paste.

    Parameters
    ----------
    config_place
        Place of the column in the config.
    words
        The distinct words, normalised.
    cells
        Number of cells that hold one of them.
    block
        Config block that accepts `words`.
    """
    expected = f"{', '.join(sorted(_YES))}, or {', '.join(sorted(_NO))}"
    if len(words) > _MAX_LISTED_WORDS or not all(_WORD.fullmatch(word) for word in words):
        return UserError(
            config_place,
            found=f"{cells} cells with {len(words)} different values that are neither yes nor no",
            expected=expected,
            hint="check that the column is the right one: these values do not look like words "
            f"for yes and no; words of your own are declared under `{block}: {{words: ...}}`",
        )
    meanings = {word: _likely_meaning(word) for word in words}
    config_line = ", ".join(
        f"{_quoted(word)}: {'yes' if says_yes else 'no'}" for word, says_yes in meanings.items()
    )
    suggestions = [
        f"{word!r} is close to {similar_word!r}"
        for word in words
        if (similar_word := _similar_word(word))
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
        hint="; ".join(advice),
    )


def _likely_meaning(word: str) -> bool | None:
    """Guess the meaning of a word; None if no known word is similar."""
    spaced_word = word.replace("_", " ")
    for known_words, says_yes in ((_YES | _LIKELY_YES, True), (_NO | _LIKELY_NO, False)):
        if word in known_words or spaced_word in known_words:
            return says_yes
    similar_word = _similar_word(word)
    return None if similar_word is None else similar_word in _YES


def _similar_word(word: str) -> str | None:
    """Return a known word with nearly the same spelling, or None."""
    if word in _LIKELY_YES | _LIKELY_NO:
        return None
    long_words: Collection[str] = [
        known_word for known_word in _YES | _NO if len(known_word) > 2 and known_word != "nan"
    ]
    similar_words = difflib.get_close_matches(word, sorted(long_words), n=1, cutoff=0.75)
    return similar_words[0] if similar_words else None


def _quoted(word: str) -> str:
    """Return a word as YAML, quoted where needed."""
    yaml_list = yaml.safe_dump([word], default_flow_style=True, allow_unicode=True, width=10_000)
    return yaml_list.strip()[1:-1]
