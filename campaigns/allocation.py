"""Who gets which campaign: by priority or by value, within caps, capacities and budgets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from campaigns.addresses import Addresses, kinds_of
from campaigns.candidates import Draft
from campaigns.customer_context import Circumstances, Counts, cap_channel
from campaigns.eligibility import cap_room
from campaigns.expected_value import Numbers
from campaigns.holdout import CONTROL, TREATMENT
from campaigns.optimiser.exact import solve
from campaigns.optimiser.problem import LAST_DIGITS, Problem, Solution

Order = npt.NDArray[np.intp]


HELD_OUT = "address in a control arm under another id"
TAKEN = "address of another customer, who goes first"
NOT_WORTH_IT = "by uplift, the message would bring less than it costs"


class Room:
    """Promotional campaigns and contacts that customers can still take.

    Attributes
    ----------
    total, by_channel
        Contacts left: shape (customers,), and (customers, channels).
    at_once
        Campaigns left, shape (customers,).
    channels
        Channels as contacts are counted.
    """

    def __init__(
        self, customers: pd.Index[str], around: Circumstances, channels: Sequence[str]
    ) -> None:
        self.channels = list(channels)
        self.total, self.by_channel = cap_room(customers, around, channels)
        self.at_once = np.full(len(customers), around.policy.campaigns_at_once, dtype=np.int64)

    def column(self, draft: Draft) -> Counts:
        """Channel (position in `channels`) through which a campaign would reach each customer."""
        names = [self.channels.index(cap_channel(each)) for each in draft.playbook.channels]
        return np.asarray(names, dtype=np.int64)[draft.channel]

    def free(self, draft: Draft) -> npt.NDArray[np.bool_]:
        """Whose caps allow one more contact by this campaign."""
        rows = np.arange(len(self.total))
        free: npt.NDArray[np.bool_] = (self.total > 0) & (
            self.by_channel[rows, self.column(draft)] > 0
        )
        return free

    def take(self, draft: Draft, chosen: npt.NDArray[np.bool_]) -> None:
        """Count the newcomers' contacts."""
        who = np.flatnonzero(chosen)
        self.total[who] -= 1
        self.at_once[who] -= 1
        self.by_channel[who, self.column(draft)[who]] -= 1


def claim_addresses(
    drafts: Sequence[Draft], customers: pd.Index[str], addresses: Addresses
) -> None:
    """Leave one customer of every address, so that nobody is in both arms or written to twice.

    Of promotional campaigns together, and of each other campaign: a member of the control arm goes
    first, then a member of the treatment arm, then the best in the order in which campaigns are
    served. The others are left out.
    """
    if not len(addresses.rows):
        return
    for draft in drafts:
        if not draft.promotional:
            _claim([draft], customers, addresses, {})
    _claim([draft for draft in drafts if draft.promotional], customers, addresses, {})


def _claim(
    drafts: Sequence[Draft],
    customers: pd.Index[str],
    addresses: Addresses,
    owner: dict[int, int],
) -> None:
    """Settle who stands for each address (`owner`: address -> customer) among some campaigns."""
    known = [addresses.by_customer(customers, kinds_of(d.playbook.channels)) for d in drafts]

    def settle(draft: Draft, mine: dict[int, list[int]], who: Order) -> None:
        for place in who.tolist():
            codes = mine.get(place, ())
            others = [code for code in codes if owner.get(code, place) != place]
            if others:
                draft.failure[place] = TAKEN
                draft.yielded[place] = owner[others[0]]
                draft.standing.staying[place] = False
            else:
                owner.update(dict.fromkeys(codes, place))

    for arm in (CONTROL, TREATMENT):
        for draft, mine in zip(drafts, known, strict=True):
            staying = draft.standing.staying & (draft.standing.arm == arm)
            settle(draft, mine, np.flatnonzero(staying))
    for draft, mine in zip(drafts, known, strict=True):
        entering = np.flatnonzero(draft.candidates & ~draft.standing.staying)
        entering = entering[[place in mine for place in entering.tolist()]]
        settle(draft, mine, entering[best_first(draft.rank[entering])])


def say_who_is_held_out(
    drafts: Sequence[Draft], audience: Sequence[pd.DataFrame], customers: pd.Index[str]
) -> None:
    """Tell those who made way for a member of a control arm that this is why they are left out."""
    control = [rows.loc[rows["arm"] == CONTROL, "customer_id"] for rows in audience]
    held = set(customers.get_indexer(pd.concat(control))) if control else set()
    for draft in drafts:
        for place, owner in draft.yielded.items():
            if owner in held and draft.failure[place] == TAKEN:
                draft.failure[place] = HELD_OUT


