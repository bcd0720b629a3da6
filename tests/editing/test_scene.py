"""The unit that methods share: strength 1 is a predicted change of STEP inside the region."""

import pytest
import torch

from backend.editing.baselines import label_switch
from backend.editing.directions import STEP
from backend.editing.label_direction import label_direction
from backend.editing.scene import Scene, along, steered
from backend.jacobian.linearize import linearize, restrict
from backend.jacobian.svd import exact
from backend.request import finish
from tests.denoiser import examples


@pytest.fixture(scope="module")
def scene() -> Scene:
    denoiser = examples.unet().double()
    x_t = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[4:9, 6:12] = True
    return Scene(denoiser, torch.tensor(1), x_t, 0.5, mask)


def test_a_direction_moves_by_the_unit(scene):
    jacobian = linearize(lambda x: scene.bound(x, scene.t), scene.x_t)
    v = torch.randn(scene.x_t.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x = along(scene, v, jacobian.jvp(v[None])[0], torch.tensor([0.0, 1.0, -3.0]))
    assert torch.equal(x[0], scene.x_t)
    predicted = jacobian.jvp(x - scene.x_t)
    expected = STEP * torch.tensor([0.0, 1.0, 3.0]).double()
    torch.testing.assert_close(scene.rms(predicted), expected)
    assert scene.size == 5 * 6 * 3
    torch.testing.assert_close(predicted[1][:, scene.mask].square().mean().sqrt(), expected[1])


def test_a_steering_changes_by_the_unit(scene):
    steering = label_switch.steering(scene.denoiser, scene.label, torch.tensor(2))
    strengths = torch.tensor([-2.0, 0.0, 1.0])
    moved = steered(scene, steering, strengths)(scene.x_t.expand(3, 3, 16, 16), scene.t)
    change = moved - scene.bound(scene.x_t, scene.t)
    torch.testing.assert_close(scene.rms(change), STEP * strengths.abs().double())


def test_a_steering_that_does_nothing_is_refused(scene):
    steering = label_switch.steering(scene.denoiser, scene.label, scene.label)
    with pytest.raises(ValueError, match="does not change"):
        steered(scene, steering, torch.ones(1))


def test_the_switch_at_scale_one_is_the_other_label(scene):
    switched = label_switch.steering(scene.denoiser, scene.label, torch.tensor(2))(torch.tensor([0.0, 1.0]))
    found = switched(scene.x_t.expand(2, 3, 16, 16), scene.t)
    torch.testing.assert_close(found[0], scene.bound(scene.x_t, scene.t))
    torch.testing.assert_close(found[1], scene.denoiser(scene.x_t, scene.t, label=torch.tensor(2)))


def test_the_direction_of_a_label_is_the_pulled_back_difference_without_the_rest(scene):
    v = finish(label_direction(scene, torch.tensor(2), rank=2))
    wanted = torch.tensor(2)
    towards = linearize(lambda x: scene.denoiser(x, scene.t, label=wanted), scene.x_t)
    here = linearize(lambda x: scene.bound(x, scene.t), scene.x_t)
    expected = towards.vjp(((towards.value - here.value) * scene.mask)[None]).flatten()
    rest = exact(restrict(here, ~scene.mask), 2).V.flatten(1)
    expected = expected - (rest @ expected) @ rest
    cosine = torch.nn.functional.cosine_similarity(v.flatten(), expected, dim=0)
    assert float(cosine) > 1 - 1e-3 and float(v.norm()) == pytest.approx(1)
    change = towards.jvp(v)[0] * scene.mask
    assert (change * (towards.value - here.value)).sum() > 0, "it leads towards the label"


def test_a_label_has_no_direction_to_itself(scene):
    with pytest.raises(ValueError, match="agree"):
        finish(label_direction(scene, scene.label, rank=0))
