"""Results as values: round trips, notebook views, the package's front."""

from __future__ import annotations

import inspect
import json
import math
import pkgutil
import subprocess
import sys

import pytest

import aikit.stats
from aikit.errors import DataError
from aikit.stats import Estimate, Interval, Margin, clustered_mean
from aikit.stats.results import Record, Tested


@pytest.mark.parametrize(
    "record",
    [
        Interval(-math.inf, 2.0, 0.9),
        Margin(relative=0.2),
        Estimate(math.inf, None, None, method="Infinity", details={"x": -math.inf, "n": {"deep": 1.0}}),
        Tested(0.5, details={"flips": 8}, warnings=("one", "two")),
        clustered_mean([1.0, 2.0, 4.0]),
    ],
)
def test_a_result_survives_strict_json(record):
    data = json.loads(json.dumps(record.to_dict(), allow_nan=False))
    assert type(record).from_dict(data) == record and Record.from_dict(data) == record


def test_a_foreign_dict_is_refused():
    with pytest.raises(DataError):
        Interval.from_dict(Margin(relative=0.1).to_dict())
    for name in ("os.system", "results.html", "nowhere.Thing", "Interval"):
        with pytest.raises(DataError):
            Record.from_dict({"type": name})


def test_a_notebook_shows_names_as_text():
    shown = Tested(0.5, method="<img src=x onerror=alert(1)>")._repr_html_()
    assert "<img" not in shown and "&lt;img" in shown


def test_a_result_says_a_sentence():
    assert Interval(1.0, 2.0).sentence == "0.95 interval 1 to 2"
    assert "estimate 2.333" in clustered_mean([1.0, 2.0, 4.0]).sentence
    assert clustered_mean([1.0, 2.0, 4.0]).interval.low < 0


def test_importing_the_package_loads_no_numerical_library():
    code = "import sys, aikit.stats; print(*({'numpy', 'scipy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_every_public_name_exists_and_none_hides_a_module():
    names = aikit.stats.__all__
    modules = {one.name for one in pkgutil.iter_modules(aikit.stats.__path__)}
    assert not set(names) & modules
    found = [getattr(aikit.stats, name) for name in names]
    assert all(one.__doc__ for one in found if inspect.isclass(one) or inspect.isfunction(one))
    assert set(names) <= set(dir(aikit.stats))
    with pytest.raises(AttributeError):
        aikit.stats.nothing  # noqa: B018
