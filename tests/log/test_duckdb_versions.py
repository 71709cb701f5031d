"""Both majors of DuckDB: each opens, reads and extends what the other wrote."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.log import workers

OLDER = "1.5.5"

ROUND = """
import sys, duckdb
assert duckdb.__version__.startswith(sys.argv[2]), duckdb.__version__
from tests.log.rows import record
from aikit.log import Log
with Log.open(sys.argv[1], ingest_seconds=3600) as log:
    before = len(log.calls())
    record(log, 20, tags=("a",), text="some text")
    assert len(log.calls(tags="a", texts=True)) == before + 20
    log.ingest_now()
    if before == 20:
        log.compact()
    assert len(log.attempts()) == before + 20
    assert log.sql("select sum(cost)::VARCHAR as c from calls").c[0].startswith("0.0") or before
    report = log.check()
    assert report.ok, report
print(before + 20)
"""

DAMAGE = """
import sys, warnings
from tests.log.rows import record
from aikit.log import Log
with Log.open(sys.argv[1], ingest_seconds=3600) as log:
    record(log, 300)
    log.compact()
data = bytearray(open(sys.argv[1] + "/log.duckdb", "rb").read())
for at in range(20_000, len(data), 40_000): data[at] ^= 0xFF
open(sys.argv[1] + "/log.duckdb", "wb").write(data)
with Log.open(sys.argv[1], ingest_seconds=3600) as log, warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert len(log.calls()) == 300
    assert any("made anew" in str(one.message) for one in caught)
    assert log.check().ok
print("whole")
"""


@pytest.fixture(scope="session")
def older(tmp_path_factory):
    """A folder with the older major, laid over the installed one by PYTHONPATH."""
    if version("duckdb").startswith("1."):
        pytest.skip("the older major of DuckDB is the installed one")
    folder = tmp_path_factory.mktemp("duckdb")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(folder),
        f"duckdb=={OLDER}",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not (Path(folder) / "duckdb").exists():
        pytest.skip(f"duckdb {OLDER} can't be installed here: {done.stderr.strip().splitlines()[-1:]}")
    return folder


def test_the_majors_take_turns_on_one_log(home, older):
    newer = version("duckdb")
    assert workers.run(home, newer, code=ROUND).strip() == "20"
    assert workers.run(home, OLDER, code=ROUND, overlay=older).strip() == "40"
    assert workers.run(home, newer, code=ROUND).strip() == "60"


def test_the_older_major_tells_damage_from_a_lock(home, older):
    assert workers.run(home, code=DAMAGE, overlay=older).strip() == "whole"


def test_the_older_major_names_the_stranger(home, older):
    code = """
import subprocess, sys, warnings
from tests.log.rows import record
from aikit.errors import LogBusy
from aikit.log import Log
with Log.open(sys.argv[1], ingest_seconds=3600) as log:
    record(log, 3)
    log.ingest_now()
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    path = sys.argv[1] + "/log.duckdb"
    other = subprocess.Popen([sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.readline()
    try: log.ingest_now()
    except LogBusy as busy: print(busy.pid == other.pid)
    other.communicate()
"""
    assert workers.run(home, code=code, overlay=older).strip() == "True"
