"""Words by which columns and event types are recognised, in the exports of shops and tools."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from flows.setup import foreign_words

# Of each kind the patterns in order: the earlier one matches, the surer the guess.
CUSTOMER = (
    r"(customer|client|user|member|household|shopper|buyer|cust|kunden?|cliente?)_?"
    r"(id|no|nr|num|number|key|code|ref|nummer|uuid|hash)",
    r"customer|client|user|member|household|shopper|buyer|kunde|cliente",
    r"id_(customer|client|user|member|buyer|contact)",
    r"(customer|client|user|member|buyer|consumer)_?(user_?name|login|handle|names?|contacts?)",
    r"payer|payee|purchaser|patron|(customer|client|member|loyalty|bonus)s?_?card|(bill|sold)_?to"
    r"|bought_by|ordered_by|paid_by",
    r"(account|contact|person|subscriber|profile|card|loyalty)_?(id|no|nr|number|key|uuid)",
    r"(customer|user|client|member|kunden?)_.*(id|key|no|nr|number|nummer)",
    *foreign_words.CUSTOMER,
    r"(donor|patient|guest|tenant|subscriber|player|student|pupil|learner|parent|resident|attendee"
    r"|supporter|reader|passenger|traveller|owner|lead|company|organi[sz]ation|account|debtor|party)"
    r"(_?(id|no|nr|number|ref|key|uuid|name|card))?|particulars|(other|counter)_?party(_info)?",
    r"(kunden?|mitglieds?|bonus|treue|stamm_?kunden?)_?karten?(_?(nr|nummer|id))?|debitor(_?(nr|nummer))?",
    r"(distinct|c|u|m)_?id|cust|usr|user_?name|login|who|phone(_number)?|msisdn",
)
EMAIL = (
    r"(customer_|user_|contact_|buyer_|billing_|payer_)?e?_?mail(_address)?",
    *foreign_words.EMAIL,
)
ANONYMOUS = (r"(anonymous|visitor|device|cookie)_?(id|uuid|key)",)
_DOING = (
    "occurred|event|order|ord|purchase|transaction|trans|tran|trx|txn|invoice|inv|sale|sales|receipt"
    "|payment|posting|booking|check_?in|bestell|buchungs?|rechnungs?"
)
TIME = (
    rf"({_DOING})_?(at|date|dt|time|datetime|date_time|timestamp|ts|datum|zeit|day|placed_at)",
    r"at|date|dt|time|datetime|date_time|timestamp|ts|datum|day|zeit|zeitpunkt|fecha",
    r"(created|placed|completed|processed|paid|sent|visited|clicked|happened)_?(at|on|date|time|ts)?",
    *foreign_words.TIME,
    r".*(date|time|timestamp|datum|zeitpunkt|_at|_on|_ts|_day)",
)
CLOSED = (r".*(close|closed|closing|won)(_?(at|on|date|time|ts))?", *foreign_words.CLOSED)
NOT_TIME = (
    rf".*({foreign_words.NOT_TIME}).*",
    r".*(updat|modif|birth|dob|sign_?up|regist|join|load|ingest|record|known|expir|delet|ship"
    r"|deliver|due|^end|_end|first|last|prev|next|zone).*",
)
KNOWN = (r".*(loaded|ingested|recorded|received|imported|synced|known)_?(at|on|date|time|ts)",)
VALUE = (
    r"(amount|total|sum)_?paid|paid_?(amount|total|sum)",
    r"(line|item|position)s?_?(total|amount|value|revenue|sales|betrag|summe)",
    r"(order|basket|invoice|grand|transaction|sales?)_?(total|amount|value|revenue|sum|betrag)",
    r"amount|total|sum|revenue|sales|net_sales|spend|spent|paid|charged|betrag|umsatz|summe|gesamt(betrag|preis)?|turnover"
    r"|(total|net|gross)_?(price|amount|sales|value)?|value|importe",
    r"(gross|net|total)_?(donations?|gifts?|contributions?|pledges?|received|fare|rent)"
    r"|donations?|contributions?|pledges?",
    r"(net|gross|total|order|sales?|purch(ase)?|paid|line)?_?amt|rev|gmv|turnover_.*",
    *foreign_words.VALUE,
    r".*(amount|total|revenue|value|betrag|umsatz|sales|mrr).*",
    r".*(price|preis|paid).*",
)
NOT_VALUE = (
    r".*(tax|vat|mwst|shipping|freight|discount(?!ed)|cost|fee|coupon|point|tip|score|count|avg|mean|rate"
    r"|currency|_id|_at|_date|time|status|type|refund|credit|balance|churn|limit|arr_|life).*",
    r"(.*_)?(aid|gst|iva|tva|moms|btw|ust|steuer|postage|porto|delivery|versand(kosten)?|despacho"
    r"|envio|frete|livraison|commission|provision|rabatt|descuento|desconto|remise|sconto|korting"
    r"|skonto|kurs|cambio|saldo|trinkgeld|propina|deposit|מע_מ|הנחה|ضريبة|خصم|thue|giam_gia|kdv|indirim|alv"
    r"|dph|pdv|afa|rabat|sleva|alennus|kedvezmeny|割引|税額|消費税|送料|할인|배송비|부가세|ส่วนลด|ภาษี|kargo"
    r"|wysylka|doprava|szallitas|fracht|phi_van_chuyen|折扣|优惠|运费|points?|punkt[ey]|puan)(_.*)?",
)
# What follows in a name says with or without what an amount is.
_WITH_TAX = re.compile(
    r"_(incl?|inclusive|including|excl?|exclusive|excluding|inkl|exkl|before|after|with|without|mit"
    r"|ohne|avec|hors|con|sin|med|utan|bez)_.*$"
)
# The two columns of a ledger: what left the account, and what came in.
DEBIT = (
    r"(total_|amount_?)?(debits?|debet|withdrawals?|withdrawn|paid_?out|money_?out|outflow|spendings?"
    r"|charges?)(_?(amount|amt|value|total))?",
    r"soll|belastung(en)?|ausgang|ausgaben|lastschrift|debe|cargos?|retiros?|addebit[io]|dare|uscite"
    r"|uitgaven|af|debito|debitos|debit_?e(ur)?|saida|расход|списание|借方|出金|支出",
)
CREDIT = (
    r"(total_|amount_?)?(credits?|deposits?|deposited|paid_?in|money_?in|inflow|payments?|received)"
    r"(_?(amount|amt|value|total))?",
    r"haben|gutschrift(en)?|eingang|einnahmen|haber|abonos?|ingresos?|accredit[io]|avere|entrate"
    r"|inkomsten|bij|credito|creditos|credit_?e(ur)?|entrada|приход|зачисление|貸方|入金|收入",
)
# What was paid back of the amount in the same row.
REFUNDED = (
    r"(order|line|total|amount)?_?(refunded|refund|refunds|returned)_?(amount|total|value|sum)?",
    r"(refunded|refund)_?(amount|total|value|sum)_?.*|.*_(refunded|refund_amount)",
    r"erstattet(er)?_?(betrag)?|erstattungs?_?betrag|rueckerstattung|montant_?rembourse"
    r"|importe_?(reembolsado|devuelto)|reembolso|terugbetaald(_?bedrag)?|importo_?rimborsato",
    rf"\w*({foreign_words.BACK})\w*",
)
UNIT_PRICE = (
    r"(unit|item|single|piece|each|list)?_?(price|preis)"
    r"|price_?(each|per_?(unit|piece|item|article))|(einzel|stueck|stuck)_?preis",
    *foreign_words.UNIT_PRICE,
)
QUANTITY = (
    r"quantity|qty|units?|menge|anzahl|pieces|items|cds|.*(quantity|_qty)",
    *foreign_words.QUANTITY,
)
ORDER = (
    r"(order|basket|invoice|transaction|receipt|ticket|cart|checkout|purchase|sale|booking|bestell"
    r"|bestellung|rechnungs?|auftrags?|bon|deal|opportunity|gift|donation|bill|reservation|rental)s?_?"
    r"(id|no|nr|num|number|nummer|key|ref|code|name)",
    r"order|basket|invoice|receipt|bon|id_(order|invoice|cart|booking)",
    r"(ord|inv|txn|trans|tran|trx|rcpt|chk)_?(id|no|nr|num|number|ref)|oid|txn|trx|doc(ument)?_?(no|nr|number)",
    *foreign_words.ORDER,
)
# Ids that say what a table is about: its rows are no orders.
CASE_ID = (r"(ticket|case|issue|complaint|incident|request|conversation|churn|cancellation|event)s?"
           r"(_event)?_?(id|no|nr|number|key|ref)",)  # fmt: skip
EVENT_TYPE = (
    r"(event|action|activity|interaction|engagement|transaction)_?(type|name|kind|category)",
    r"event|evt|action|activity|interaction",
    r"(record|order|entry|posting|booking|document|doc|invoice|voucher|trans|tran|trx|txn|sales?"
    r"|receipt|movement|gift|donation|contribution|charge|line|row)?_?(type|kind)|verb|art",
    *foreign_words.EVENT,
)
STATUS = (
    r"(financial|payment|order|deal|opportunity|sales?|booking|invoice|subscription|transaction)_?"
    r"(status|state|stage|outcome|result)",
    r"status|stage|stage_?name|(pipeline|lead)_?(stage|status)|outcome|result|state",
    *foreign_words.STATUS,
    r".*_?(status|stage|zustand|situacao)",
)
EVENT_ID = (r"(event|line|row|record|message|hit|interaction|order_line)_?(id|uuid|no|number|nr)",)
SESSION = (r"(session|visit)_?(id|key|no)?",)
CHANNEL = (r"channel|sales_channel|kanal|medium|utm_medium",)
MACHINE = (r"(is_)?(bot|machine|robot|automated)",)
CURRENCY = (
    r"cur(rency)?(_code)?|ccy|wahrung|waehrung|presentment_currency",
    *foreign_words.CURRENCY,
)
# What was known only after the event: as an attribute it would tell the future.
OUTCOME = re.compile(
    r"churn|cancel|return|refund|charge_?back|disput|(^|_)(is_)?(active|won|lost|closed)$|status$"
    r"|^(deal_|order_|subscription_)?(state|stage)(_name)?$|outcome|result$|resolv|reason"
    r"|satisf|deliver(ed|y_(date|at|time))|expir|(^|_)ended?(_|$)|(up|down)grade|auto_?renew"
    r"|tenure|last_|next_|lifetime|days_(since|to)"
)
# Told of people; never an attribute, since attributes reach features, reasons and exports.
PERSONAL = re.compile(
    r"mail|phone|mobile|telefon|(^|^customer_|^user_|first_?|last_?|full_?|sur|nach|vor|contact_?"
    r"|billing_?|shipping_?)name$|address|street|stra(ss|ß)e|(^|_)(zip|plz|postcode|postal)"
    r"|birth|dob|(^|_)ssn|iban|(^|_)card|(^|_)ip$|gender|(^|_)sex$|geschlecht|religio|ethnic"
    r"|password|latitude|longitude|comment|note|message_text|(^|_)age$"
)

# The first that matches an event type's name says its role; None: to be left out.
_ROLES: tuple[tuple[str | None, str], ...] = (
    (None, r"fail|error|declin|pending|on_hold|draft|(^|_)test|abandon|expired|(^|_)lost$"),
    (None, r"salary|deposit|interest|top_?up|withdraw|transfer|payout|(^|_)fees?$"),
    ("touch", r"(^|_)(view|viewed|click|clicked|opene?d?|visit|visited)$"),
    (
        "refund",
        r"refund|return|charge_?back|credit_?(note|memo)|retoure|storno|gutschrift"
        rf"|(^|_)({foreign_words.CREDIT_NOTE})|(^|_)({foreign_words.BACK})",
    ),
    (None, r"(order|purchase|payment|checkout|booking).*(cancel|void)|unsubscri|bounce"),
    ("cancel", r"cancel|churn|terminat|kuendig|kündig|account_(closed|deleted)"),
    (
        "support",
        r"^(support|tickets?|cases?|issues?|incidents?|help_?desk|zendesk|service_requests?)",
    ),
    ("complaint", r"complain|beschwerde|reklamation"),
    ("survey_nps", r"(^|_)nps"),
    ("survey_csat", r"csat"),
    (
        "purchase",
        r"^purchase|(^|_)purchases?$|order(s|ed)?$|(^|_)(deals?|opportunit(y|ies)|gifts?|donations?"
        r"|bookings?|reservations?|rentals?|subscriptions?|won)$|_sales$|order_(plac|complet|paid|creat|shipp|fulfil)|^sales?$|^bought|^buy$"
        r"|^transactions?$|^payments?$|check_?out_complet|^paid$|^completed?$|^shipped$|^delivered$"
        r"|^fulfilled$|^closed$|^(tax_)?invoices?$|kauf|bestellung|^success"
        rf"|^({foreign_words.INVOICE})$",
    ),
    ("intent", r"cart|check_?out|quote|demo|trial|wish_?list|basket"),
    ("redemption", r"redeem|redempt|coupon_us|voucher"),
    ("advocacy", r"referr|review|shar|recommend"),
    ("sent", r"sent$|sends?$|delivered$|impression|mailing|campaigns?$"),
    ("lead", r"sign_?up|regist|lead|form|newsletter|subscribed?$|download|opt_in"),
    ("support", r"support|ticket|case_|call|help|chat"),
    (
        "touch",
        r"view|visit|page|click|open|session|log_?in|search|browse|scroll|play|app_|web|usage"
        r"|screen|engagement",
    ),
)

# The end of the name of an amount in cents.
MINOR_UNITS = re.compile(r"(?<=[a-z])_?(in_)?(cents|pence|pennies|minor(_units)?|centimes)$")

# What a name of an amount may end in: total_eur, Price (USD), Belopp i kr.
_CURRENCY_BEHIND = re.compile(
    r"_(?:i_|in_|w_|en_|v_)?(?:aed|ars|aud|bgn|brl|cad|chf|clp|cny|cop|czk|dkk|egp|eur|euros?|gbp|hkd"
    r"|huf|idr|ils|inr|jpy|krw|mxn|myr|ngn|nis|nok|nzd|pen|php|pkr|pln|ron|rsd|rub|sar|sek|sgd|thb"
    r"|try|twd|uah|usd|vnd|zar|kes|kr|zl|kc|ft|tl|rs|dollars?|dong|yen|won|baht|lei|din|руб|грн|лв"
    r"|円|元|원|บาท|ש_ח|ج_م)$"
)
_CODE_NAMES = re.compile(
    r"(^|_)(id|nr|no|num|number|nummer|code|key|ref|card|uhid|mrn)$|.*(id|nr)$"
    r"|^(id|nr|no|num|nummer|numero|cislo|kod|code)_"
    r"|^(rut|run|dni|nif|cif|nie|cuit|cuil|cpf|cnpj|rfc|nip|inn|инн|afm|gstin)(_|$)"
)
# Letters that are no letter with an accent.
_LETTERS = str.maketrans({"ß": "ss", "ł": "l", "ø": "o", "æ": "ae", "ı": "i", "đ": "d", "œ": "oe"})


def snake_case(name: str) -> str:
    """A column's name in lower case, its words parted by underscores."""
    parted = re.sub(r"(?<=[a-zß-ÿ0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^0-9a-zß-ÿ]+", "_", parted.lower()).strip("_")


