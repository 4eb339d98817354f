"""Steps in Prefect: what a server caused is tried again, what a user must fix is not; secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from prefect.blocks.system import Secret
from prefect.testing.utilities import prefect_test_harness

from features.errors import UnavailableError, UserError, UserErrors
from flows.services.prefect_secrets import secret_variables
from flows.services.steps import flow, task
from flows.services.system_errors import may_pass

AWAY = UnavailableError("server", found="no answer", expected="an answer")
WRONG = UserError("column", found="amuont", expected="amount")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (AWAY, True),
        (WRONG, False),
        (UserErrors([AWAY, AWAY]), True),
        (UserErrors([AWAY, WRONG]), False),
        (ValueError("a defect"), False),
    ],
)
def test_only_a_service_that_is_away_is_worth_another_attempt(
    error: Exception, passes: bool
) -> None:
    assert may_pass(error) is passes


attempts: list[str] = []


@task(name="ask a server")
def ask_a_server(output: str) -> str:
    attempts.append(output)
    if output.endswith("wrong"):
        raise WRONG
    if len(attempts) < 3:
        raise AWAY
    return os.environ["TEST_STORE"]


@flow(name="night")
def night(output: str, block: str) -> str:
    with secret_variables({"TEST_STORE": block}):
        return ask_a_server(output)


@pytest.mark.services
def test_prefect_tries_again_and_secrets_come_from_its_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_TASKS_DEFAULT_RETRY_DELAY_SECONDS", "0")
    monkeypatch.delenv("TEST_STORE", raising=False)
    with prefect_test_harness(server_startup_timeout=300):
        Secret(value="postgresql://u:verysecret@db/x").save("store-url")
        attempts.clear()
        assert night.in_prefect(str(tmp_path), "store-url") == "postgresql://u:verysecret@db/x"
        assert len(attempts) == 3
        assert "TEST_STORE" not in os.environ
        attempts.clear()
        with pytest.raises(UserError, match="amuont"):
            night.in_prefect(str(tmp_path / "wrong"), "store-url")
        assert len(attempts) == 1
        with pytest.raises(UserError, match="Secret block") as refused:
            night.in_prefect(str(tmp_path), "u:verysecret")
        assert "verysecret" not in str(refused.value)
