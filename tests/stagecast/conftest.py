"""The shop's finished run, as the tests of the commands have it."""

from tests.flows.conftest import shop as shop