def plain_name(name: str) -> str:
    """A name in lower case without accents, its words parted by underscores; any script."""
    parted = re.sub(r"(?<=[a-zß-ÿ0-9])(?=[A-Z])", "_", name.strip())
    letters = unicodedata.normalize("NFKD", parted.lower().translate(_LETTERS))
    latin = unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", letters))
    if not latin.isascii():
        latin = latin.replace("\u0e4d\u0e32", "\u0e33")  # a Thai vowel that NFKD takes apart
        latin = "".join(sign if _is_letter(sign) else "_" for sign in latin)
    return re.sub(r"[^\w\u0900-\u0e7f]+|_+", "_", latin).strip("_")


def _is_letter(sign: str) -> bool:
    """Whether a sign belongs to a word: vowels of Thai and Hindi are marks, and no letters."""
    return sign.isalnum() or unicodedata.category(sign) in ("Mn", "Mc")


def names_currency(plain: str) -> bool:
    """Whether a plain name ends in a currency: total_eur."""
    return _CURRENCY_BEHIND.search(plain) is not None


def is_code(plain: str) -> bool:
    """Whether a plain name is that of a number or code of something.

    >>> is_code("patient_nr"), is_code("amount")
    (True, False)
    """
    return _CODE_NAMES.search(plain) is not None


