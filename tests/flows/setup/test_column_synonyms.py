"""Names of columns and event types, as exports have them."""

from __future__ import annotations

import pytest

from flows.setup import column_synonyms
from flows.setup.column_synonyms import role_of, snake_case, synonym_rank


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("page_view", "touch"),
        ("Product Viewed", "touch"),
        ("email_open", "touch"),
        ("review", "advocacy"),
        ("order_completed", "purchase"),
        ("Order Cancelled", None),
        ("payment_failed", None),
        ("subscription_cancelled", "cancel"),
        ("add_to_cart", "intent"),
        ("checkout_started", "intent"),
        ("checkout_completed", "purchase"),
        ("message_sent", "sent"),
        ("unsubscribed", None),
        ("sign_up", "lead"),
        ("refund", "refund"),
        ("Retoure", "refund"),
        ("coupon_redeemed", "redemption"),
        ("support_ticket", "support"),
        ("nps", "survey_nps"),
    ],
)
def test_event_types_get_the_role_that_their_name_tells(name: str, role: str | None) -> None:
    assert role_of(name) == (True, role)


def test_what_no_name_tells_is_not_guessed() -> None:
    assert role_of("frobnicated") == (False, None)


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("CustomerID", column_synonyms.CUSTOMER),
        ("Customer ID", column_synonyms.CUSTOMER),
        ("household_id", column_synonyms.CUSTOMER),
        ("Kundennummer", column_synonyms.CUSTOMER),
        ("clientId", column_synonyms.CUSTOMER),
        ("InvoiceDate", column_synonyms.TIME),
        ("Bestelldatum", column_synonyms.TIME),
        ("created_at", column_synonyms.TIME),
        ("transaction_timestamp", column_synonyms.TIME),
        ("sales_value", column_synonyms.VALUE),
        ("Betrag", column_synonyms.VALUE),
        ("UnitPrice", column_synonyms.UNIT_PRICE),
        ("InvoiceNo", column_synonyms.ORDER),
        ("basket_id", column_synonyms.ORDER),
        ("event_name", column_synonyms.EVENT_TYPE),
    ],
)
def test_columns_are_recognised_however_they_are_written(
    name: str, patterns: tuple[str, ...]
) -> None:
    assert synonym_rank(name, patterns) is not None


@pytest.mark.parametrize("name", ["birth_date", "updated_at", "shipped_at", "signup_date"])
def test_times_of_something_else_are_not_those_of_the_event(name: str) -> None:
    assert synonym_rank(name, column_synonyms.NOT_TIME) is not None


@pytest.mark.parametrize(
    ("name", "personal"),
    [
        ("first_name", True),
        ("Email", True),
        ("shipping_address", True),
        ("gender", True),
        ("product_name", False),
        ("campaign_name", False),
        ("brand", False),
    ],
)
def test_what_is_told_of_people_is_known(name: str, personal: bool) -> None:
    assert bool(column_synonyms.PERSONAL.search(snake_case(name))) == personal
