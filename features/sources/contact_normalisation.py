"""Normalise and hash contact keys in the documented forms of receiving tools."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping

from features.sources.keys import INVISIBLE
from features.sources.number_text import western_digits

_EMAIL = re.compile(
    r"^[^@\s,;:<>()\[\]\"]+@[^@\s,;:<>()\[\]\"?&=/|']+\.[^@\s,;:<>()\[\]\"?&=/|']+$"
)
# In the midst of a text: anna@example.com (bounced), https://example.com/?of=anna@example.com
_EMAIL_WITHIN = re.compile(r"[^@\s,;:<>()\[\]\"?&=/|]+@[^@\s,;:<>()\[\]\"?&=/|']+")
_AT = re.compile(r"%40|\s*[(\[{](?:at|@)[)\]}]\s*")
_NAMED = re.compile(r"^[^<>@]*<([^<>]+)>$")  # Anna <anna@example.com>
_AROUND = "'\"` ,;"
_BETWEEN_EMAILS = re.compile(r"[;,|/\s]+")
_BETWEEN_PHONES = re.compile("[;,|\n]")
# Between two whole numbers; a slash also stands within one (030/1234567).
_BETWEEN_WHOLE_PHONES = (re.compile(r"&|\s[^\W\d_]+\s|(?<=\d)\s*(?=\+)"), re.compile("/"))
# Last digits, which all notations of a number share.
_TAIL_DIGITS = 7


def email(text: str) -> str:
    """Trimmed lower-case address with an ASCII domain; empty if it is no address.

    `email-validator` does not fit: it refuses the reserved domains of test data, and keeps case.
    """
    cleaned = _cleaned(text)
    named = _NAMED.match(cleaned)
    address = (named[1] if named else cleaned).strip(_AROUND).removeprefix("mailto:")
    if not _EMAIL.match(address):
        return ""
    local_part, _, domain = address.rpartition("@")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    return f"{local_part}@{domain.rstrip('.')}"


def _email_within(text: str) -> str:
    """The one e-mail address in a text with more in it; empty for none or several.

    >>> _email_within("Anna anna@example.com (bounced)"), _email_within("anna%40example.com")
    ('anna@example.com', 'anna@example.com')
    """
    cleaned = _cleaned(text)
    if "@" not in cleaned.replace("(@)", ""):
        cleaned = _AT.sub("@", cleaned)
    candidates = _EMAIL_WITHIN.findall(re.sub(r"\s*@\s*", "@", cleaned))
    addresses = {address for candidate in candidates if (address := email(candidate))}
    return addresses.pop() if len(addresses) == 1 else ""


def _cleaned(text: str) -> str:
    """Lower case in Unicode form NFKC, without outer blanks and invisible characters."""
    visible = "".join(
        sign for sign in text.strip(INVISIBLE) if sign == " " or sign not in INVISIBLE
    )
    return unicodedata.normalize("NFKC", visible).lower()


def phone(text: str, country: str = "") -> str:
    """International form ``+COUNTRYNUMBER``; empty if the country or the number is unknown.

    Parameters
    ----------
    text
        Number as written in a source.
    country
        Two-letter code for numbers without a country code; empty: they stay unknown.
    """
    import phonenumbers  # slow to import, and few commands need it

    cleaned = _cleaned(text)
    if not country and cleaned.lstrip("( ").startswith("00"):
        cleaned = "+" + cleaned.lstrip("( ")[2:]
    try:
        number = phonenumbers.parse(cleaned, country.strip().upper() or None)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_possible_number(number):
        return ""
    number.extension = None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def phone_tail(text: str) -> str:
    """Last digits of a phone number, for a first comparison."""
    return _digits(text)[-_TAIL_DIGITS:]


def national_digits(text: str) -> str:
    """Digits of a number without leading zeros."""
    return _digits(text).lstrip("0")


def _digits(text: str) -> str:
    main_number = re.split(r"(?i)\s*(?:ext|x|#|;|,)", _cleaned(text).removeprefix("tel:"))[0]
    return re.sub("[^0-9]", "", western_digits(main_number))


def comparable_address(kind: str, text: str, country: str = "") -> str:
    """Contact key in the form that addresses are compared in; empty if there is none.

    The form of exports if the key has one, or that of the only e-mail address in a text, else the
    text in lower case without blanks.
    """
    plain_text = str(text)
    if kind == "email":
        return email(plain_text) or _email_within(plain_text) or _cleaned(plain_text)
    if kind == "phone":
        return phone(plain_text, country) or national_digits(plain_text)
    return _cleaned(plain_text) if kind == "mobile_ad_id" else plain_text.strip(INVISIBLE)


def names_several(text: str) -> bool:
    """Return True if a cell holds more than one e-mail address or phone number."""
    if "@" in text or "\uff20" in text:
        return unicodedata.normalize("NFKC", text).count("@") > 1 and not email(text)
    return any(_is_long_number(part) for part in _phone_parts(text)[1:])


def separate_addresses(text: str) -> list[str]:
    """Return each e-mail address or phone number of a cell that may hold several.

    >>> separate_addresses("a@example.com; b@example.com"), separate_addresses("030/1234567")
    (['a@example.com', 'b@example.com'], ['030/1234567'])
    """
    if not names_several(text):
        return [text]
    if "@" in (compatible := unicodedata.normalize("NFKC", text)):
        return [part for part in _BETWEEN_EMAILS.split(compatible) if "@" in part]
    return [part for part in _phone_parts(text) if _is_long_number(part)]


def _phone_parts(text: str) -> list[str]:
    """What stands between the signs that separate phone numbers."""
    parts = _BETWEEN_PHONES.split(unicodedata.normalize("NFKC", text))
    for pattern in _BETWEEN_WHOLE_PHONES:
        split_parts = [(part, pattern.split(part)) for part in parts]
        parts = [
            number
            for part, numbers in split_parts
            for number in (numbers if all(map(_is_whole_number, numbers)) else [part])
        ]
    return parts


def _is_long_number(text: str) -> bool:
    return sum(sign.isdigit() for sign in text) > 6


def _is_whole_number(text: str) -> bool:
    """Return True for a number with its area: it begins so, or has ten digits."""
    starts_anew = text.lstrip(" (").startswith(("+", "0"))
    return _is_long_number(text) and (starts_anew or sum(map(str.isdigit, text)) >= 10)


def phone_digits(text: str) -> str:
    """International form without the plus sign."""
    return phone(text).removeprefix("+")


def name(text: str) -> str:
    """Lower case, with single inner spaces."""
    return " ".join(text.strip().lower().split())


def letters(text: str) -> str:
    """Lower-case letters and digits, with accents."""
    return "".join(sign for sign in text.strip().lower() if sign.isalnum())


def country(text: str) -> str:
    """Two-letter code in lower case; empty for any other text."""
    code = text.strip().lower()
    return code if re.fullmatch("[a-z]{2}", code) else ""


def country_upper(text: str) -> str:
    """Two-letter code in upper case; empty for any other text."""
    return country(text).upper()


def postal_code(text: str) -> str:
    """Lower case without spaces; the first five digits of a US code with an extension."""
    code = text.strip().lower().replace(" ", "")
    return code[:5] if re.fullmatch(r"\d{5}-\d{4}", code) else code


def _trimmed(text: str) -> str:
    """Trimmed."""
    return text.strip()


FORMS: Mapping[str, Callable[[str], str]] = {
    "text": _trimmed,
    "email": email,
    "phone": phone,
    "phone_digits": phone_digits,
    "name": name,
    "letters": letters,
    "country": country,
    "country_upper": country_upper,
    "postal_code": postal_code,
    "lower": lambda text: text.strip().lower(),
}


def sha256_of_text(text: str) -> str:
    """Hexadecimal SHA-256 of the UTF-8 text, as advertising tools expect; empty stays empty."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest() if text else ""