def synonym_rank(name: str, patterns: Sequence[str]) -> int | None:
    """Place of the first pattern that a column's whole name matches; None where none does."""
    whole = name.strip().strip(".")
    member = plain_name(whole.rsplit(".", 1)[-1])  # of a nested object: by its own name, or by both
    names = dict.fromkeys((member, member.replace("_", ""), plain_name(whole)))
    names |= {MINOR_UNITS.sub("", spelling): None for spelling in names}
    names |= {_CURRENCY_BEHIND.sub("", spelling): None for spelling in names}
    for place, pattern in enumerate(patterns):
        if any(re.fullmatch(pattern, each) for each in names):
            return place
    return None


def may_be_amount(name: str) -> bool:
    """Whether a column's name speaks of an amount, and of no tax, fee, rate or rest.

    >>> may_be_amount("Total incl. VAT"), may_be_amount("VAT amount"), may_be_amount("Saldo")
    (True, False, False)
    """
    return synonym_rank(name, VALUE) is not None and not is_no_amount(name)


def is_no_amount(name: str) -> bool:
    """Whether a column's name speaks of a tax, fee, rate or rest, or of a count of things."""
    plain = _WITH_TAX.sub("", plain_name(name.rsplit(".", 1)[-1]))
    return synonym_rank(plain, NOT_VALUE) is not None


def is_personal(name: str) -> bool:
    """Whether a column is about a person: never an attribute."""
    return bool(
        PERSONAL.search(snake_case(name))
        or re.search(foreign_words.PERSONAL, plain_name(name))
        or synonym_rank(name, EMAIL) is not None
    )


def role_of(event_type: str) -> tuple[bool, str | None]:
    """Whether an event type's name is recognised, and its role (None: it should be left out)."""
    plain = snake_case(event_type)
    for role, pattern in _ROLES:
        if re.search(pattern, plain):
            return True, role
    return False, None
