"""Canonical names of channels and consent purposes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from features.config.customers import ADS, ALL, PROFILING
from features.errors import UserError
from features.sources.keys import fold_word

# Playbook channel -> the consent that covers it; other channels need consent of their own name.
_CONSENT_FOR = {
    "mobile_push": "push",
    "web_push": "push",
    "text": "sms",
    "sales_call": "call",
    "letter": "direct_mail",
    "paid_social": ADS,
    "paid_search": ADS,
}
# The customer starts the contact, or no contact happens.
NO_CONSENT_NEEDED = ("on_site", "support_task", "chat")
_KNOWN = ("email", "sms", "push", "call", "direct_mail", ADS, PROFILING, ALL, *NO_CONSENT_NEEDED)
# Channels that a playbook may name without a declaration.
CONTACT_CHANNELS = (
    *(name for name in _KNOWN if name not in (ADS, PROFILING, ALL)),
    *_CONSENT_FOR,
)
# Channels through which messages reach a customer and are answered.
MESSAGE_CHANNELS = ("email", "sms", "push", "whatsapp")
_SPELLINGS = {"e_mail": "email", "text_message": "sms", "any": ALL, "every": ALL, "*": ALL}


def consent_channel(channel: str) -> str:
    """Return the channel or purpose whose consent covers a channel."""
    return _CONSENT_FOR.get(channel, channel)


def channel_names(
    texts: pd.Series[Any], config_place: str, further: Collection[str] = ()
) -> pd.Series[Any]:
    """Parse cells into channels and purposes, ignoring case and blanks; None if empty.

    Parameters
    ----------
    texts
        Cells.
    config_place
        Place of the column in the config, for the error.
    further
        Channels in addition to the built-in ones.

    Raises
    ------
    UserError
        For an unknown channel: a refusal of it would be ignored.
    """
    spelled_names = texts.dropna().astype(str).map(_spelled)
    spelled_names = spelled_names.where(spelled_names != "", None)
    allowed_names = {*_KNOWN, *further}
    unknown_names = spelled_names.dropna()[~spelled_names.dropna().isin(allowed_names)]
    if len(unknown_names):
        examples = ", ".join(map(repr, sorted(set(unknown_names))[:5]))
        raise UserError(
            config_place,
            found=f"{len(unknown_names)} rows of unknown channels: {examples[:200]}",
            expected=f"of: {', '.join(sorted(allowed_names))}; an empty cell means every channel",
            hint="correct the names, or declare your own: channels: [fax]",
        )
    return (
        spelled_names.reindex(texts.index).astype(object).where(lambda found: found.notna(), None)
    )


def _spelled(text: str) -> str:
    plain_text = fold_word(text)
    channel = _SPELLINGS.get(plain_text, plain_text)
    return consent_channel(channel)
