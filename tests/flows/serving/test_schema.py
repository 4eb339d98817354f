"""The served OpenAPI schema: requests that it allows, and others, are answered as it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis import GenerationMode, checks

from tests.flows.serving.test_serve import ask, serving
from tests.flows.shop import Shop
from tests.tries import tries

pytestmark = pytest.mark.services
# No 5xx; status, media type and body of every answer are those that the schema names.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]


@pytest.fixture(scope="module")
def address(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("schema") / "log.txt"
    with serving(shop.output, "--rate", 100_000, log=log) as server:
        yield server.address
    text = log.read_text(encoding="utf-8")
    assert "Traceback" not in text
    assert " failed: " not in text


OPERATIONS = (
    ("POST", "/scores/events"),
    ("GET", "/scores/{customer}"),
    ("GET", "/audiences/{campaign}"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
    ("POST", "/webhooks"),
    ("GET", "/webhooks"),
    ("DELETE", "/webhooks/{webhook}"),
)


# Nothing that is sent to the others can break their schema.
BREAKABLE = (OPERATIONS[0], OPERATIONS[2])


def conforms(address: str, method: str, path: str, mode: GenerationMode) -> None:
    """Send generated requests of an operation, and check every answer."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")

    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=tries(60))
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    check()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_requests_of_the_schema_are_answered_as_it_says(
    address: str, method: str, path: str
) -> None:
    conforms(address, method, path, GenerationMode.POSITIVE)


@pytest.mark.parametrize(("method", "path"), BREAKABLE)
def test_requests_that_break_the_schema_are_refused_as_it_says(
    address: str, method: str, path: str
) -> None:
    conforms(address, method, path, GenerationMode.NEGATIVE)


def test_every_route_names_its_errors(address: str) -> None:
    _, content = ask(address, "/openapi.json")
    served = {(m.upper(), p) for p, methods in content["paths"].items() for m in methods}
    assert served == set(OPERATIONS)
    for path, methods in content["paths"].items():
        for operation in methods.values():
            errors = {s for s in operation["responses"] if s.startswith(("4", "5"))}
            assert errors or path == "/health", path
            if path not in ("/health", "/ready"):
                assert {"401", "421", "429", "500"} <= errors, path
            if path.startswith("/webhooks"):
                assert "403" in errors
