"""What calls cost: the log's bill, put together as a report, and as it would be under other prices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from aikit.errors import UnknownSetting, did_you_mean
from aikit.log import bills
from aikit.log.ledger import QUARTER
from aikit.log.periods import local_day, zone
from aikit.log.queries import Since, instant
from aikit.messages import Usage
from aikit.prices import Price, PriceBook, dollars
from aikit.reports.costs import CostReport

if TYPE_CHECKING:
    import pandas as pd

    from aikit.log import Log

__all__ = ["costs", "reprice"]

_SUMS = ("calls", "attempts", "input_tokens", "output_tokens", "cache_read_tokens", "cost", "estimated", "unpriced")
_DATES = ("day", "week", "month")


def costs(
    log: Log,
    *,
    by: str | Sequence[str],
    since: Since = None,
    timezone: str | None = None,
    book: PriceBook | None = None,
    clock: Callable[[], float] | None = None,
) -> CostReport:
    """Return what calls cost, grouped by `provider`, `model`, `tag`, `experiment`, `prompt`, `run`, `variant`, `day` …

    A call with several tags counts under each; the last row, the total, counts it once. Days are those of `timezone`
    (UTC where None). What caches and replays saved is told at the prices of `book`.
    """
    groups = _groups(by)
    zone_name = timezone or "UTC"
    zone(zone_name)
    now = clock() if clock else datetime.now(UTC).timestamp()
    start = instant(since, now)
    book = book or PriceBook()
    prices = {key: book.price(*key) for key in bills.models(log.query, start)}
    wanted = list(dict.fromkeys((*groups, "day")))
    rows = _records(bills.bill(log.query, wanted, since=start, thresholds=_thresholds(prices)))
    for row in rows:
        row["saved"] = _saved(row, prices.get((row["provider"], row["model"])))
        _date(row, wanted, zone_name)
    caches, replays = (
        sum((row["saved"] for row in rows if (row["usage_source"] == "replayed") is replayed), Decimal(0))
        for replayed in (False, True)
    )
    cost = sum(row["cost"] for row in rows)
    estimated = sum(row["estimated"] for row in rows)
    return CostReport(
        frame=_table(rows, groups),
        currency="USD",
        price_ids=tuple(sorted({str(row["price_id"]) for row in rows if row["price_id"]})),
        timezone=zone_name,
        estimated_share=estimated / cost if cost else 0.0,
        savings={"caches": caches, "replays": replays},
        groups=tuple(groups),
        days=_days(rows),
        sheets={name: _table(rows, [name]) for name in groups} if len(groups) > 1 else {},
        since=start.replace(tzinfo=UTC) if start else None,
        made_at=datetime.fromtimestamp(now, UTC),
    )


def reprice(log: Log, book: PriceBook, *, since: Since = None, clock: Callable[[], float] | None = None) -> CostReport:
    """Return what the logged calls would have cost under `book`: by model, `cost` as booked, `repriced`, `difference`.

    Calls without known tokens or without a price in `book` are in `not_repriced` and keep what they cost.
    """
    now = clock() if clock else datetime.now(UTC).timestamp()
    start = instant(since, now)
    prices = {key: book.price(*key) for key in bills.models(log.query, start)}
    rows = _records(bills.bill(log.query, ["provider", "model"], since=start, thresholds=_thresholds(prices)))
    found: dict[tuple[str, str], list[float]] = {}
    ids: set[str] = set()
    for row in rows:
        key = (row["provider"], row["model"])
        price = prices.get(key)
        new = _cost(row, price) if row["usage_source"] != "replayed" else 0
        if new is not None and price is not None:
            ids.add(price.id)
        sums = found.setdefault(key, [0, 0.0, 0.0, 0])
        sums[0] += row["attempts"]
        sums[1] += row["cost"]
        sums[2] += row["cost"] if new is None else float(dollars(new))
        sums[3] += row["attempts"] if new is None else 0
    return CostReport(
        frame=_repriced(found),
        currency="USD",
        price_ids=tuple(sorted(ids)),
        timezone="UTC",
        estimated_share=_share(rows),
        savings={},
        groups=("provider", "model"),
        since=start.replace(tzinfo=UTC) if start else None,
        made_at=datetime.fromtimestamp(now, UTC),
    )


def _groups(by: str | Sequence[str]) -> list[str]:
    groups = list(dict.fromkeys([by] if isinstance(by, str) else by))
    if not groups:
        raise UnknownSetting("by= names what to group by, such as 'model' or ['provider', 'tag']")
    for name in groups:
        if name not in bills.COLUMNS:
            known = ", ".join(bills.COLUMNS)
            raise UnknownSetting(f"can't group by {name!r}{did_you_mean(name, bills.COLUMNS)} (known: {known})")
    return groups


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", frame.to_dict("records"))


def _thresholds(prices: Mapping[tuple[str, str], Price | None]) -> list[int]:
    known = [price for price in prices.values() if price is not None]
    tiers = [tier for price in known for way in (price.tiers, *price.variants.values()) for tier in way]
    return sorted({tier.above for tier in tiers} - {0})


def _usage(row: Mapping[str, Any]) -> Usage:
    return Usage(
        int(row["input_tokens"]),
        int(row["output_tokens"]),
        int(row["cache_read_tokens"]),
        int(row["cache_write_tokens"]),
        int(row["reasoning_tokens"]),
    )


def _cost(row: Mapping[str, Any], price: Price | None) -> int | None:
    """Return the group's cost in nano-dollars; its calls are of one tier, so their sum is priced as one."""
    if price is None or (not row["sized"] and not price.free):
        return None
    return price.cost(
        _usage(row), processing=row["processing"], prompt=int(row["tier"]) + 1, requests=int(row["attempts"])
    )


