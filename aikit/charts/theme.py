"""How every chart looks, shows itself in a notebook, and is saved: Altair charts with a bundle of our own."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, cast

__all__ = ["PALETTE", "as_svg", "finished"]

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Colours that colour-blind readers tell apart. Source: M. Okabe and K. Ito, "Color Universal Design", 2008."""

INK = "#808080"
"""Grey that reads on white (3.9:1) and on a dark theme's background alike; a chart can't ask which it stands on."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


def finished(chart: Any) -> Any:
    """Return the chart with aikit's theme, and with the bundle and `save` that work without a network."""
    themed = chart.configure(
        background="transparent",
        font="system-ui, sans-serif",
        axis={"labelColor": INK, "titleColor": INK, "gridColor": INK, "gridOpacity": 0.2, "domainColor": INK,
              "tickColor": INK, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
              "labelLimit": 260},
        legend={"labelColor": INK, "titleColor": INK, "orient": "top", "labelFontSize": 12, "titleFontSize": 12},
        title={"color": INK, "anchor": "start", "fontSize": 14, "subtitleColor": INK},
        header={"labelColor": INK, "titleColor": INK},
        text={"color": INK},
        view={"stroke": None},
        range={"category": list(PALETTE)},
    )  # fmt: skip
    # Past Altair, whose own __setattr__ would write it into the specification.
    object.__setattr__(themed, "__class__", _shown(cast("type[Any]", type(themed))))
    return themed


@cache
def _shown(kind: type) -> type:
    """Return a kind of Altair chart that shows and saves itself as aikit's charts do."""

    def bundle(self: Any, include: object = None, exclude: object = None) -> dict[str, Any]:
        # JupyterLab 4.6 renders Vega-Lite 5 by itself and not 6; text/html would win over both and needs a CDN.
        spec = self.to_dict()
        spec["$schema"] = SCHEMA
        return {
            "application/vnd.vegalite.v5+json": spec,
            "image/svg+xml": as_svg(self),
            "text/plain": f"<{spec.get('title', 'chart')!s} — save it with chart.save('chart.png')>",
        }

    def save(self: Any, path: str | Path, *, scale: float = 2.0) -> Path:
        """Write the chart as PNG, SVG, PDF, HTML (self-contained) or JSON, by the path's ending."""
        target = Path(path)
        ending = target.suffix.lower()
        if ending not in _WRITERS:
            raise ValueError(
                f"can't save a chart as {ending or 'a file without an ending'!r}; known: {', '.join(_WRITERS)}"
            )
        content = _WRITERS[ending](self, scale)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    return type(kind.__name__, (kind,), {"_repr_mimebundle_": bundle, "save": save, "__module__": kind.__module__})


def as_svg(chart: Any) -> str:
    """Return the chart as SVG, drawn in this process."""
    import vl_convert

    return vl_convert.vegalite_to_svg(_spec(chart))


def _spec(chart: Any) -> str:
    return json.dumps(chart.to_dict())


def _png(chart: Any, scale: float) -> bytes:
    import vl_convert

    # A picture file has no page behind it: grey on transparent would vanish in a dark viewer.
    spec = chart.to_dict()
    spec.setdefault("config", {})["background"] = "white"
    return vl_convert.vegalite_to_png(json.dumps(spec), scale=scale)


def _pdf(chart: Any, scale: float) -> bytes:
    import vl_convert

    return vl_convert.vegalite_to_pdf(_spec(chart), scale=1.0)


def _html(chart: Any, scale: float) -> str:
    import vl_convert

    return vl_convert.vegalite_to_html(_spec(chart), bundle=True)


def _svg(chart: Any, scale: float) -> str:
    return as_svg(chart)


def _json(chart: Any, scale: float) -> str:
    return _spec(chart)


_WRITERS: dict[str, Any] = {
    ".png": _png,
    ".svg": _svg,
    ".pdf": _pdf,
    ".html": _html,
    ".json": _json,
}
