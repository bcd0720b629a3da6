import pytest
import torch

from backend.denoiser.gaussian_mixture import GaussianMixture
from backend.experiments.spectrum_theory import ExploreMixture, closed_form, draw
from backend.inference.run import run
from backend.jacobian.spectrum import CUTS, dense_steps
from backend.jobs import result_file
from backend.request import BadInput, finish

SMALL = {"points": 6, "times": 5}
SHAPES = [
    {},
    {"d": 20, "components": 4, "r": 3},
    {"d": 64, "components": 5, "r": 8},
    {"d": 30, "components": 3, "r": 10},
]


def result(request):
    *_, last = run(request)
    return last


@pytest.mark.parametrize("shape", SHAPES)
def test_the_two_jacobians_agree(shape):
    found = result(ExploreMixture(**shape, **SMALL))
    largest = found.s[..., :1]
    assert (
        (found.s - found.s_closed_form).abs() / largest
    ).max() < 1e-9  # beside the largest: most values are 0
    assert found.difference < 1e-9
    assert found.s.shape == found.s_closed_form.shape == (5, 6, shape.get("d", 48))


def test_the_closed_form_is_a_covariance_by_sampling():
    """Cov[x_0 | x_t] of 400,000 pictures of the mixture, each weighted by its likelihood."""
    mixture, x_0, noise = draw(4, 2, 1, 1, seed=3)
    t = torch.tensor([0.6], dtype=torch.float64)
    alpha, sigma = mixture.schedule(t)
    x_t = alpha * x_0 + sigma * noise
    g = torch.Generator().manual_seed(0)
    k = torch.randint(2, (400_000,), generator=g)
    many = mixture.factors[k, :, 0] * torch.randn(400_000, 1, generator=g, dtype=torch.float64)
    weights = (-(x_t - alpha * many).square().sum(1) / (2 * sigma**2)).softmax(0)
    covariance = many.T.cov(aweights=weights, correction=0)
    found = closed_form(mixture.factors, x_t, alpha, sigma)[0]
    assert (found - alpha / sigma**2 * covariance).norm() < 0.02 * found.norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rank_is_that_of_one_subspace_and_then_of_all(shape):
    request = ExploreMixture(**shape, **SMALL)
    found = result(request)
    d, K, r = request.d, request.components, request.r
    assert (found.one, found.all) == (r / d, K * r / d)
    assert found.rank_ratio.shape == (len(CUTS), 5, 6)
    for ratio in found.rank_ratio:
        assert ratio[0].tolist() == pytest.approx([r / d] * 6)
        assert ratio[-1].tolist() == pytest.approx([K * r / d] * 6)
        assert (ratio[1:-1] <= K * r / d + 1e-12).all()
    for measure in (found.effective, found.stable):
        assert measure[0] == pytest.approx(torch.full((6,), float(r)), rel=0.05)
        assert measure[-1] == pytest.approx(torch.full((6,), float(K * r)), rel=0.05)
    assert ((found.rank_ratio[0] <= found.rank_ratio[1]).all()) and list(CUTS) == sorted(CUTS)


def test_many_equal_values_are_cut_short():
    """98.01 % of the energy of 60 equal values is in 59, 99 % in 60."""
    found = result(ExploreMixture(d=64, components=10, r=6, **SMALL))
    assert (found.rank_ratio[:, -1] * 64).round().unique(dim=1).flatten().tolist() == [59, 60]


def test_a_gaussian_has_the_wiener_filter():
    """alpha lambda / (alpha^2 lambda + sigma^2), at every point: for lambda = 1, and as drawn from other variances."""
    found = result(ExploreMixture(components=1, **SMALL))
    mixture, x_0, noise = draw(48, 1, 6, 6, seed=0)
    alpha, sigma = mixture.schedule(found.t)
    wanted = torch.zeros(5, 6, 48, dtype=torch.float64)
    wanted[..., :6] = (alpha / (alpha**2 + sigma**2))[:, None, None]
    torch.testing.assert_close(found.s, wanted)
    torch.testing.assert_close(found.s_closed_form, wanted)

    variances = torch.linspace(2, 0.5, 6, dtype=torch.float64)[None]
    other = GaussianMixture(
        mixture.schedule,
        (48,),
        mixture.weights,
        mixture.means,
        mixture.factors,
        variances,
        mixture.residual_variance,
    )
    jacobian = finish(dense_steps(lambda x: other(x, 0.5), x_0 + noise))
    alpha, sigma = mixture.schedule(torch.tensor(0.5, dtype=torch.float64))
    gains = (alpha * variances[0] / (alpha**2 * variances[0] + sigma**2)).sort(descending=True).values
    torch.testing.assert_close(torch.linalg.svdvals(jacobian)[:, :6], gains.expand(6, 6))


def test_noise_levels_share_their_points_and_a_seed_repeats_itself():
    one, again = result(ExploreMixture(**SMALL)), ExploreMixture(**SMALL)
    *_, second = again.run(None)
    assert torch.equal(one.s, second.s)
    *_, other = ExploreMixture(**SMALL, seed=1).run(None)
    assert not torch.equal(one.s, other.s)
    *_, fewer = ExploreMixture(points=6, times=2).run(None)
    torch.testing.assert_close(fewer.s, one.s[[0, -1]])  # the same x_0 and noise
    assert one.t.tolist() == pytest.approx([0.02, 0.26, 0.5, 0.74, 0.98]) and (one.log_snr.diff() < 0).all()


def test_subspaces_are_orthogonal_and_pictures_lie_in_them():
    mixture, x_0, _ = draw(20, 4, 3, 50, seed=2)
    U = mixture.factors.movedim(0, 1).reshape(20, 12)
    torch.testing.assert_close(U.T @ U, torch.eye(12, dtype=torch.float64))
    inside = torch.einsum("kdr,pd->pkr", mixture.factors, x_0).norm(dim=-1)
    assert ((inside > 1e-9).sum(1) == 1).all() and (inside > 1e-9).any(0).all()  # each in one, none left out


def test_a_result_survives_the_disk(tmp_path):
    request = ExploreMixture(points=2, times=2)
    found = result(request)
    result_file.save(tmp_path, request, found)
    loaded = result_file.load(tmp_path, request)
    assert loaded.difference == found.difference and torch.equal(loaded.s, found.s)


@pytest.mark.parametrize(
    "wrong",
    [
        {"d": 1},
        {"d": 129},
        {"components": 0},
        {"components": 11},
        {"r": 0},
        {"points": 0},
        {"times": 1},
        {"times": 63},
    ],
)
def test_bad_input_is_a_sentence(wrong):
    with pytest.raises(BadInput, match=r"\.$"):
        run(ExploreMixture(**wrong))


def test_subspaces_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match=r"^The subspaces do not fit: K times r must be at most d\.$"):
        run(ExploreMixture(d=11))
