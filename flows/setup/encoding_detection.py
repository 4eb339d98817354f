"""The encoding of a text file that is not UTF-8, from its first bytes."""

from __future__ import annotations

import re
from collections.abc import Callable

from charset_normalizer import from_bytes

from features.sources.number_text import number_value
from flows.setup import column_synonyms

# Lead bytes of the frequent characters of each East Asian encoding; a wrong guess hits others.
_FREQUENT: dict[str, Callable[[int, int], bool]] = {
    "cp949": lambda lead, trail: 0xB0 <= lead <= 0xC8 and trail >= 0xA1,
    "cp932": lambda lead, _: 0x81 <= lead <= 0x98,
    "gb18030": lambda lead, trail: (0xB0 <= lead <= 0xD7 or lead == 0xA3) and trail >= 0xA1,
    "big5": lambda lead, _: 0xA4 <= lead <= 0xC6 or lead == 0xA1,
}
_LETTERS_IN_WORDS = re.compile(r"(?<=[a-zA-Z])[^\x00-\x7f]|[^\x00-\x7f](?=[a-zA-Z])")
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_WITHIN_WORDS = re.compile(r"(?<=[a-zA-Z])[^\x00-\x7f]+(?=[a-z])")
_BESIDE_DIGITS = re.compile(
    r"(?<=[0-9])[^\x00-\x7f]|(?<=[0-9] )[^\x00-\x7f](?![a-zA-Z])"
    r"|(?<![a-zA-Z])[^\x00-\x7f](?= ?[0-9])"
)
_CYRILLIC = re.compile("[а-яё]{2,}|[А-ЯЁ][а-яё]+", re.IGNORECASE)
_LATIN = ("cp1252", "cp1250", "cp1254", "cp850", "mac_roman")
_OTHERS = ("cp1253", "cp1255", "cp1256", "cp1257", "cp874", "euc_jp")
_SLAVIC = ("cp1251", "cp866", "koi8_r", "mac_cyrillic", "iso8859_2", "cp852")
_MONEY = re.compile(r"[€£¥₩₽₺₹¤\u00a0\u202f%°±²³½¼¾×–—’]")  # signs that stand beside numbers
# What names of columns say, in any language.
_MEANINGS = (
    column_synonyms.CUSTOMER,
    column_synonyms.EMAIL,
    column_synonyms.TIME,
    column_synonyms.ORDER,
    column_synonyms.VALUE,
    column_synonyms.UNIT_PRICE,
    column_synonyms.QUANTITY,
    column_synonyms.STATUS,
    column_synonyms.EVENT_TYPE,
)
_HUNGARIAN = re.compile("rendel[ée]s|vev[őo]|mennyis[ée]g|összeg|számla|megnevezés|teljesít")
_OF_NAMES = (
    "°№ºª€£¥（）・／：\u00a0\u2019\u064b\u0651\u0e31\u0e34"  # beside letters in names of columns
)
_OF_WORDS = "°№"  # N° is a word, too
_CELLS = re.compile(rb"[,;\t|\r\n]+")
_HEADER_LINES = 5  # names of columns stand in one of the first ones, below titles
_FREQUENT_SHARE = 0.9
_SAMPLE_BYTES, _AMOUNT_BYTES = 200_000, 20_000
_MOST_AMOUNTS = 3  # that tell as much as names of columns


def detect_encoding(head: bytes, *, cut: bool) -> str:
    """Return the Python name of the encoding of a file's first bytes.

    Parameters
    ----------
    head
        First bytes of the file.
    cut
        True if the file goes on, so that the last character may be incomplete.
    """
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head[1:400:2].count(0) > head[:400:2].count(0) + 50:
        return "utf-16-le"
    whole = head[: head.rfind(b"\n") + 1] or head if cut else head
    if _decodes(whole, "utf-8"):
        return "utf-8"
    lines = whole.splitlines()[:4_000]
    telling = b"\n".join([*lines[:1], *(line for line in lines if not line.isascii())])
    if _hungarian(telling):
        return "cp1250"
    guess = _asian(telling) or _cyrillic(telling) or _western(telling[:_SAMPLE_BYTES])
    return _by_names(b"\n".join(lines[:_HEADER_LINES]), telling, guess)


def _hungarian(content: bytes) -> bool:
    """Whether words are Hungarian, and the letters of its own are those of Windows-1250.

    They are the only ones that Windows-1252 reads as other letters.
    """
    if not _decodes(content, "cp1250"):
        return False
    text = content.decode("cp1250").lower()
    return _HUNGARIAN.search(text) is not None and re.search("[őű]", text) is not None


