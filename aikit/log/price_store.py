"""What past rows rest on: the rates behind each price id, and how token counts compared with what was reported."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict

from aikit.prices import Price
from aikit.tokens import Calibration, CalibrationRow

__all__ = ["load_calibration", "remember_price", "save_calibration"]


def remember_price(connection: sqlite3.Connection, price: Price, now: float) -> None:
    """Keep a price's rates under its id, in nano-dollars per million tokens; known ones are left as they are."""
    tiers = {"standard": price.tiers, **price.variants}
    rates = {name: [{"above": tier.above, **asdict(tier.rates)} for tier in each] for name, each in tiers.items()}
    connection.execute(
        "INSERT OR IGNORE INTO prices VALUES (?, ?, ?, ?, ?)",
        (price.id, price.provider, price.model, json.dumps(rates), now),
    )


def load_calibration(connection: sqlite3.Connection) -> Calibration:
    """Return what was learnt about token counts so far."""
    rows = connection.execute("SELECT provider, model, observations, ratio, variance FROM token_calibration")
    return Calibration(CalibrationRow(*row) for row in rows)


def save_calibration(connection: sqlite3.Connection, rows: Iterable[CalibrationRow]) -> None:
    """Keep what was learnt; of two processes, the one that has seen more of a model is believed."""
    connection.executemany(
        "INSERT INTO token_calibration VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " observations = excluded.observations, ratio = excluded.ratio, variance = excluded.variance"
        " WHERE excluded.observations >= observations",
        [(row.provider, row.model, row.observations, row.ratio, row.variance) for row in rows],
    )
