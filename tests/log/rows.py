"""Rows to log: a call with its attempt, made short."""

import itertools
import time

from aikit.log.schema import AttemptRow, CallRow, TrialRow, new_id

_numbers = itertools.count()


def call(**fields):
    number = next(_numbers)
    settings = {
        "call_id": new_id(),
        "started_at": time.time(),
        "provider": "local",
        "model": "smollm2",
        "status": "ok",
        "finish_reason": "stop",
        "input_tokens": 14,
        "output_tokens": 212,
        "usage_source": "reported",
        "cost": 1_100_000,
        "duration": 1.84,
        "prompt": f'[{{"role": "user", "content": "question {number}"}}]',
        "text": f"answer {number}",
    }
    return CallRow(**(settings | fields))


def attempt(of, **fields):
    settings = {
        "attempt_id": new_id(),
        "call_id": of.call_id,
        "number": 1,
        "started_at": of.started_at,
        "provider": of.provider,
        "model": of.model,
        "cost": of.cost,
    }
    return AttemptRow(**(settings | fields))


def trial(**fields):
    settings = {"trial_id": "t1", "run": "r1", "variant": "a", "sample": "s1", "scored_at": time.time()}
    return TrialRow(**(settings | fields))


def record(log, number=1, **fields):
    """Log calls with one attempt each, wait until they are on the disk, and return their ids."""
    ids = []
    for _ in range(number):
        row = call(**fields)
        log.record(row)
        log.record_attempt(attempt(row))
        ids.append(row.call_id)
    log.flush(10)
    return ids
