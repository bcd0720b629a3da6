"""The table of statements and the chart of the ablation, from rows written by hand."""

import json

import numpy as np
import pytest

import app  # noqa: F401  what a link can name
from backend.request import Request
from components import guidance_claims_panel as panel


def claim(sentence="A < B.", holds=True, **values):
    row = {
        "what": "a", "claim": sentence, "source": "Nobody 2030", "verdict": "holds", "expected": "> 1", "holds": holds,
        "link": "v=1&do=GuideGaussian&gamma=2.0", "value": 1.5, "low": 1.2, "high": 1.9, "n": 7,
    }  # fmt: skip
    return row | values


def ablated(arm, measure, value, window="everywhere", gamma=4.0, data="digits"):
    where = "" if window == "everywhere" else f", {window}"
    return {
        "data": data, "arm": arm, "gamma": gamma, "window": window, "measure": f"{measure}{where}",
        "value": value, "low": value - 0.1, "high": value + 0.2, "n": 100,
    }  # fmt: skip


def test_a_statement_stands_above_its_numbers_with_a_verdict():
    html = panel._table(
        [claim(), claim(holds=False), claim("Another.", verdict="does not hold", link=None, expected="")]
    )
    assert html.count("<tr>") == 1 + 2 + 3  # the head, two statements, three numbers
    assert "A &lt; B." in html and "Nobody 2030" in html
    assert html.count("✓") == 2 + 1 and html.count("✗") == 1 + 1  # numbers and verdicts
    assert html.count("<a href='?v=1&amp;do=GuideGaussian&amp;gamma=2.0'>") == 2
    assert "1.2 to 1.9" in html


def test_a_number_without_error_is_called_exact():
    assert "exact" in panel._row(claim(low=1.5, high=1.5))


def test_every_setting_with_both_measures_is_a_point():
    rows = [
        ablated("network", "variance", 0.5), ablated("network", "Frechet", 2.0),
        ablated("network", "variance", 0.6, "noisy half"), ablated("network", "Frechet", 3.0, "noisy half"),
        ablated("mean shift", "variance", 0.7), ablated("mean shift", "recall", 0.7),
        ablated("network", "variance", 9.0, data="avatars"), ablated("network", "Frechet", 9.0, data="avatars"),
    ]  # fmt: skip
    (trace,) = panel._ablation(rows, "digits").data
    assert trace.name == "network"
    assert np.allclose(trace.x, [0.5, 0.6]) and np.allclose(trace.y, [2.0, 3.0])
    assert trace.marker.symbol == ("circle", "triangle-up")
    assert np.allclose(trace.error_x.arrayminus, 0.1) and np.allclose(trace.error_y.array, 0.2)


@pytest.mark.skipif(not panel.CLAIMS.exists(), reason="not measured yet")
def test_the_links_of_what_was_measured_open():
    for row in json.loads(panel.CLAIMS.read_text())["rows"]:
        if row["link"]:
            Request.from_query(row["link"]).check()