def keep(drafts: Sequence[Draft], room: Room) -> None:
    """Let members stay, before anybody enters: a move between campaigns would spoil both."""
    for draft in drafts:
        draft.member = draft.standing.staying.copy()
        if draft.promotional:
            draft.member &= room.at_once > 0
            room.at_once[draft.member] -= 1
            draft.failure[draft.standing.staying & ~draft.member] = "in another campaign"
        draft.failure[draft.member] = ""


def fill(drafts: Sequence[Draft], room: Room, around: Circumstances, *, seed: int) -> (
    Solution | None
):  # fmt: skip
    """Give the places left to newcomers; what the solver says of the total, where it was asked."""
    for draft in drafts:
        if draft.promotional:
            draft.failure[draft.candidates & draft.worth.worthless] = NOT_WORTH_IT
            capped = draft.candidates & ~room.free(draft)
            draft.failure[capped] = "contact cap reached"
        else:
            _enter(draft, draft.candidates, np.inf)
    promotional = [draft for draft in drafts if draft.promotional]
    if around.policy.objective == "value" and promotional:
        return _by_value(promotional, room, around, seed)
    left = _budget(around.policy.budget) * (1 + LAST_DIGITS)
    for draft in promotional:
        full = draft.candidates & (room.at_once <= 0)
        draft.failure[full] = _elsewhere(promotional, full)
        draft.failure[draft.candidates & ~room.free(draft)] = "contact cap reached"
        left -= _enter(draft, draft.candidates, left)
        room.take(draft, draft.newcomer)
    return None


def _elsewhere(drafts: Sequence[Draft], who: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
    """Name of the campaign that has each of some customers already."""
    names = np.full(int(who.sum()), "", dtype=object)
    for draft in drafts:
        names[draft.member[who] & (names == "")] = f"in campaign {draft.playbook.campaign}"
    return names


def _enter(draft: Draft, candidates: npt.NDArray[np.bool_], budget: float) -> float:
    """Newcomers by rank, as many as capacity and budget allow; returns the money spent."""
    playbook = draft.playbook
    ordered = np.flatnonzero(candidates)
    ordered = ordered[best_first(draft.rank[ordered])]
    places = len(ordered)
    if playbook.capacity is not None:
        places = max(0, playbook.capacity - int(draft.member.sum()))
    draft.failure[ordered[places:]] = "capacity reached"
    ordered = ordered[:places]
    money = min(budget, _budget(playbook.budget) * (1 + LAST_DIGITS))
    paid = np.cumsum(draft.worth.cost[ordered]) <= money
    draft.failure[ordered[~paid]] = "budget spent"
    taken = ordered[paid]
    draft.newcomer[taken] = True
    draft.member[taken] = True
    return float(draft.worth.cost[taken].sum())


def best_first(values: Numbers) -> Order:
    """Order by falling value, unknown last, ties in the order of customer ids."""
    return np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")


def _by_value(
    drafts: Sequence[Draft], room: Room, around: Circumstances, seed: int
) -> Solution | None:
    """The assignment of the highest expected value."""
    candidates = np.stack([draft.candidates for draft in drafts], axis=1)
    some = np.flatnonzero(candidates.any(axis=1))
    values = np.stack([draft.worth.expected[some] for draft in drafts], axis=1)
    values = np.where(candidates[some], values, np.nan)
    problem = Problem(
        value=values,
        cost=np.stack([draft.worth.cost[some] for draft in drafts], axis=1),
        channel=np.stack([room.column(draft)[some] for draft in drafts], axis=1),
        at_most=np.minimum(room.total, room.at_once)[some],
        channel_left=np.maximum(room.by_channel[some], 0),
        capacity=np.array([_places(draft) for draft in drafts]),
        campaign_budget=np.array([_budget(draft.playbook.budget) for draft in drafts]),
        budget=_budget(around.policy.budget),
    )
    solution = solve(problem, seed=seed)
    for number, draft in enumerate(drafts):
        draft.newcomer[some[solution.chosen[:, number]]] = True
        draft.member |= draft.newcomer
    for number, draft in enumerate(drafts):
        left = draft.candidates
        worthless = left.copy()
        worthless[some] &= ~(values[:, number] > 0)
        draft.failure[worthless] = "expected value not positive"
        left = draft.candidates
        full = left & (room.at_once <= 0)
        draft.failure[full] = _elsewhere(drafts, full)
        left = draft.candidates
        other = _elsewhere(drafts, left)
        draft.failure[left] = np.where(other == "", "no place, cap or money left", other)
    return solution


def _budget(given: float | None) -> float:
    return float("inf") if given is None else float(given)


def _places(draft: Draft) -> float:
    if draft.playbook.capacity is None:
        return float("inf")
    return float(max(0, draft.playbook.capacity - int(draft.member.sum())))
