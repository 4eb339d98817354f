"""Channels and purposes as tables name them -> one spelling of each."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import pandas as pd

from features.config.customers import ADS, ALL, PROFILING
from features.errors import UserError
from features.sources.keys import INVISIBLE

# Channels of playbooks -> the consent that covers them; others are asked for by their own name.
CONSENT_FOR = {
    "mobile_push": "push",
    "web_push": "push",
    "text": "sms",
    "sales_call": "call",
    "letter": "direct_mail",
    "paid_social": ADS,
    "paid_search": ADS,
}
# The customer asks, or nobody is contacted.
NO_CONSENT_NEEDED = ("on_site", "support_task", "chat")
KNOWN = ("email", "sms", "push", "call", "direct_mail", ADS, PROFILING, ALL, *NO_CONSENT_NEEDED)
SPELLINGS = {"e_mail": "email", "text_message": "sms", "any": ALL, "every": ALL, "*": ALL}


def consent_channel(channel: str) -> str:
    """The channel or purpose whose consent covers a channel."""
    return CONSENT_FOR.get(channel, channel)


def channel_names(
    texts: pd.Series[Any], config_place: str, further: Collection[str] = ()
) -> pd.Series[Any]:
    """Channels and purposes of cells, whatever their case and blanks; None where a cell is empty.

    Parameters
    ----------
    texts
        Cells.
    config_place
        For the message.
    further
        Channels beside those that are built in.

    Raises
    ------
    UserError
        For a name that is no channel: a refusal in it would not be heard.
    """
    spelled_names = texts.dropna().astype(str).map(_spelled)
    spelled_names = spelled_names.where(spelled_names != "", None)
    allowed_names = {*KNOWN, *further}
    unknown_names = spelled_names.dropna()[~spelled_names.dropna().isin(allowed_names)]
    if len(unknown_names):
        examples = ", ".join(map(repr, sorted(set(unknown_names))[:5]))
        raise UserError(
            config_place,
            found=f"{len(unknown_names)} rows of unknown channels: {examples[:200]}",
            expected=f"of: {', '.join(sorted(allowed_names))}; an empty cell means every channel",
            mend="correct the names, or declare your own: channels: [fax]",
        )
    return (
        spelled_names.reindex(texts.index).astype(object).where(lambda found: found.notna(), None)
    )


def _spelled(text: str) -> str:
    plain_text = re.sub(r"[\s_-]+", "_", text.strip(INVISIBLE).casefold())
    channel = SPELLINGS.get(plain_text, plain_text)
    return consent_channel(channel)
