"""The charts: what they hold, how they show themselves, and that they save without a network."""

import json

import numpy as np
import pandas as pd
import pytest

import aikit

EFFECTS = pd.DataFrame(
    {
        "label": ["label", "cost"],
        "estimate": [7.5, -18.0],
        "low": [2.0, -np.inf],
        "high": [13.4, -9.0],
        "group": ["difference", "relative difference"],
        "unit": ["points", "%"],
    }
)
CALLS = pd.DataFrame({"duration": np.random.default_rng(0).lognormal(0, 1, 200_000), "model": ["a", "b"] * 100_000})


def made():
    return {
        "forest": aikit.charts.forest(EFFECTS, title="Effects"),
        "latency": aikit.charts.latency(CALLS),
        "differences": aikit.charts.differences(pd.DataFrame({"difference": np.arange(1000) / 7})),
        "spend": aikit.charts.spend(
            pd.DataFrame({"day": ["2026-11-01", "2026-11-02"], "cost": [0.5, 0.25]}), limit=1.0
        ),
    }


@pytest.mark.parametrize("name", ["differences", "forest", "latency", "spend"])
def test_a_chart_shows_itself_offline_and_stays_small(name):
    chart = made()[name]
    bundle = chart._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.vegalite.v5+json", "image/svg+xml", "text/plain"}
    assert bundle["application/vnd.vegalite.v5+json"]["$schema"].endswith("/v5.json")
    assert bundle["image/svg+xml"].startswith("<svg")
    assert len(json.dumps(chart.to_dict())) <= 50_000


@pytest.mark.parametrize(
    ("ending", "start"),
    [("png", b"\x89PNG"), ("svg", b"<svg"), ("pdf", b"%PDF"), ("html", b"<!DOCTYPE"), ("json", b"{")],
)
def test_a_chart_saves_as(ending, start, tmp_path):
    path = aikit.charts.forest(EFFECTS).save(tmp_path / f"chart.{ending}")
    assert path.read_bytes().lstrip()[: len(start)].upper() == start.upper()


def test_a_chart_does_not_save_as_something_else(tmp_path):
    with pytest.raises(ValueError, match=r"\.docx"):
        aikit.charts.forest(EFFECTS).save(tmp_path / "chart.docx")


def test_every_axis_says_its_unit():
    spec = json.dumps({name: chart.to_dict() for name, chart in made().items()})
    for title in ("difference (points)", "relative difference (%)", "seconds, log scale", "US dollars", "samples"):
        assert title in spec


def test_an_interval_without_an_end_is_drawn_to_the_edge():
    spec = aikit.charts.forest(EFFECTS).to_dict()
    rows = [row for rows in spec["datasets"].values() for row in rows if row.get("label") == "cost"]
    assert all(np.isfinite(row["from"]) for row in rows)


@pytest.mark.parametrize("chart", ["forest", "latency", "spend"])
def test_nothing_to_show_is_said_and_not_raised(chart):
    columns = {"forest": list(EFFECTS), "latency": ["duration", "model"], "spend": ["day", "cost"]}[chart]
    assert getattr(aikit.charts, chart)(pd.DataFrame(columns=columns)).to_dict()
