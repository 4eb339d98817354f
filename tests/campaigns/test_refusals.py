"""A refusal always wins, however it is written: neither the person nor the address goes out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from campaigns.addresses import ADDRESS_KINDS, Addresses
from campaigns.audience_files import ExportRun
from campaigns.customer_context import CustomerContext
from campaigns.export_schema import load_targets
from campaigns.target_exports import Delivery, write_exports
from features.config import config as configs
from features.sources.customer_attributes import customer_facts
from features.sources.near_twins import contacts_with_twins, with_refusals_of_twins
from tests.campaigns.campaign_examples import plan, playbook
from tests.campaigns.refusal_tables import (
    DATES,
    FILES,
    IDS,
    PLACES,
    SNAPSHOT,
    WRITTEN,
    Form,
    Shop,
    shop,
)
from tests.tries import tries

MAPS = sorted((Path(__file__).parents[2] / "configs" / "exports").glob("*.yaml"))
TARGETS = {target.target: target for target in load_targets(MAPS)}
# Two cases a refuser, themselves and another customer of their address: 20,800 in the default
# suite, 62,400 in the long rounds. Most of the time goes into the tables, hardly any into cases.
REFUSERS, WILLING, TABLES = 520, 20, 60
FEWEST_CASES = 20_000


@st.composite
def forms(draw: st.DrawFn) -> Form:
    form = Form(
        place=draw(st.sampled_from(PLACES)),
        file=draw(st.sampled_from(FILES)),
        ids=draw(st.sampled_from(IDS)),
        dates=draw(st.sampled_from(sorted(DATES))),
        channel=draw(st.sampled_from(["email", "sms"])),
        target=draw(st.sampled_from(sorted(TARGETS))),
        seed=draw(st.integers(0, 10**6)),
    )
    return form


def exported(made: Shop, form: Form, folder: Path) -> dict[str, str]:
    """Contents of all files for every target, by name, as a run writes them."""
    config = configs.load(made.config)
    customers = pd.Index(made.scores["customer_id"])
    facts, _ = with_refusals_of_twins(
        customer_facts(config, SNAPSHOT, written_at=WRITTEN), customers
    )
    context = CustomerContext(
        consent=facts.consent,
        suppressed=facts.suppressed,
        refused=facts.refused,
        addresses=Addresses.of(contacts_with_twins(facts.contacts, customers)),
    )
    book = playbook(channel="email" if form.channel == "email" else "text", control_share=0)
    planned = plan(made.scores, book, at=SNAPSHOT, consent="recorded", context=context)
    delivery = Delivery(
        scores=made.scores.set_index("customer_id"),
        contacts=facts.contacts,
        addresses=context.addresses,
        withheld={kind: frozenset(context.withheld_from_exports(kind)) for kind in ADDRESS_KINDS},
    )
    run = ExportRun(run_id="r", scorer_version="1", written_at=WRITTEN, consent_as_of=WRITTEN)
    targets = [TARGETS["csv"], TARGETS[form.target]]
    write_exports(planned, targets, folder, run=run, delivery=delivery)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes().decode("latin-1") for path in files}


def test_every_suite_tries_enough_cases() -> None:
    assert 2 * REFUSERS * tries(TABLES) >= FEWEST_CASES


@settings(max_examples=tries(TABLES), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(form=forms())
def test_no_export_holds_who_refused_or_their_address(
    tmp_path_factory: pytest.TempPathFactory, form: Form
) -> None:
    folder = tmp_path_factory.mktemp("shop")
    made = shop(form, folder, refusers=REFUSERS, willing=WILLING)
    event(f"{form.place}, {form.file}")
    contents = exported(made, form, folder / "exports")
    whole = "\n".join(contents.values())
    for customer in [*made.refused, *made.twins]:
        for trace in [customer, *made.traces[customer]]:
            assert trace not in whole, (form, customer, trace)
    rows = contents["csv/back.csv"]
    for customer in made.willing:
        assert customer in rows, (form, customer)
