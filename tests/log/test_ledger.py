"""The ledger against a model of it: whatever is reserved, settled, released and lost, its sums are those of a list."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aikit.log import ledger, spending
from aikit.log.ledger import Budget, Scopes
from aikit.log.periods import bounds
from aikit.log.postings import Postings, Rules

BUDGETS = [
    Budget(0, {}, "day", 1_000, True, (0.5, 1.0), "Europe/Berlin", "user"),
    Budget(0, {"provider": "a"}, "week", 700, True, (0.8,), "UTC", "user"),
    Budget(0, {"tag": "x"}, "month", 500, True, (0.5,), "America/New_York", "user"),
    Budget(0, {"model": "a:m"}, "day", 300, False, (), "UTC", "user"),
]
SCOPES = [Scopes("a", "m"), Scopes("a", "n", ("x",)), Scopes("b", "m", ("x", "y")), Scopes("b", "n")]


@dataclass
class Call:
    at: float
    upper: int
    scopes: Scopes
    state: str = "held"
    cost: int = 0


@dataclass
class Model:
    calls: dict[str, Call] = field(default_factory=dict)

    def sums(self, budget: Budget, start: int, ends: int) -> tuple[int, int]:
        mine = [c for c in self.calls.values() if start <= c.at < ends and budget.applies(c.scopes)]
        return sum(c.cost for c in mine), sum(c.upper for c in mine if c.state == "held")


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.execute("CREATE TABLE spool (id INTEGER PRIMARY KEY, kind TEXT, body BLOB)")
        ledger.create_tables(self.connection)
        self.model = Model()
        self.now = 1_793_000_000.0  # 26 October 2026: the clocks went back the day before in Berlin
        self.told: set[tuple[int, int, float]] = set()

    def teardown(self) -> None:
        self.connection.close()

    def post(self, work) -> None:
        postings = Postings(self.connection, Rules.read(self.connection), owner="me", now=self.now)
        work(postings)
        for crossing in postings.write():
            fact = (crossing.budget.budget_id, crossing.start, crossing.threshold)
            assert fact not in self.told
            self.told.add(fact)

    def held(self) -> list[str]:
        return [key for key, call in self.model.calls.items() if call.state == "held"]

    @rule(budget=st.sampled_from(BUDGETS))
    def set_budget(self, budget):
        ledger.put_budget(self.connection, budget)

    @rule(seconds=st.sampled_from([1, 600, 3600, 40_000, 90_000, 800_000]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(scopes=st.sampled_from(SCOPES), uppers=st.lists(st.integers(0, 400), min_size=1, max_size=4))
    def reserve(self, scopes, uppers):
        def work(postings):
            for upper in uppers:
                key = f"k{len(self.model.calls)}"
                room = postings.room(scopes, self.now, upper)
                expected = "fits"
                for budget in ledger.budgets(self.connection):
                    if not budget.hard or not budget.applies(scopes):
                        continue
                    settled, holding = self.model.sums(budget, *bounds(self.now, budget.period, budget.timezone))
                    if settled + upper > budget.amount:
                        expected = "refused"
                        break
                    if settled + holding + upper > budget.amount:
                        expected = "waits"
                assert room.verdict == expected
                if expected == "fits":
                    postings.hold(key, self.now, upper, scopes, None)
                    assert postings.known(key) is not None
                    self.model.calls[key] = Call(self.now, upper, scopes)

        self.post(work)

    @rule(data=st.data(), keep=st.booleans(), over=st.integers(0, 20))
    def settle(self, data, keep, over):
        if not self.held():
            return
        key = data.draw(st.sampled_from(self.held()))
        call = self.model.calls[key]
        cost = data.draw(st.integers(0, call.upper)) + (over if over > 18 else 0)
        self.post(lambda p: p.settle(key, call.at, call.upper, call.scopes, cost=cost, estimated=False, keep=keep))
        call.state, call.cost = "settled", cost

    @rule(data=st.data())
    def release(self, data):
        if not self.held():
            return
        key = data.draw(st.sampled_from(self.held()))
        call = self.model.calls[key]
        self.post(lambda p: p.release(key, call.at, call.upper, call.scopes))
        call.state = "released"

    @rule(scopes=st.sampled_from(SCOPES), upper=st.integers(1, 50))
    def reserve_settle_and_release_in_one_transaction(self, scopes, upper):
        def work(postings):
            for name in ("s", "r"):
                key = f"{name}{len(self.model.calls)}"
                postings.hold(key, self.now, upper, scopes, None)
                if name == "s":
                    postings.settle(key, self.now, upper, scopes, cost=upper, estimated=True, keep=True)
                    self.model.calls[key] = Call(self.now, upper, scopes, "settled", upper)
                else:
                    postings.release(key, self.now, upper, scopes)
                    self.model.calls[key] = Call(self.now, upper, scopes, "released")

        self.post(work)

    @rule(late=st.booleans())
    def the_owner_dies(self, late):
        dead = spending.give_up(self.connection, set(), lambda: self.now)
        assert sorted(row.key for row in dead) == sorted(self.held())
        for row in dead:
            call = self.model.calls[row.key]
            call.state, call.cost = "lost", call.upper
        if late and dead:  # it was not dead after all, and says what it cost
            call, key = self.model.calls[dead[0].key], dead[0].key
            self.post(lambda p: p.settle(key, call.at, call.upper, call.scopes, cost=1, estimated=False, keep=True))
            call.state, call.cost = "settled", 1

    @invariant()
    def sums_are_those_of_the_list(self):
        assert ledger.differences(self.connection) == []
        for budget in ledger.budgets(self.connection):
            settled, holding, start, ends = spending.sums(self.connection, budget, self.now)
            assert (settled, holding) == self.model.sums(budget, start, ends)
        total = sum(row.cost for row in spending.spent(self.connection, None))
        assert total == sum(call.cost for call in self.model.calls.values())


LedgerMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestLedger = LedgerMachine.TestCase


def test_old_settled_keys_are_forgotten_and_what_they_cost_is_not():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE spool (id INTEGER PRIMARY KEY, kind TEXT, body BLOB)")
    ledger.create_tables(connection)
    for now, key in ((1_000_000.0, "old"), (9_000_000.0, "new")):
        postings = Postings(connection, Rules.read(connection), owner="me", now=now)
        postings.hold(key, now, 5, SCOPES[0], None)
        postings.settle(key, now, 5, SCOPES[0], cost=5, estimated=False, keep=True)
        postings.write()
    assert ledger.trim(connection, before=5_000_000) == 1
    assert [key for key, _, _ in ledger.known(connection, ["old", "new"])] == ["new"]
    assert sum(row.cost for row in spending.spent(connection, None)) == 10
    connection.close()
