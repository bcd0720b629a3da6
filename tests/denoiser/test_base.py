import pytest
import torch

from backend.denoiser.base import given, like
from tests.denoiser.examples import mixture, unet


def test_like_appends_axes():
    x = torch.zeros(2, 5, 3, 4, 4)
    a = torch.rand(2, 5, dtype=torch.float64)
    assert like(a, x).shape == (2, 5, 1, 1, 1) and like(a, x).dtype == x.dtype
    assert (x + like(torch.tensor(2.0), x)).shape == x.shape


@torch.no_grad()
def test_given_binds_one_label_or_one_for_each_sample():
    D = unet()
    x = torch.randn(2, *D.shape, generator=torch.Generator().manual_seed(0))
    for label in (torch.tensor(1), torch.tensor([1]), torch.tensor([1, 2])):
        assert torch.equal(given(D, label=label)(x, 0.5), D(x, 0.5, label=label))
    assert given(D) is D


def test_a_bound_condition_cannot_be_given_again():
    D = given(unet(), label=torch.tensor(1))
    with pytest.raises(ValueError, match="no condition 'label'"):
        D(torch.zeros(D.shape), 0.5, label=torch.tensor(0))


def test_binding_an_unknown_condition_is_refused_at_once():
    with pytest.raises(ValueError, match="no condition 'prompt'"):
        given(mixture(), prompt=torch.tensor(0))


def test_a_single_value_serves_a_sample_without_batch():
    D = unet()
    with torch.no_grad():
        assert torch.equal(
            D(torch.zeros(D.shape), 0.5, label=torch.tensor([2])),
            D(torch.zeros(D.shape), 0.5, label=torch.tensor(2)),
        )
