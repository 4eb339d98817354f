"""The encoding of a text file that is not UTF-8, from its first bytes."""

from __future__ import annotations

import re
from collections.abc import Callable

from charset_normalizer import from_bytes

# Lead bytes of the frequent characters of each East Asian encoding; a wrong guess hits others.
_FREQUENT: dict[str, Callable[[int, int], bool]] = {
    "cp949": lambda lead, trail: 0xB0 <= lead <= 0xC8 and trail >= 0xA1,
    "cp932": lambda lead, _: 0x81 <= lead <= 0x98,
    "gb18030": lambda lead, trail: (0xB0 <= lead <= 0xD7 or lead == 0xA3) and trail >= 0xA1,
    "big5": lambda lead, _: 0xA4 <= lead <= 0xC6 or lead == 0xA1,
}
_LETTERS_IN_WORDS = re.compile(r"(?<=[a-zA-Z])[^\x00-\x7f]|[^\x00-\x7f](?=[a-zA-Z])")
_BESIDE_DIGITS = re.compile(r"(?<=[0-9])[^\x00-\x7f]|[^\x00-\x7f](?=[0-9])")
_CYRILLIC = re.compile("[а-яё]{2,}|[А-ЯЁ][а-яё]+", re.IGNORECASE)
_LATIN = ("cp1252", "cp1250", "cp1254")
_OTHERS = ("cp1253", "cp1255", "cp1256", "cp1257", "cp874", "euc_jp")
_FREQUENT_SHARE = 0.9
_SAMPLE_BYTES = 200_000


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
    return _asian(telling) or _cyrillic(telling) or _western(telling[:_SAMPLE_BYTES])


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _asian(content: bytes) -> str | None:
    """Return the East Asian encoding in which nearly all characters are frequent ones."""
    shares: dict[str, float] = {}
    for encoding, is_frequent in _FREQUENT.items():
        if not _decodes(content, encoding):
            continue
        encoded = [sign.encode(encoding) for sign in content.decode(encoding) if sign > "\x7f"]
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
            if in_words > 0.8 * sum(sign > "\x7f" for sign in text):
                return encoding
    return None


def _western(content: bytes) -> str:
    """Return the encoding with letters in words and none at digits; or Windows-1252."""
    strange = {
        encoding: sum(not sign.isalpha() for sign in _LETTERS_IN_WORDS.findall(text))
        + sum(sign.isalpha() for sign in _BESIDE_DIGITS.findall(text))
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
