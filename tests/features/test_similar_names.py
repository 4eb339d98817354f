"""The hint names a known name that is similar, and only then."""

from hypothesis import given
from hypothesis import strategies as st

from features.similar_names import did_you_mean

WORDS = st.text("abcdefghij_", min_size=4, max_size=12)


@given(st.lists(WORDS, min_size=1, max_size=6), st.data())
def test_a_name_with_one_letter_too_many_is_recognised(
    known: list[str], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(known))
    hint = did_you_mean(name + "z", known)
    assert hint.startswith("did you mean ")
    assert hint[len("did you mean ") : -1] in known


@given(st.lists(WORDS, max_size=6))
def test_a_name_like_none_has_the_other_hint(known: list[str]) -> None:
    assert did_you_mean("ZZZZ", known, otherwise="read the page") == "read the page"


def test_a_comparison_turned_round_is_recognised() -> None:
    comparisons = ("<", "<=", ">", ">=")
    assert did_you_mean("=>", comparisons) == "did you mean >=?"
    assert did_you_mean("=<", comparisons) == "did you mean <=?"


def test_case_does_not_matter() -> None:
    assert did_you_mean("Horizon_Day", ["horizon_days"]) == "did you mean horizon_days?"
    assert did_you_mean(True, ["when"]) == ""
