"""The panel of the Jacobian of the difference: a digit taken apart, and the run that it opens with."""

import re

import gradio as gr
import numpy as np
import pytest
import torch

from backend.experiments.guide_jacobian import SplitJacobian
from backend.inference.cache import find
from backend.inference.load import load
from backend.inference.run import run
from components import guidance_jacobian_panel as panel
from components.chart import Point
from components.pictures import data_uri

REQUEST = SplitJacobian("digits", "gallery:3", t=0.4, k=3)


@pytest.fixture(scope="module")
def split():
    *_, result = run(REQUEST)
    return result


def test_bars_are_eigenvalues_and_points_the_linear_models(split):
    pos, neg, linear_pos, linear_neg = panel._values(split).data
    assert np.allclose(pos.y, split.positive.values) and (np.array(pos.y) > 0).all()
    assert np.allclose(neg.y, split.negative.values) and (np.array(neg.y) < 0).all()
    assert list(pos.x) == list(neg.x) == [1, 2, 3]
    assert np.allclose(linear_pos.y, split.positive.linear) and np.allclose(
        linear_neg.y, split.negative.linear
    )
    assert linear_pos.marker.color == pos.marker.color != neg.marker.color


def test_a_touched_bar_is_its_eigenvector(split):
    for curve, half, name in (
        (0, split.positive, "Pos-CPC"),
        (1, split.negative, "Neg-CPC"),
        (3, split.negative, "Neg-CPC"),
    ):
        shown = panel._touched(Point(curve, 2, 3, 0.0), REQUEST)
        vector = half.vectors[2].float()
        assert data_uri(vector / vector.abs().max()) in shown
        assert f"<b>{name} 3</b>: eigenvalue {float(half.values[2]):.3f}".replace("-0", "−0") in shown
        assert f"{float(half.cosine[2]):.2f}" in shown
    with pytest.raises(gr.Error, match="rank"):
        panel._touched(Point(0, 9), REQUEST)
    with pytest.raises(gr.Error, match="at hand"):
        panel._touched(Point(0, 0), SplitJacobian("digits", "gallery:9", k=2))
    with pytest.raises(gr.Error, match="at hand"):
        panel._touched(Point(7, 0), REQUEST)


def test_a_component_without_a_linear_one_says_so(split):
    from dataclasses import replace

    few = replace(split.positive, cosine=torch.full((3,), torch.nan), linear=split.positive.linear[:0])
    assert "has no Pos-CPC 1" in panel._chosen(replace(split, positive=few), "Pos-CPC", 0)


def test_pictures_are_those_of_both_signs(split):
    tiles = panel._tiles(split)
    assert tiles.count("<img") == 3 + 3 + 3
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", tiles)
    assert captions[:4] == ["x_t", "D_c", "D_c − D_u", f"Pos 1: {float(split.positive.values[0]):.2f}"]
    assert data_uri(split.conditional.float()) in tiles


def test_words_hold_the_numbers(split):
    words = panel._words(split)
    assert f"= {split.asymmetry:.2f} ± {split.asymmetry_error:.2f}" in words
    assert f"hold {100 * split.held:.0f} ±" in words and f"{split.products} Jacobian products" in words
    assert f"{split.homogeneity:.2f} of |D_c − D_u|" in words and "heuristic" in words


def test_every_weight_is_a_scene_of_four_means(split):
    scenes = panel._means(split, REQUEST)
    assert scenes.key == REQUEST.key() and len(scenes.scenes) == len(panel.GAMMAS)
    first, last = scenes.scenes[0], scenes.scenes[-1]
    assert first.caption == "γ = 0" and {p.uri for p in first.pictures} == {
        data_uri(split.conditional.float())
    }
    assert [p.label for p in last.pictures] == list(panel.GUIDED.values())
    wanted = split.conditional.float() + 15 * split.difference.float()
    assert last.pictures[3].uri == data_uri(wanted)
    assert last.pictures[0].uri == data_uri(split.guided(15, "positive")) != last.pictures[1].uri


def test_classes_follow_the_model():
    assert panel._labels("digits", "happy").value == "" and panel._labels("avatars", "happy").value == "happy"
    assert [value for _, value in panel._labels("patches", "").choices] == [""]


def test_the_shipped_run_can_be_made_again():
    shipped = find(panel.FIRST)
    *_, again = panel.FIRST.run(load("avatars"))
    for name in ("positive", "negative"):
        torch.testing.assert_close(
            getattr(again, name).values, getattr(shipped, name).values, rtol=1e-3, atol=1e-4
        )
        torch.testing.assert_close(
            getattr(again, name).linear, getattr(shipped, name).linear, rtol=1e-3, atol=1e-5
        )
        cosines = (getattr(again, name).vectors[0].float() * getattr(shipped, name).vectors[0].float()).sum()
        assert float(cosines) > 0.999
    assert again.asymmetry == pytest.approx(shipped.asymmetry, abs=3 * shipped.asymmetry_error)
