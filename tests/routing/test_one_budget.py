"""Many streams, two processes, failover and retries, one hard budget: what the servers bill stays below it."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

import aikit
from tests.routing.spender import settings
from tests.servers import CUT, RESET, Server, chat_chunk, json_reply, sse, streamed

ROOT = Path(__file__).parents[2]
USED = {"prompt_tokens": 10, "completion_tokens": 8, "total_tokens": 18}


def billing(bills, costs, faults):
    """A server that answers, fails or breaks off by turns, and keeps what it bills for each."""
    turn = itertools.count()

    def reply(request):
        if request.method == "GET":
            return json_reply({"data": []})
        fault = faults[next(turn) % len(faults)]
        if fault == "503":
            return json_reply({"error": {"message": "no", "code": "server_error"}}, 503)
        words = [chat_chunk({"content": "word "}) for _ in range(8)]
        if fault == "reset":  # it had begun to answer and bills what it made, which nobody hears of
            bills.append(10 * costs[0] + 4 * costs[1])
            return [0.01, RESET]
        if fault == "cut":
            bills.append(10 * costs[0] + 3 * costs[1])
            return streamed(*words[:3], 0.01, CUT, end=False)
        bills.append(10 * costs[0] + 8 * costs[1])
        end = [chat_chunk({}, "length"), chat_chunk({}, choices=[], usage=USED), sse("[DONE]")]
        return streamed(*words, 0.01, *end)

    return reply


@pytest.mark.parametrize(("count", "limit"), [(100, 0.5), pytest.param(1_000, 5.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("lossy", [False, True], ids=["refusals", "losses"])
def test_two_processes_on_one_hard_budget_never_pass_it_and_use_it(tmp_path, count, limit, lossy):
    bills = []  # US dollars
    faults = ["cut", "503", "reset"] if lossy else ["503"]
    cheap = billing(bills, (100e-6, 1_000e-6), ["ok", "503", "ok", *faults, "503"])
    dear = billing(bills, (200e-6, 3_000e-6), ["ok", "ok", *faults[:2]])
    home = tmp_path / "home"
    with Server(cheap) as first, Server(dear) as second:
        with aikit.open(home=home, config={"providers": settings(first.url, second.url)}) as kit:
            kit.budgets.set(daily=limit)
        command = [sys.executable, "-m", "tests.routing.spender", str(home), str(count // 2), first.url, second.url]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(2)]
        for process in running:
            assert process.stdout.readline().strip() == "ready", process.communicate()
        for process in running:
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [process.communicate(timeout=500) for process in running]
    ends = [json.loads(out.strip().splitlines()[-1]) for out, _ in told]
    with aikit.open(home=home) as kit:
        spent, attempts = float(kit.spent("all")), kit.attempts()
    print(f"limit {limit}, billed {sum(bills):.4f}, booked {spent:.4f}, {len(attempts)} attempts, {ends}")
    assert sum(bills) <= limit
    assert spent <= limit + 1e-9
    assert spent >= 0.9 * limit  # demand was several times the limit
    # An answer that was cut is booked at an estimate, one that nobody heard of at its most.
    assert lossy or sum(bills) >= 0.9 * limit
    assert sum(one.get("BudgetExceeded", 0) for one in ends) > 0
    assert {"first"} <= set(attempts["provider"]) <= {"first", "second"}
    assert attempts["cost"].sum() == pytest.approx(spent, abs=1e-6)
