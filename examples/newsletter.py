"""Fill a text with a customer's scored row: who they are decides what the message says.

Usage: newsletter.py STAGECAST.duckdb CUSTOMER_ID
"""

import html
import sys

import duckdb

OPENING = {
    "lapsed": "It has been a while.",
    "loyalty": "Thank you for coming back so often.",
    "conversion": "Thank you for your first order.",
}
store, customer = sys.argv[1:]
with duckdb.connect(store, read_only=True) as connection:
    found = connection.execute(
        "SELECT * FROM customer_scores WHERE customer_id = ?", [customer]
    ).fetch_df()
if found.empty:
    sys.exit(f"no scores of customer {customer}")
row = found.iloc[0]
lines = [OPENING.get(row["stage"], "Good to have you with us.")]
if "preferred_brand" in row and isinstance(row["preferred_brand"], str):
    # Values come from the data: what goes into a page is escaped.
    lines.append(f"New from {html.escape(row['preferred_brand'])} this week.")
if row["value_tier"] == "top":
    lines.append("Delivery is on us.")
print("\n".join(f"<p>{line}</p>" for line in lines))
