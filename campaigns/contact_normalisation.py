"""Contact keys in the forms that receiving tools document: normalised, and hashed where asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

EMAIL = re.compile(r"^[^@\s,;]+@[^@\s,;]+\.[^@\s,;]+$")
# E.164: at most 15 digits, the first not 0. Simulated numbers of country 000 fall outside.
E164 = re.compile(r"^\+[1-9]\d{6,14}$")


def email(text: str) -> str:
    """Trimmed and lower case; empty where it is no address."""
    found = text.strip().lower()
    return found if EMAIL.match(found) else ""


def phone(text: str) -> str:
    """International form ``+COUNTRYNUMBER``; empty where it has no country code or is no number."""
    cleaned = re.sub(r"[\s().\-/]", "", text.strip())
    if cleaned.startswith("00"):
        cleaned = "+" + cleaned[2:]
    return cleaned if E164.match(cleaned) else ""


def phone_digits(text: str) -> str:
    """The international form without its sign."""
    return phone(text).removeprefix("+")


def name(text: str) -> str:
    """Trimmed, lower case, without inner spaces at the ends of hyphens."""
    return " ".join(text.strip().lower().split())


def letters(text: str) -> str:
    """Lower case letters and digits only, accents kept."""
    return "".join(sign for sign in text.strip().lower() if sign.isalnum())


def country(text: str) -> str:
    """Two-letter code in lower case; empty where it is something else."""
    found = text.strip().lower()
    return found if re.fullmatch("[a-z]{2}", found) else ""


def country_upper(text: str) -> str:
    """Two-letter code in upper case; empty where it is something else."""
    return country(text).upper()


def postal_code(text: str) -> str:
    """Lower case without spaces; of a US code with an extension its first five digits."""
    found = text.strip().lower().replace(" ", "")
    return found[:5] if re.fullmatch(r"\d{5}-\d{4}", found) else found


def plain(text: str) -> str:
    """Trimmed."""
    return text.strip()


FORMS: Mapping[str, Callable[[str], str]] = {
    "text": plain,
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


def sha256(text: str) -> str:
    """Hexadecimal SHA-256 of the UTF-8 text, as advertising tools ask for it; empty stays empty."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest() if text else ""
