"""Curves and clouds of points as options of ECharts, thinned out where there are many points."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

# The palette of Okabe and Ito, as in the displays, with a blue that is readable on both themes: a
# chart is drawn once, and the theme may change below it.
COLOURS = ("#2a8bd0", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a949c")
# Greys that are readable on both themes: a chart is drawn once.
_TEXT, _LINE = "#7d8a94", "rgba(128,140,150,0.22)"
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'
# Labels of axes, by the browser: a constant, nothing of the data is in it.
_SHORT = "v => v && (Math.abs(v) >= 1e6 || Math.abs(v) < 1e-3) ? v.toExponential() : String(v)"
MOST_POINTS = 2000  # of one curve


def thinned(x, y, most=MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `most` points of a curve, with its extremes.

    In each stretch of the curve the lowest and the highest point are kept, so that no spike is
    lost.

    Parameters
    ----------
    x, y : array-like of shape (n_points,)
    most : int, default=MOST_POINTS

    Returns
    -------
    x, y : ndarray of shape (n_kept,)

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.ui._charts import thinned
    >>> y = np.zeros(100_000)
    >>> y[54_321] = 1.0
    >>> x, kept = thinned(np.arange(100_000), y)
    >>> len(kept) <= 2000, kept.max(), x[kept.argmax()]
    (True, np.float64(1.0), np.int64(54321))
    """
    x, y = np.asarray(x), np.asarray(y, dtype=np.float64)
    if len(y) <= most:
        return x, y
    edges = np.linspace(0, len(y), most // 2 + 1).astype(np.intp)
    low = np.where(np.isnan(y), np.inf, y)
    high = np.where(np.isnan(y), -np.inf, y)
    picked = []
    for start, stop in pairwise(edges):
        picked += sorted({start + low[start:stop].argmin(), start + high[start:stop].argmax()})
    return x[picked], y[picked]


def curves(series, *, x="", y="", log=None, title="") -> dict:
    """Return a chart of curves.

    Parameters
    ----------
    series : dict of str to (x, y)
    x, y : str
        Names of the axes.
    log : bool or None, default=None
        Logarithmic y axis; None where values are positive and span more than a decade and a half.
    title : str

    Returns
    -------
    dict
        Options of ECharts.
    """
    drawn: list[dict[str, Any]] = []
    for k, (name, (xs, ys)) in enumerate(series.items()):
        xs, ys = thinned(xs, ys)
        drawn.append(
            {
                "type": "line",
                "name": str(name),
                "showSymbol": len(ys) < 40,
                "symbolSize": 5,
                "sampling": "none",
                "animation": False,
                "lineStyle": {"width": 2},
                "color": COLOURS[k % len(COLOURS)],
                "data": points(xs, ys),
            }
        )
    values = [v for one in drawn for _, v in one["data"] if v is not None]
    if log is None:
        log = bool(values) and min(values) > 0 and max(values) > 30 * min(values)
    return _options(drawn, x, y, log, title)


def axis_of(title) -> str:
    """Return the name of the axis of curves: the unit in their title, or else the title.

    Examples
    --------
    >>> from sk_ednn.ui._charts import axis_of
    >>> axis_of("Error of forces (meV/Å)"), axis_of("Learning rate")
    ('meV/Å', 'learning rate')
    """
    unit = title.partition(" (")[2].removesuffix(")")
    return unit or title.lower()


def scatter(series, *, x="", y="", diagonal=False, title="") -> dict:
    """Return a chart of points.

    Parameters
    ----------
    series : dict of str to (x, y)
    x, y : str
        Names of the axes.
    diagonal : bool, default=False
        Draw the line on which both are equal.
    title : str
    """
    drawn, every = [], []
    for k, (name, (xs, ys)) in enumerate(series.items()):
        xs, ys = _some(np.asarray(xs, float), np.asarray(ys, float))
        every += [xs, ys]
        drawn.append(
            {
                "type": "scatter",
                "name": str(name),
                "symbolSize": 6,
                "animation": False,
                "color": COLOURS[k % len(COLOURS)],
                "itemStyle": {"opacity": 0.75},
                "data": points(xs, ys),
            }
        )
    if diagonal and sum(map(len, every)):
        both = np.concatenate(every)
        both = both[np.isfinite(both)]
        ends = [float(both.min()), float(both.max())] if len(both) else [0.0, 1.0]
        drawn.append(
            {
                "type": "line",
                "name": "equal",
                "showSymbol": False,
                "silent": True,
                "animation": False,
                "lineStyle": {"width": 1, "type": "dashed", "color": _TEXT},
                "color": _TEXT,
                "data": [[end, end] for end in ends],
            }
        )
    return _options(drawn, x, y, False, title)


def points(xs, ys) -> list:
    """Return pairs for JSON: numbers that are not finite become gaps."""
    xs, ys = np.asarray(xs, float), np.asarray(ys, float)
    return [
        [x, y if np.isfinite(y) else None]
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True)
        if np.isfinite(x)
    ]


def _some(xs, ys, most=4000):
    if len(xs) <= most:
        return xs, ys
    taken = np.linspace(0, len(xs) - 1, most).astype(np.intp)
    return xs[taken], ys[taken]


def _options(drawn, x, y, log, title) -> dict:
    names = [one["name"] for one in drawn if one["name"] != "equal"]
    axis = {
        "axisLabel": {"color": _TEXT, "hideOverlap": True, ":formatter": _SHORT},
        "axisLine": {"lineStyle": {"color": _LINE}, "onZero": False},
        "splitLine": {"lineStyle": {"color": _LINE}},
        "nameTextStyle": {"color": _TEXT},
        "scale": True,
    }
    return {
        "backgroundColor": "transparent",
        "textStyle": {"fontFamily": _FONT},
        "aria": {"enabled": True, "label": {"description": title or f"{y} over {x}"}},
        # As text on the canvas: labels may contain anything.
        "tooltip": {"trigger": "item", "renderMode": "richText", "confine": True},
        "legend": {
            "show": len(names) > 1,
            "data": names,
            "type": "scroll",
            "top": 0,
            # Beside the name of the y axis, also where the chart is narrow.
            "left": 50 + 7 * len(y) if y else 0,
            "right": 0,
            "textStyle": {"color": _TEXT},
        },
        "grid": {"left": 12, "right": 28, "top": 34, "bottom": 26, "containLabel": True},
        "xAxis": {**axis, "type": "value", "name": x, "nameLocation": "middle", "nameGap": 26},
        "yAxis": {
            **axis,
            "type": "log" if log else "value",
            "name": y,
            "nameTextStyle": {"color": _TEXT, "align": "left"},
        },
        "series": drawn,
    }