def _saved(row: Mapping[str, Any], price: Price | None) -> Decimal:
    if price is None or not row["sized"]:
        return Decimal(0)
    if row["usage_source"] == "replayed":
        return dollars(_cost(row, price) or 0)
    return dollars(price.saved_by_cache(_usage(row), processing=row["processing"], prompt=int(row["tier"]) + 1))


def _date(row: dict[str, Any], groups: Sequence[str], timezone: str) -> None:
    """Give the row the local dates of its quarter of an hour."""
    day = local_day(int(row["quarter"]) * QUARTER, timezone)
    first: dict[str, date] = {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}
    row.update({name: first[name] for name in _DATES if name in groups})


def _values(row: Mapping[str, Any], name: str) -> Sequence[Any]:
    if name == "tag":
        tags = [str(tag) for tag in row["tags"]]
        return tags or [""]
    return [row[bills.COLUMNS[name]] if name not in _DATES else row[name]]


def _table(rows: Sequence[Mapping[str, Any]], groups: Sequence[str]) -> pd.DataFrame:
    """Return a row per group, dearest first (dates in order), and the total as the last."""
    import pandas as pd

    found: dict[tuple[Any, ...], dict[str, float]] = {}
    for row in rows:
        keys: list[tuple[Any, ...]] = [()]
        for name in groups:
            keys = [(*key, value) for key in keys for value in _values(row, name)]
        for key in keys:
            _add(found.setdefault(key, {}), row)
    total: dict[str, float] = {}
    for row in rows:
        _add(total, row)
    dated = [name for name in groups if name in _DATES]
    order = sorted(found.items(), key=lambda one: (*(one[0][groups.index(name)] for name in dated), -one[1]["cost"]))
    table: list[list[Any]] = [[*map(str, key), *_figures(sums)] for key, sums in order]
    table.append(["total", *[""] * (len(groups) - 1), *_figures(total)])
    frame = pd.DataFrame(table, columns=[*groups, *_SUMS, "saved"])
    counts = [name for name in _SUMS if name not in ("cost", "estimated")]
    return frame.astype(dict.fromkeys(counts, "int64") | dict.fromkeys(("cost", "estimated", "saved"), "float64"))


def _add(sums: dict[str, float], row: Mapping[str, Any]) -> None:
    for name in (*_SUMS, "saved"):
        sums[name] = sums.get(name, 0) + (float(row[name]) if name == "saved" else row[name])


def _figures(sums: Mapping[str, float]) -> list[float]:
    # Dollars have nine decimals in the log; more are the binary fractions' own.
    return [round(sums.get(name, 0), 9) for name in (*_SUMS, "saved")]


def _days(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    found: dict[tuple[date, str], float] = {}
    for row in rows:
        key = (row["day"], f"{row['provider']}:{row['model']}")
        found[key] = found.get(key, 0.0) + row["cost"]
    table = [(day, model, round(cost, 9)) for (day, model), cost in sorted(found.items())]
    return pd.DataFrame(table, columns=["day", "model", "cost"])


def _repriced(found: Mapping[tuple[str, str], Sequence[float]]) -> pd.DataFrame:
    import pandas as pd

    table: list[list[Any]] = [[*key, *sums] for key, sums in sorted(found.items(), key=lambda one: -one[1][1])]
    totals = [sum(sums[place] for sums in found.values()) for place in range(4)]
    table.append(["total", "", *totals])
    frame = pd.DataFrame(table, columns=["provider", "model", "attempts", "cost", "repriced", "not_repriced"])
    frame.insert(5, "difference", frame["repriced"] - frame["cost"])
    return frame.astype({"attempts": "int64", "not_repriced": "int64"}).round(9)


def _share(rows: Sequence[Mapping[str, Any]]) -> float:
    cost = sum(row["cost"] for row in rows)
    return sum(row["estimated"] for row in rows) / cost if cost else 0.0
