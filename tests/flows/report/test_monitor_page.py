"""The monitor's page: whatever event types, columns and notes are called, it is text on a page."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from flows.report.monitor_page import render_monitor_page
from models.monitoring.findings import Finding
from models.monitoring.monitor import Observed, Reference

EVIL = ("<img src=x onerror=alert(1)>", "</svg><script>alert(1)</script>", "&quot;><b>",
    "$\\bad{$", "$$",
        "a$b$c", "]]>", "--><script>alert(1)</script>", "{x}", "%s", "\u202eevil")  # fmt: skip


def observed(event_type: str) -> Observed:
    days = np.arange(19_000, 19_100)
    counts = pd.DataFrame({"event_type": event_type, "day": days, "known_day": days, "count": 5})
    nobody = pd.DataFrame({"stage": pd.Series([], dtype="str")})
    buyers = counts[["day", "known_day", "count"]]
    return Observed(19_100, 19_099, nobody, nobody, counts, buyers, np.full(100, 50))


@pytest.mark.parametrize("text", EVIL)
def test_no_text_of_the_data_breaks_out_of_the_monitors_page(text: str) -> None:
    findings = [
        Finding("volume", text, "change over 7 days", 0.1, 1.0, 0.5, 0.001, True, text),
        Finding("freshness", text, text, None, None, 2.0, None, False, text),
    ]
    written = render_monitor_page(text, findings, observed(text), Reference(19_000, (), (), (), {}))
    written = re.sub("<!--.*?-->", "", written, flags=re.DOTALL)
    tags = set(re.findall(r"<\s*([a-zA-Z]+)", written))
    assert not tags & {"img", "script", "b", "iframe"}
    assert written.count("</html>") == 1
    assert not re.search(r"<[^>]*\sonerror", written)
