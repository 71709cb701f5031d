"""Reserving and settling: what a hard budget lets through, and in which order."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from decimal import Decimal

import pytest

from aikit.budgets import Reservation, Scopes, Seen
from aikit.errors import BudgetExceeded, UnknownPrice
from aikit.log import ledger
from aikit.prices import nano

OPENAI = Scopes("openai", "gpt-5-mini")


def dollars(amount: float) -> int:
    return nano(amount)


async def held(till, key, amount, scopes=OPENAI, **options) -> Reservation:
    reservation = await till.tracker.reserve(key, dollars(amount), scopes, **options)
    assert isinstance(reservation, Reservation)
    return reservation


def test_a_call_that_could_pass_a_hard_budget_is_refused_at_once(till):
    async def scenario():
        await till.budgets.set(daily=1.00)
        (await held(till, "a", 0.60)).settle(dollars(0.60))
        with pytest.raises(BudgetExceeded, match=r"\$1\.00 for all has \$0\.600000 spent"):
            await held(till, "b", 0.41)
        assert isinstance(await held(till, "c", 0.40), Reservation)

    asyncio.run(scenario())


def test_a_call_waits_while_only_holds_stand_in_its_way_and_goes_when_they_settle_lower(till):
    async def scenario():
        await till.budgets.set(daily=1.00)
        first = await held(till, "a", 0.80)
        second = asyncio.create_task(held(till, "b", 0.80))
        await asyncio.sleep(0.1)
        assert not second.done()
        first.settle(dollars(0.10))
        assert isinstance(await asyncio.wait_for(second, 2), Reservation)

    asyncio.run(scenario())


def test_a_waiting_call_is_refused_when_what_stood_in_its_way_is_spent_in_full(till):
    async def scenario():
        await till.budgets.set(daily=1.00)
        first = await held(till, "a", 0.80)
        second = asyncio.create_task(held(till, "b", 0.80))
        await asyncio.sleep(0.05)
        first.settle(dollars(0.80))
        with pytest.raises(BudgetExceeded):
            await asyncio.wait_for(second, 2)

    asyncio.run(scenario())


def test_waiting_ends_with_the_deadline(till):
    async def scenario():
        await till.budgets.set(daily=1.00)
        await_me = await held(till, "a", 0.80)
        started = time.monotonic()
        with pytest.raises(BudgetExceeded, match="deadline passed while waiting"):
            await held(till, "b", 0.80, deadline=started + 0.2)
        assert 0.15 < time.monotonic() - started < 1.5
        await_me.release()
        assert isinstance(await held(till, "b", 0.80), Reservation)

    asyncio.run(scenario())


def test_a_cancelled_waiter_leaves_nothing_behind(till):
    async def scenario():
        await till.budgets.set(daily=1.00)
        first = await held(till, "a", 0.80)
        waiter = asyncio.create_task(held(till, "b", 0.80))
        await asyncio.sleep(0.05)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        first.release()
        status = await till.budgets.status()
        assert (status.loc[0, "held"], status.loc[0, "spent"]) == (0, 0)

    asyncio.run(scenario())


def test_a_large_request_is_not_overtaken_by_small_ones_that_come_later(till):
    async def scenario():
        await till.budgets.set(daily=1.00)
        first = await held(till, "a", 0.50)
        order = []

        async def enter(key, amount):
            reservation = await held(till, key, amount)
            order.append(key)
            reservation.settle(0)

        large = asyncio.create_task(enter("large", 0.90))
        await asyncio.sleep(0.05)
        small = asyncio.create_task(enter("small", 0.20))
        await asyncio.sleep(0.1)
        assert order == []
        first.settle(0)
        await asyncio.wait_for(asyncio.gather(large, small), 2)
        assert order == ["large", "small"]

    asyncio.run(scenario())


def test_what_is_free_passes_a_spent_budget(till):
    async def scenario():
        await till.budgets.set(daily=0)
        assert isinstance(await held(till, "local", 0), Reservation)
        with pytest.raises(BudgetExceeded):
            await held(till, "paid", 0.01)

    asyncio.run(scenario())


def test_an_unknown_price_is_refused_under_a_hard_budget_and_counted_under_a_soft_one(till):
    async def scenario():
        unpriced = await till.tracker.reserve("a", None, OPENAI)
        unpriced.settle(None)
        frame = await till.budgets.spent("day", by="model")
        assert frame.loc[0, "unpriced"] == 1
        assert frame.loc[0, "cost"] == 0
        await till.budgets.set(daily=5)
        with pytest.raises(UnknownPrice, match=r'prices\."gpt-5-mini"'):
            await till.tracker.reserve("b", None, OPENAI)

    asyncio.run(scenario())


def test_a_key_is_reserved_once_whoever_asks(till, tmp_path):
    from tests.budgets.conftest import Till

    async def scenario():
        first = await held(till, "trial-1", 0.50)
        seen = await till.tracker.reserve("trial-1", dollars(0.50), OPENAI)
        assert seen == Seen("trial-1", "held", None)
        first.settle(dollars(0.25))
        other = Till(tmp_path / "home", till.clock)
        await asyncio.to_thread(till.tracker.flush)
        seen = await other.tracker.reserve("trial-1", dollars(0.50), OPENAI)
        assert seen == Seen("trial-1", "settled", Decimal("0.25"))
        assert set(await other.tracker.known(["trial-1", "trial-2"])) == {"trial-1"}
        other.close()

    asyncio.run(scenario())


def test_a_released_key_may_be_reserved_again(till):
    async def scenario():
        (await held(till, "trial-1", 0.50)).release()
        assert isinstance(await held(till, "trial-1", 0.50), Reservation)

    asyncio.run(scenario())


def test_settling_twice_books_once(till):
    async def scenario():
        reservation = await held(till, "a", 0.50)
        reservation.settle(dollars(0.10))
        reservation.settle(dollars(0.20))
        reservation.release()
        assert await till.budgets.spent() == Decimal("0.1")

    asyncio.run(scenario())


def test_a_forgotten_reservation_is_booked_at_its_upper_bound(till):
    async def scenario():
        reservation = await held(till, "a", 0.50)
        await asyncio.sleep(0.1)  # until the writer's thread has let it go
        del reservation
        gc.collect()
        frame = await till.budgets.spent("day", by="provider")
        assert frame.loc[0, "cost"] == 0.5
        assert frame.loc[0, "estimated"] == 0.5

    asyncio.run(scenario())


def test_an_unknown_cost_with_a_known_price_is_booked_at_the_upper_bound(till):
    async def scenario():
        (await held(till, "a", 0.50)).settle(None)
        assert await till.budgets.spent() == Decimal("0.5")

    asyncio.run(scenario())


def test_without_a_hard_budget_nothing_is_awaited(till):
    async def scenario():
        coroutine = till.tracker.reserve("a", dollars(1), OPENAI, once=False)
        with pytest.raises(StopIteration) as done:  # it returned without giving control away
            coroutine.send(None)
        done.value.value.settle(dollars(0.3))
        assert await till.budgets.spent() == Decimal("0.3")

    asyncio.run(scenario())


def test_two_attempts_under_one_throwaway_key_are_both_booked(till):
    async def scenario():
        pair = [await held(till, "same", 0.5, once=False) for _ in range(2)]
        await asyncio.to_thread(till.tracker.flush)
        for reservation in pair:
            reservation.settle(dollars(0.2))
        assert await till.budgets.spent() == Decimal("0.4")
        assert till.spool.read(ledger.held) == []

    asyncio.run(scenario())


def test_a_budget_set_in_another_process_holds_for_the_next_call(till, tmp_path):
    from tests.budgets.conftest import Till

    async def scenario():
        other = Till(tmp_path / "home", till.clock)
        (await held(till, "a", 5, once=False)).settle(dollars(1))
        await other.budgets.set(daily=0.5)
        with pytest.raises(BudgetExceeded):
            await held(till, "b", 0.1, once=False)
        other.close()

    asyncio.run(scenario())


def test_every_budget_that_applies_has_to_have_room(till):
    async def scenario():
        await till.budgets.set(daily=10)
        await till.budgets.set(daily=1, provider="openai")
        await till.budgets.set(monthly=2, tag="nightly")
        await till.budgets.set(daily=0.5, provider="openai", model="gpt-5-mini")
        with pytest.raises(BudgetExceeded, match="model=gpt-5-mini"):
            await held(till, "a", 0.6)
        await held(till, "b", 0.9, Scopes("openai", "gpt-5"))
        with pytest.raises(BudgetExceeded, match="tag=nightly"):
            await held(till, "c", 2.1, Scopes("anthropic", "claude-haiku-4-5", ("nightly", "x")))
        await held(till, "d", 5, Scopes("anthropic", "claude-haiku-4-5"))
        with pytest.raises(BudgetExceeded, match="provider=openai"):
            (await held(till, "e", 1.1, {"provider": "openai", "model": "gpt-5"}))

    asyncio.run(scenario())


def test_running_sums_are_the_sums_of_their_rows_after_all_that(till):
    async def scenario():
        await till.budgets.set(daily=10, weekly=20)
        reservations = [await held(till, f"k{n}", 0.1 + n / 100, once=n % 2 == 0) for n in range(20)]
        await till.budgets.set(monthly=30, provider="openai")
        for n, reservation in enumerate(reservations):
            if n % 3 == 0:
                reservation.settle(dollars(0.05))
            elif n % 3 == 1:
                reservation.release()
        await asyncio.to_thread(till.tracker.flush)
        assert till.spool.read(ledger.differences) == []
        status = await till.budgets.status()
        assert status["spent"].round(6).tolist() == [0.35] * 3
        assert (status["held"] > 0).all()

    asyncio.run(scenario())


def test_a_forked_child_leaves_its_parent_s_reservations_alone(till):
    async def scenario():
        reservation = await held(till, "a", 0.50)
        child = os.fork()
        if child == 0:
            reservation.settle(dollars(0.40))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        reservation.settle(dollars(0.30))
        assert await till.budgets.spent() == Decimal("0.3")
        assert till.spool.read(ledger.differences) == []

    asyncio.run(scenario())


def test_what_costs_and_counts_rest_on_is_kept_in_the_log(till, tmp_path):
    from aikit.messages import TokenCount
    from aikit.prices import PriceBook
    from tests.budgets.conftest import Till

    price = PriceBook({"openai": {"prices": {"gpt-x": {"input": 2, "output": 8}}}}).price("openai", "gpt-x")
    till.tracker.remember(price)
    till.tracker.remember(price)
    for _ in range(6):
        till.tracker.calibration.observe("openai", "gpt-x", TokenCount(100, "estimated", 0.25), 80)
    till.tracker.close()
    (row,) = till.spool.read(lambda c: c.execute("SELECT price_id, rates FROM prices").fetchall())
    assert row[0] == price.id
    assert '"input": 2000000000' in row[1]
    other = Till(tmp_path / "home", till.clock)
    assert other.tracker.calibration.ratio("openai", "gpt-x") == till.tracker.calibration.ratio("openai", "gpt-x")
    other.close()
