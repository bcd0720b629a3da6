"""All methods behind their one interface, on a tiny network; what each finds is tested beside it, in its own file."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from backend.editing.methods import METHODS, Case
from backend.editing.scene import Scene, steered
from backend.jacobian.generalized import Memory, remember
from backend.jacobian.linearize import linearize, restrict
from backend.jacobian.svd import exact, svd
from backend.request import finish
from tests.denoiser import examples

DIRECTIONS = {"generalized", "held", "loco", "label_direction", "epsilon", "pullback", "random"}


@pytest.fixture(scope="module")
def case() -> Case:
    denoiser = examples.unet()
    generator = torch.Generator().manual_seed(1)
    x_t, x_0 = torch.randn(2, 3, 16, 16, generator=generator)
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[4:9, 6:12] = True
    scene = Scene(denoiser, torch.tensor(1), x_t, 0.5, mask)
    memory = Memory()
    svd(remember(linearize(lambda x: scene.bound(x, scene.t), x_t), memory), 4)
    torch.manual_seed(3)
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))
    shift = torch.randn(16, 4, 4, generator=generator)
    word = torch.randn(denoiser.unet.class_embedding.weight.shape[1], generator=generator)
    return Case(scene, x_0.tanh(), memory, 2, classifier, shift, word)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_a_unit_direction_or_a_steering_that_starts_at_the_model(case, name):
    found = finish(METHODS[name].find(case))
    assert isinstance(found, torch.Tensor) == (name in DIRECTIONS)
    if isinstance(found, torch.Tensor):
        assert found.shape == case.x_0.shape and float(found.norm()) == pytest.approx(1, abs=1e-5)
        return
    scene = case.scene
    x_t = scene.x_t.expand(2, *scene.x_t.shape)
    with torch.no_grad():
        still, moved = steered(scene, found, torch.tensor([0.0, 1.0]))(x_t, scene.t)
    torch.testing.assert_close(still, scene.bound(scene.x_t, scene.t), atol=1e-5, rtol=0)
    assert float(scene.rms((moved - still)[None])) == pytest.approx(0.1, rel=0.05), "to first order"


def test_loco_and_generalized_directions_are_what_they_are_called(case):
    scene = case.scene
    jacobian = linearize(lambda x: scene.bound(x, scene.t), scene.x_t)
    inside, outside = exact(restrict(jacobian, scene.mask), 1), exact(restrict(jacobian, ~scene.mask), 5)
    expected, rest = inside.V.flatten(), outside.V.flatten(1)
    expected = expected - (rest @ expected) @ rest
    loco = finish(METHODS["loco"].find(case))
    cosine = torch.nn.functional.cosine_similarity(loco.flatten(), expected, dim=0)
    assert float(cosine.abs()) > 1 - 1e-3

    def leak(v: torch.Tensor) -> float:
        change = jacobian.jvp(v[None])[0].square()
        return float((change * ~scene.mask).sum() / (change * scene.mask).sum())

    assert leak(finish(METHODS["generalized"].find(case))) < leak(loco)


def test_finding_leaves_what_was_explored_alone(case):
    before = len(case.memory.inputs)
    finish(METHODS["generalized"].find(case))
    assert len(case.memory.inputs) == len(case.memory.images) == before


def test_another_seed_is_another_random_direction(case):
    first, other = (finish(METHODS["random"].find(replace(case, seed=seed))) for seed in (0, 1))
    assert abs(float((first * other).sum())) < 0.2


def test_a_closed_form_has_the_methods_that_need_no_network_and_no_labels():
    able = {name for name, method in METHODS.items() if method.works_on(examples.mixture())}
    assert able == {"generalized", "held", "loco", "epsilon", "random"}
    able = {name for name, method in METHODS.items() if method.works_on(examples.unet(classes=0))}
    assert able == {"generalized", "held", "loco", "epsilon", "random", "pullback"}
    assert all(method.works_on(examples.unet()) for method in METHODS.values())
