import pytest
import torch
from diffusers import DDIMScheduler

from backend.denoiser.base import branches, given
from backend.denoiser.unet import UNetDenoiser
from backend.schedule import CosineSchedule
from tests.denoiser.contract import check_contract
from tests.denoiser.examples import unet

LABELS = torch.tensor([0, 1, 2, 0])
PREDICTIONS = ["epsilon", "v_prediction", "sample"]


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_contract(prediction):
    check_contract(unet(prediction).double(), {"label": LABELS})


def test_contract_without_classes_and_patches():
    check_contract(unet(classes=0, patch=1).double())


def test_contract_of_a_given_denoiser():
    check_contract(given(unet().double(), label=torch.tensor(2)))


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("step", [0, 300, 999])
def test_posterior_mean_is_that_of_diffusers(prediction, step):
    """Against `pred_original_sample` of DDIM, with the network called as diffusers calls it."""
    D = unet(prediction, classes=0, patch=1)
    scheduler = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type=prediction, clip_sample=False
    )
    scheduler.set_timesteps(1000)
    x = torch.randn(2, *D.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = D.unet(x, torch.tensor(step)).sample
        expected = scheduler.step(output, step, x).pred_original_sample
        actual = D(x, (step + 1) / 1000)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_network_is_asked_between_its_steps():
    """A Python float would be rounded to an integer on its way into diffusers."""
    D = unet("sample", classes=0, patch=1)
    asked = []
    D.unet.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[1]))
    x = torch.zeros(3, *D.shape)
    D(x, torch.tensor([0.3005, 1.0, 1e-4]))
    torch.testing.assert_close(asked[0], torch.tensor([299.5, 999.0, 0.0]), rtol=0, atol=1e-4)
    assert asked[0].dtype == torch.float32


@torch.no_grad()
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_without_noise_the_picture_is_its_own_mean(prediction):
    D = unet(prediction)
    x = torch.randn(2, *D.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(D(x, 0.0), x)
    errors = [(D(x, D.schedule.t_min * f) - x).abs().max().item() for f in (1e-1, 1e-2, 1e-3)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2] > 0


@torch.no_grad()
def test_patches_are_folded_into_channels():
    D, seen = unet("sample", classes=0, patch=2), []
    D.unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.arange(3 * 16 * 16.0).reshape(3, 16, 16)
    D(x, 0.5)
    assert D.shape == (3, 16, 16) and seen[0].shape == (1, 12, 8, 8)
    torch.testing.assert_close(seen[0][0, :4, 0, 0], x[0, :2, :2].flatten())

    D.unet.forward = lambda x, step, class_labels, return_dict: (x,)
    assert torch.equal(D(x, 0.5), x)  # pixels come back where they were


@torch.no_grad()
def test_missing_and_negative_labels_are_the_last_embedding():
    D, labels = unet(), []
    D.unet.class_embedding.register_forward_pre_hook(lambda _, inputs: labels.append(inputs[0].tolist()))
    x = torch.zeros(3, *D.shape)
    D(x, 0.5)
    D(x, 0.5, label=torch.tensor(-1))
    D(x, 0.5, label=torch.tensor([0, -1, 2]))
    assert labels == [[3, 3, 3], [3, 3, 3], [0, 3, 2]]


@pytest.mark.parametrize("label", [-2, 3])
def test_labels_outside_are_refused(label):
    D = unet()
    with pytest.raises(ValueError, match="between 0 and 2"):
        D(torch.zeros(2, *D.shape), 0.5, label=torch.tensor([0, label]))


def test_a_network_without_classes_takes_no_label():
    D = unet(classes=0)
    with pytest.raises(ValueError, match="no condition 'label'"):
        D(torch.zeros(D.shape), 0.5, label=torch.tensor(0))


def test_a_network_that_does_not_fit_is_refused():
    network = unet(classes=3).unet
    with pytest.raises(ValueError, match="one for null"):
        UNetDenoiser(network, CosineSchedule(), classes=4)
    with pytest.raises(ValueError, match="prediction type"):
        UNetDenoiser(network, CosineSchedule(), "noise", classes=3)


@torch.no_grad()
def test_a_half_precision_network_casts_at_its_door():
    D = unet("v_prediction")
    x = torch.randn(2, *D.shape, generator=torch.Generator().manual_seed(0))
    expected = D(x, 0.3)
    D.to(torch.bfloat16)
    for dtype in (torch.float32, torch.float64):
        actual = D(x.to(dtype), 0.3)
        assert actual.dtype == dtype
        torch.testing.assert_close(actual.float(), expected, rtol=0, atol=0.05)
    # alpha x is exact: only the network rounds, and with little noise it hardly counts.
    torch.testing.assert_close(D(x, 1e-6), x, rtol=0, atol=1e-4)


@torch.no_grad()
def test_branches_are_one_pass():
    D, passes = unet(), []
    D.unet.register_forward_hook(lambda *_: passes.append(1))
    x = torch.randn(2, *D.shape, generator=torch.Generator().manual_seed(0))
    conditions = [{"label": torch.tensor(1)}, {}, {"label": torch.tensor([0, 2])}]
    together = branches(D, x, 0.5, conditions)
    assert len(passes) == 1
    apart = torch.stack([D(x, 0.5, **condition) for condition in conditions])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)
