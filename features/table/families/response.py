"""Campaign response: what customers did about what was sent to them."""

from __future__ import annotations

from functools import partial

import numpy as np

from features.arrays import Array
from features.table.families.feature import Feature, FeatureSpec, View

ANSWERS = ("touch", "redemption", "purchase")


def _per_send(view: View, role: str, days: int) -> Array:
    sent = view.last("sent", days).count
    return np.where(sent > 0, view.last(role, days).count / np.maximum(sent, 1), np.nan)


def _since_send(view: View, role: str) -> Array:
    """Events of a role after the last send, on its day or later."""
    last_sent = view.last("sent", 0).last_day
    lifetime = view.last(role, 0)
    until_send = type(lifetime)(lifetime.rows, lifetime.lo, last_sent)
    return np.where(view.last("sent", 0).count > 0, lifetime.count - until_send.count, np.nan)


def response(spec: FeatureSpec) -> list[Feature]:
    """Responses per send in every window, and since the last send."""
    if "sent" not in spec.roles:
        return []
    features: list[Feature] = []
    for role in (r for r in ANSWERS if r in spec.roles):
        for days in (*(w for w in spec.windows if w >= 30), 0):
            name, span_words = (f"{days}d", f"in {days} days") if days else ("all", "so far")
            features.append(
                Feature(f"response__{role}_per_send_{name}", "ratio",
                        f"{role} events per message sent {span_words}",
                        partial(_per_send, role=role, days=days), "nothing was sent", days or None)
            )  # fmt: skip
        features.append(
            Feature(f"response__{role}_since_send", "events",
                    f"{role} events since the last message", partial(_since_send, role=role),
                    "nothing was sent")
        )  # fmt: skip
    return features
