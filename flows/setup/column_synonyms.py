"""Words by which columns and event types are recognised, in the exports of shops and tools."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Of each kind the patterns in order: the earlier one matches, the surer the guess.
CUSTOMER = (
    r"(customer|client|user|member|household|shopper|buyer|cust|kunden?|cliente?)_?"
    r"(id|no|nr|num|number|key|code|ref|nummer|uuid|hash)",
    r"customer|client|user|member|household|shopper|buyer|kunde|cliente",
    r"(account|contact|person|subscriber|profile|card|loyalty)_?(id|no|nr|number|key|uuid)",
    r"(customer|user|client|member|kunden?)_.*(id|key|no|nr|number|nummer)",
)
EMAIL = (r"(customer_|user_|contact_)?e?_?mail(_address)?",)
ANONYMOUS = (r"(anonymous|visitor|device|cookie)_?(id|uuid|key)",)
_DOING = "occurred|event|order|purchase|transaction|invoice|sale|sales|bestell|buchungs?|rechnungs?"
TIME = (
    rf"({_DOING})_?(at|date|time|datetime|date_time|timestamp|ts|datum|zeit|day|placed_at)",
    r"at|date|time|datetime|date_time|timestamp|ts|datum|day|zeit|zeitpunkt|fecha",
    r"(created|placed|completed|processed|paid|sent|visited|clicked|happened)_?(at|on|date|time|ts)?",
    r".*(date|time|timestamp|datum|zeitpunkt|_at|_on|_ts|_day)",
)
NOT_TIME = (
    r".*(updat|modif|birth|dob|sign_?up|regist|join|load|ingest|record|known|expir|delet|ship"
    r"|deliver|due|^end|_end|first|last|prev|next|zone).*",
)
KNOWN = (r".*(loaded|ingested|recorded|received|imported|synced|known)_?(at|on|date|time|ts)",)
VALUE = (
    r"(line|item|position)s?_?(total|amount|value|revenue|sales|betrag|summe)",
    r"(order|basket|invoice|grand|transaction|sales?)_?(total|amount|value|revenue|sum|betrag)",
    r"amount|total|revenue|sales|net_sales|spend|betrag|umsatz|summe|gesamt(betrag|preis)?|turnover"
    r"|(total|net|gross)_?(price|amount|sales|value)?|value|importe",
    r".*(amount|total|revenue|value|betrag|umsatz|sales).*",
    r".*(price|preis|paid).*",
)
NOT_VALUE = (
    r".*(tax|vat|mwst|shipping|freight|discount|cost|fee|coupon|point|tip|score|count|avg|mean|rate"
    r"|currency|_id|_at|_date|time|status|type).*",
)
UNIT_PRICE = (r"(unit|item|single|piece|each|list)?_?(price|preis)|(einzel|stueck|stück)_?preis",)
QUANTITY = (r"quantity|qty|units?|menge|anzahl|pieces|items|cds|.*(quantity|_qty)",)
ORDER = (
    r"(order|basket|invoice|transaction|receipt|ticket|cart|checkout|purchase|sale|booking|bestell"
    r"|bestellung|rechnungs?|auftrags?|bon)s?_?(id|no|nr|num|number|nummer|key|ref|code|name)",
    r"order|basket|invoice|receipt|bon",
)
EVENT_TYPE = (
    r"(event|action|activity|interaction|engagement|transaction)_?(type|name|kind|category)",
    r"event|action|activity|interaction",
    r"(record|order|financial|payment)?_?(type|kind|status)|verb|art",
)
EVENT_ID = (r"(event|line|row|record|message|hit|interaction|order_line)_?(id|uuid|no|number|nr)",)
SESSION = (r"(session|visit)_?(id|key|no)?",)
CHANNEL = (r"channel|sales_channel|kanal|medium|utm_medium",)
MACHINE = (r"(is_)?(bot|machine|robot|automated)",)
CURRENCY = (r"currency(_code)?|währung|waehrung",)
# Told of people; never an attribute, since attributes reach features, reasons and exports.
PERSONAL = re.compile(
    r"mail|phone|mobile|telefon|(^|^customer_|^user_|first_?|last_?|full_?|sur|nach|vor|contact_?"
    r"|billing_?|shipping_?)name$|address|street|stra(ss|ß)e|(^|_)(zip|plz|postcode|postal)"
    r"|birth|dob|(^|_)ssn|iban|(^|_)card|(^|_)ip$|gender|(^|_)sex$|geschlecht|religio|ethnic"
    r"|password|latitude|longitude|comment|note|message_text|(^|_)age$"
)

# The first that matches an event type's name says its role; None: to be left out.
_ROLES: tuple[tuple[str | None, str], ...] = (
    (None, r"fail|error|declin|pending|on_hold|draft|test|abandon|expired"),
    ("touch", r"(^|_)(view|viewed|click|clicked|opene?d?|visit|visited)$"),
    ("refund", r"refund|return|charge_?back|credit_?note|retoure|storno|gutschrift"),
    (None, r"(order|purchase|payment|checkout|booking).*(cancel|void)|unsubscri|bounce"),
    ("cancel", r"cancel|churn|terminat|kuendig|kündig|account_(closed|deleted)"),
    ("complaint", r"complain|beschwerde|reklamation"),
    ("survey_nps", r"(^|_)nps"),
    ("survey_csat", r"csat"),
    (
        "purchase",
        r"^purchase|order(s|ed)?$|order_(plac|complet|paid|creat|shipp|fulfil)|^sales?$|^bought|^buy$"
        r"|^transactions?$|^payments?$|check_?out_complet|^paid$|^completed?$|^shipped$|^delivered$"
        r"|^fulfilled$|^closed$|^invoices?$|kauf|bestellung|^success",
    ),
    ("intent", r"cart|check_?out|quote|demo|trial|wish_?list|basket"),
    ("redemption", r"redeem|redempt|coupon_us|voucher"),
    ("advocacy", r"referr|review|shar|recommend"),
    ("sent", r"sent$|sends?$|delivered$|impression|mailing|campaigns?$"),
    ("lead", r"sign_?up|regist|lead|form|newsletter|subscribed?$|download|opt_in"),
    ("support", r"support|ticket|case_|call|help|chat"),
    ("touch", r"view|visit|page|click|open|session|log_?in|search|browse|scroll|play|app_|web"),
)


def snake_case(name: str) -> str:
    """A column's name in lower case, its words parted by underscores."""
    parted = re.sub(r"(?<=[a-zß-ÿ0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^0-9a-zß-ÿ]+", "_", parted.lower()).strip("_")


def synonym_rank(name: str, patterns: Sequence[str]) -> int | None:
    """Place of the first pattern that a column's whole name matches; None where none does."""
    plain = snake_case(name)
    for place, pattern in enumerate(patterns):
        if re.fullmatch(pattern, plain) or re.fullmatch(pattern, plain.replace("_", "")):
            return place
    return None


def role_of(event_type: str) -> tuple[bool, str | None]:
    """Whether an event type's name is recognised, and its role (None: it should be left out)."""
    plain = snake_case(event_type)
    for role, pattern in _ROLES:
        if re.search(pattern, plain):
            return True, role
    return False, None