def _by_names(header: bytes, content: bytes, guess: str) -> str:
    """The encoding with more names of columns that are known, and more amounts that are numbers.

    Few characters tell little of their encoding; a word that means customer, order or amount does,
    and so does a sign of money (Kč, zł).
    """
    cells, rows = ({cell.strip(b" \"'") for cell in _CELLS.split(part) if not cell.isascii()}
                   for part in (header, content[:_AMOUNT_BYTES]))  # fmt: skip
    money = [cell for cell in rows if cell[:1].isdigit() or cell[-1:].isdigit()][:_MOST_AMOUNTS]
    known: dict[str, int] = {}
    for encoding in dict.fromkeys((guess, *_LATIN, *_SLAVIC, *_FREQUENT, *_OTHERS)):
        if _decodes(content, encoding):
            names = [cell.decode(encoding, errors="replace") for cell in cells]
            amounts = [cell.decode(encoding, errors="replace") for cell in money]
            known[encoding] = sum(_is_known(name) for name in names) + sum(
                number_value(amount, sign) is not None for amount in amounts for sign in ".,"
            )
    return max(known, key=lambda encoding: known[encoding], default=guess)


def _is_known(name: str) -> bool:
    """Whether a name is a word of a column, and no string of lines, boxes and soft hyphens."""
    if any(sign > "\x7f" and not (sign.isalnum() or sign in _OF_NAMES) for sign in name):
        return False
    return any(column_synonyms.synonym_rank(name, words) is not None for words in _MEANINGS)


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _within_latin_words(text: str) -> bool:
    """Whether most signs beyond ASCII stand between Latin letters, as umlauts and accents do."""
    return 2 * len(_WITHIN_WORDS.findall(text)) > len(_FOREIGN.findall(text))


def _asian(content: bytes) -> str | None:
    """Return the East Asian encoding in which nearly all characters are frequent ones."""
    shares: dict[str, float] = {}
    for encoding, is_frequent in _FREQUENT.items():
        if not _decodes(content, encoding):
            continue
        text = content.decode(encoding)
        if _within_latin_words(text):
            continue
        encoded = [sign.encode(encoding) for sign in text if sign > "\x7f"]
        pairs = [pair for pair in encoded if len(pair) == 2]
        # Accents of Western words are read as pairs, too, but then swallow the letters behind.
        swallowed = sum(pair[1] < 0x80 and encoding not in ("cp932", "big5") for pair in pairs)
        if len(pairs) > len(encoded) / 2 and not swallowed:
            shares[encoding] = sum(is_frequent(*pair) for pair in pairs) / len(pairs)
    best = max(shares, key=lambda encoding: shares[encoding], default=None)
    # Every Hangul is a frequent Chinese character, too, and not the other way round.
    if shares.get("cp949", 0) > 0.97:
        best = "cp949"
    return best if best is not None and shares[best] >= _FREQUENT_SHARE else None


def _cyrillic(content: bytes) -> str | None:
    for encoding in ("cp1251", "cp866"):
        if _decodes(content, encoding):
            text = content.decode(encoding)
            in_words = sum(len(word) for word in _CYRILLIC.findall(text))
            if not _within_latin_words(text) and in_words > 0.8 * sum(
                sign > "\x7f" for sign in text
            ):
                return encoding
    return None


def _western(content: bytes) -> str:
    """The encoding with letters in words, and signs of money at digits; or Windows-1252."""
    strange = {
        encoding: sum(
            not (sign.isalpha() or sign in _OF_WORDS) for sign in _LETTERS_IN_WORDS.findall(text)
        )
        + sum(not _MONEY.match(sign) for sign in _BESIDE_DIGITS.findall(text))
        for encoding in _LATIN
        if _decodes(content, encoding) and (text := content.decode(encoding))
    }
    fewest = min(strange.values(), default=0)
    likely = [encoding for encoding, count in strange.items() if count == fewest]
    guesses = from_bytes(content, cp_isolation=[*likely, *_OTHERS] if likely else None)
    by_coherence = {guess.encoding: guess.coherence for guess in guesses}
    best = max(by_coherence, key=lambda encoding: by_coherence[encoding], default=None)
    usual = likely[0] if likely else "latin-1"
    if best is None or by_coherence[best] < by_coherence.get(usual, 0) + 0.05:
        return usual
    same_text = usual != "latin-1" and content.decode(best) == content.decode(usual)
    return usual if same_text else best
