"""The check: spool against archive against log against budgets; what differs, and by how much."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aikit.errors import LogError
from aikit.log.archive import archive_files
from aikit.log.ingest import Ingest, last_id, watermark
from aikit.log.reading import Reading
from aikit.log.schema import TABLES
from aikit.log.spool import Spool
from aikit.log.spool_file import spool_id

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["CheckReport", "Finding", "check"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that differs, or is missing."""

    what: str
    """Where to look: `spool`, `log`, `calls`, `budgets` …"""
    message: str
    expected: float | None = None
    """What one side says; None where it is no number."""
    found: float | None = None
    """What the other side says."""

    def __str__(self) -> str:
        return f"{self.what}: {self.message}"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check looked at, and what it found."""

    findings: tuple[Finding, ...]
    """Empty when all is well."""
    rows: dict[str, int]
    """Rows by table, as readers see them."""
    complete: bool
    """False when a foreign process held the log, so that only the spool could be looked at."""

    @property
    def ok(self) -> bool:
        """True when nothing differs and everything could be looked at."""
        return self.complete and not self.findings

    def __repr__(self) -> str:
        counts = ", ".join(f"{number:,} {name}" for name, number in self.rows.items() if number)
        if self.ok:
            return f"log checked: all is well ({counts or 'empty'})"
        lines = [f"log checked: {len(self.findings)} findings ({counts or 'empty'})", *map(str, self.findings)]
        return "\n- ".join(lines if self.complete else [*lines, "the history could not be looked at"])


def check(
    spool: Spool, reading: Reading, ingest: Ingest, *, audits: Sequence[Callable[[sqlite3.Connection], Iterable[str]]]
) -> CheckReport:
    """Look at everything, and repair nothing but a damaged DuckDB file."""
    findings: list[Finding] = list(_waiting(spool))
    for problem in spool.read(_integrity):
        findings.append(Finding("spool", f"the file is damaged: {problem}"))
    for audit in audits:
        findings += [Finding("budgets", sentence) for sentence in spool.read(lambda reader, a=audit: list(a(reader)))]
    try:
        (rows, found), complete = reading.run(lambda connection: _inspect(connection, spool))
    except LogError as error:
        return CheckReport((*findings, Finding("log", str(error))), {}, complete=False)
    return CheckReport((*findings, *found), rows, complete)


def _waiting(spool: Spool) -> Iterable[Finding]:
    if spool.fault is not None:
        yield Finding("spool", f"{spool.waiting} rows are in memory only: {spool.fault}", 0, spool.waiting)


def _integrity(connection: sqlite3.Connection) -> list[str]:
    found = [str(line) for (line,) in connection.execute("PRAGMA quick_check")]
    return [] if found == ["ok"] else found


def _inspect(connection: DuckDBPyConnection, spool: Spool) -> tuple[dict[str, int], list[Finding]]:
    rows = {t.name: _number(connection, f"SELECT count(*) FROM {t.name}") for t in TABLES.values()}
    findings = [*_doubled(connection), *_costs(connection), *_quarantined(connection)]
    if connection.execute("SELECT 1 FROM duckdb_databases() WHERE database_name = 'log'").fetchone():
        findings += [*_against_sources(connection, spool), *_blocks(connection)]
    return rows, findings


def _against_sources(connection: DuckDBPyConnection, spool: Spool) -> Iterable[Finding]:
    """Compare what the log has with what went into it: the archive's rows, and the spool's up to the watermark."""
    name = spool.read(spool_id)
    mark, last = watermark(connection, name), spool.read(last_id)
    if last < mark:
        yield Finding(
            "spool", f"it ends at row {last}, the log has its rows up to {mark}; see kit.log.recover()", mark, last
        )
        return
    expected = _sources(connection, spool, name, mark)
    quarantined = dict(connection.execute("SELECT kind, count(*) FROM log.quarantine GROUP BY kind").fetchall())
    for kind, table in TABLES.items():
        found = _number(connection, f"SELECT count(*) FROM log.{table.name}") + int(quarantined.get(kind, 0))
        # Archived texts are in the archive alone; one that a crash left in the log too does no harm.
        if kind == "payload":
            continue
        if found != expected[kind]:
            missing = expected[kind] - found
            sentence = f"{abs(missing)} rows {'are missing from' if missing > 0 else 'are too many in'} log.duckdb"
            yield Finding(table.name, f"{sentence} (archive and spool have {expected[kind]})", expected[kind], found)


def _sources(connection: DuckDBPyConnection, spool: Spool, name: str, mark: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    reached: dict[str, int] = {}
    for file in archive_files(spool.home):
        query = "SELECT kind, count(*) FROM read_parquet(?) WHERE id > ? GROUP BY kind"
        low = reached.get(file.spool_id, 0)
        counts.update(dict(connection.execute(query, [str(file.path), low]).fetchall()))
        reached[file.spool_id] = max(file.last, low)
    query = "SELECT kind, count(*) FROM spool WHERE id > ? AND id <= ? GROUP BY kind"
    counts.update(dict(spool.read(lambda reader: reader.execute(query, (reached.get(name, 0), mark)).fetchall())))
    return counts


def _doubled(connection: DuckDBPyConnection) -> Iterable[Finding]:
    for table, identity in (("calls", "call_id"), ("attempts", "attempt_id")):
        extra = _number(connection, f"SELECT count(*) - count(DISTINCT {identity}) FROM {table}")
        if extra:
            yield Finding(table, f"{extra} rows share their {identity} with another", 0, extra)


def _costs(connection: DuckDBPyConnection) -> Iterable[Finding]:
    query = """
        SELECT coalesce(sum(abs(c.cost - a.cost))::DOUBLE, 0), count(*) FROM calls c
        JOIN (SELECT call_id, sum(cost) AS cost FROM attempts GROUP BY call_id) a USING (call_id) WHERE c.cost <> a.cost
    """
    found = connection.execute(query).fetchone()
    if found and found[1]:
        yield Finding("calls", f"{found[1]} calls differ from their attempts, by ${found[0]:.6f} in all", 0, found[0])


def _quarantined(connection: DuckDBPyConnection) -> Iterable[Finding]:
    number = _number(connection, "SELECT count(*) FROM quarantine")
    if number:
        example = connection.execute("SELECT kind, error FROM quarantine LIMIT 1").fetchone() or ("", "")
        sentence = f"{number} rows fit no table; the first is a {example[0]}: {example[1]}"
        yield Finding("quarantine", f"{sentence}. kit.sql('select * from quarantine')", 0, number)


def _blocks(connection: DuckDBPyConnection) -> Iterable[Finding]:
    """Read every block of the file, so that a damaged one shows now; the caller makes the file anew then."""
    for table in TABLES.values():
        connection.execute(f"SELECT bit_xor(hash(t)) FROM log.{table.name} AS t").fetchall()
    return ()


def _number(connection: DuckDBPyConnection, query: str) -> int:
    found = connection.execute(query).fetchone()
    return int(found[0]) if found else 0
