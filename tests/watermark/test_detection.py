import pytest
import torch
from scipy import stats

from backend.denoiser.gaussian_mixture import gaussian
from backend.request import Progress, finish
from backend.schedule import CosineSchedule
from backend.watermark import detection, fourier
from backend.watermark.detection import (
    analytic,
    evidence,
    exceeded,
    look,
    parts,
    ring_levels,
    tried,
    under_keys,
    under_other_keys,
)
from backend.watermark.key import random_keys
from backend.watermark.restoration import LIKELY, Guess, undone
from backend.watermark.scheme import Scheme
from backend.watermark.shallow_diffuse import ShallowDiffuse, correlation, pattern, whitened, z_score

KEY, N = b"k" * 32, 16


def scheme(channels="all", family="phases", centre="zero"):
    return Scheme(family, centre, 2, 6, channels, t=0.3, steps=10)


def pictures(count=3, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(count, channels, N, N, generator=generator)


def noise_planes(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return fourier.plane(torch.randn(*shape, N, N, generator=generator, dtype=torch.float64))


def white(variance=0.2, mean=0.1):
    """Independent Gaussian pixels: D(x_t) = mean + alpha v / (alpha^2 v + sigma^2) (x_t - alpha mean)."""
    d = 3 * N * N
    one = gaussian(CosineSchedule(), (3, N, N), torch.full((d,), mean), variance * torch.eye(d))
    one.factors = torch.zeros(1, d, 0)  # the same Gaussian, all of it in the residual
    one.eigenvalues, one.residual_variance = torch.zeros(1, 0), torch.full((1,), variance)
    return one


def residual(x, t=0.3, variance=0.2, mean=0.1):
    alpha, sigma = CosineSchedule()(torch.tensor(t, dtype=torch.float64))
    return (sigma**2 / (alpha**2 * variance + sigma**2)).item() * (x.double() - mean)


@pytest.mark.parametrize("channels", ["luma", "green", "all"])
def test_look_is_what_is_not_predicted_under_every_guess(channels, monkeypatch):
    monkeypatch.setattr(detection, "BATCH", 2)  # so that three pictures are two evaluations
    x, guesses = pictures(), (*LIKELY, Guess(angle=4.0))
    found = finish(look(white(), x, scheme(channels), guesses))
    for i, guess in enumerate(guesses):
        rest = residual(undone(x, guess))
        rest = {"luma": rest.mean(1, keepdim=True), "green": rest[:, 1:2], "all": rest}[channels]
        expected = torch.fft.fft2(rest) / N
        torch.testing.assert_close(found[:, i], expected, atol=1e-5, rtol=1e-5)
    assert found.dtype == torch.complex128
    assert found.shape == (3, 4, 3 if channels == "all" else 1, N, N)


@pytest.mark.parametrize(("count", "batches"), [(2, 1), (4, 2), (5, 3)])
def test_every_evaluation_is_announced(count, batches, monkeypatch):
    monkeypatch.setattr(detection, "BATCH", 2)
    sizes, D = [], white()
    D.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    progress = list(look(D, pictures(count), scheme(), LIKELY))
    total = 3 * batches
    assert progress == [Progress(i + 1, total, "network evaluations") for i in range(total)]
    assert len(sizes) == total and sum(sizes) == 3 * count


def test_levels_are_the_root_mean_square_over_pictures():
    planes = noise_planes(5, 2, 3)
    found, ring = ring_levels(planes, scheme()), fourier.radius(N).round()
    for r in ring.unique():
        expected = planes[..., ring == r].abs().square().mean((0, -1)).sqrt()
        torch.testing.assert_close(
            found[..., ring == r], expected[..., None].expand_as(found[..., ring == r])
        )


def test_with_levels_an_emptied_ring_counts_less_and_a_loud_one_does_not_count_more():
    planes, ring = noise_planes(40, 1, 3), fourier.radius(N).round()
    levels, seen = ring_levels(planes, scheme()), planes[:1].clone()
    seen[..., ring == 5] *= 0.01
    seen[..., ring == 4] *= 100
    own, held = whitened(seen, scheme()), whitened(seen, scheme(), levels)
    power = fourier.ring_power(held)[0, 0, 0]
    assert power[0, 5].item() < 3e-4 and power[0, 4].item() == pytest.approx(1)
    torch.testing.assert_close(fourier.ring_power(own), torch.ones_like(fourier.ring_power(own)))
    torch.testing.assert_close(held[..., ring == 5], seen[..., ring == 5] / levels[..., ring == 5])
    W = pattern(KEY, scheme(), N)
    with_all = parts(own[0, 0], W, scheme()).ring.abs()
    with_less = parts(held[0, 0], W, scheme()).ring.abs()
    assert with_less[5] < 0.03 * with_all[5]


def test_evidence_is_z_or_its_largest_over_shifts():
    planes, W = whitened(noise_planes(2, 4, 3), scheme()), pattern(KEY, scheme(), N)
    torch.testing.assert_close(evidence(planes, W, shifts=False), z_score(planes, W))
    surface = correlation(planes, W)
    torch.testing.assert_close(evidence(planes, W, shifts=True), surface.amax((-2, -1)))
    assert evidence(planes, W, shifts=True).shape == (2, 4)
    assert tried(4, N, shifts=False) == 4 and tried(4, N, shifts=True) == 4 * 256


def test_a_marked_picture_is_found_shifted_or_not():
    mark = ShallowDiffuse(scheme(), pattern(KEY, scheme(), N), 1.5)
    x = mark.inject(pictures(1)).roll((2, -3), (-2, -1))
    planes = whitened(finish(look(white(), x, scheme(), LIKELY)), scheme())
    still, moved = (evidence(planes, mark.pattern, shifts=s).max().item() for s in (False, True))
    assert analytic(still, tried(3, N, shifts=False)) > 1e-3
    assert analytic(moved, tried(3, N, shifts=True)) < 1e-9
    others = under_other_keys(planes[0], scheme(), 99, shifts=True)
    assert exceeded(moved, others) == 0.01


@pytest.mark.parametrize(("z", "tries"), [(0.0, 1), (1.5, 1), (3.0, 7), (6.0, 4096), (-2.0, 3), (30.0, 2)])
def test_the_analytic_p_is_bonferronis(z, tries):
    assert analytic(z, tries) == pytest.approx(min(1.0, tries * stats.norm.sf(z)), rel=1e-9)


@pytest.mark.parametrize("shifts", [False, True])
def test_bonferronis_bound_holds_on_noise(shifts):
    """1,000 planes of noise, four guesses each. Without shifts the guesses are independent and the bound is tight."""
    count, W = 1000, pattern(KEY, scheme("luma"), N)
    best = evidence(whitened(noise_planes(count, 4, 1), scheme("luma")), W, shifts=shifts).amax(-1)
    p = torch.tensor([analytic(z, tried(4, N, shifts=shifts)) for z in best.tolist()])
    for level in (0.2, 0.05, 0.01):
        rejected = int((p <= level).sum())
        assert stats.binomtest(rejected, count, level, "greater").pvalue > 0.001
        if not shifts:
            assert stats.binomtest(rejected, count, level, "less").pvalue > 0.001


def test_exceeded_counts_ties_against_the_mark():
    others = torch.tensor([1.0, 2.0, 3.0, 3.0])
    assert [exceeded(z, others) for z in (4.0, 3.0, 2.5, 0.0)] == [0.2, 0.6, 0.6, 1.0]
    assert exceeded(1.0, others[:0]) == 1.0


@pytest.mark.parametrize("ties", [False, True])
def test_exceeded_is_a_valid_p_among_the_like(ties):
    """Under exchangeability P(p <= a) <= a, with equality at a = i / 20 where there are no ties."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(4000, 20, generator=generator).exp()  # whatever the law
    drawn = drawn.round() if ties else drawn
    p = torch.tensor([exceeded(row[0].item(), row[1:]) for row in drawn], dtype=torch.float64)
    for rank in (1, 2, 5, 10):
        rejected = int((p <= rank / 20 + 1e-9).sum())
        assert stats.binomtest(rejected, 4000, rank / 20, "greater").pvalue > 0.001
        if not ties:
            assert stats.binomtest(rejected, 4000, rank / 20).pvalue > 0.001


@pytest.mark.parametrize("shifts", [False, True])
@pytest.mark.parametrize("channels", ["luma", "all"])
def test_other_keys_are_all_asked_and_the_same_again(shifts, channels):
    one = scheme(channels)
    planes = whitened(noise_planes(2, 3 if channels == "all" else 1), one)
    found = under_other_keys(planes, one, 6, shifts=shifts, seed=4)
    for z, key in zip(found, random_keys(6, 4), strict=True):
        W = pattern(key.secret, one, N)
        best = max(evidence(planes[u], W, shifts=shifts).item() for u in range(2))
        assert z.item() == pytest.approx(best)
    assert torch.equal(found, under_other_keys(planes, one, 6, shifts=shifts, seed=4))
    torch.testing.assert_close(found[:3], under_other_keys(planes, one, 3, shifts=shifts, seed=4))
    assert not torch.equal(found, under_other_keys(planes, one, 6, shifts=shifts))


@pytest.mark.parametrize("family", ["phases", "rings"])
@pytest.mark.parametrize(("channels", "count"), [("luma", 1), ("all", 3), ("all", 1)])
def test_many_keys_at_once_score_as_each_alone(family, channels, count, monkeypatch):
    monkeypatch.setattr(detection, "KEYS", 4)  # so that nine are three products
    one, keys = scheme(channels, family), random_keys(9, 2)
    planes = whitened(noise_planes(2, count), one)
    alone = [z_score(planes, pattern(key.secret, one, N, count)) for key in keys]
    found = under_keys(planes, one, keys)
    assert found.dtype == torch.float64 and found.abs().max() > 0.5
    torch.testing.assert_close(found, torch.stack(alone))


def test_other_keys_of_a_grey_picture():
    planes = whitened(noise_planes(1, 1), scheme("all"))
    (found,) = under_other_keys(planes, scheme("all"), 1, shifts=False)
    (key,) = random_keys(1, 0)
    assert found.item() == pytest.approx(z_score(planes[0], pattern(key.secret, scheme("all"), N, 1)).item())


@pytest.mark.parametrize("family", ["phases", "rings"])
@pytest.mark.parametrize("channels", ["luma", "all"])
@pytest.mark.parametrize("centre", ["zero", "nyquist"])
def test_every_part_adds_up_to_z(family, channels, centre):
    one = scheme(channels, family, centre)
    planes, W = whitened(noise_planes(3 if channels == "all" else 1), one), pattern(KEY, one, N)
    found, z = parts(planes, W, one), z_score(planes, W).item()
    for part in (found.plane, found.ring, found.channel, found.space):
        assert part.sum().item() == pytest.approx(z, abs=1e-9)
    assert found.plane.shape == found.space.shape == (N, N) and found.channel.shape == (len(W),)


def test_parts_lie_where_the_evidence_is():
    W = pattern(KEY, scheme(), N)
    one = torch.zeros_like(W)
    one[1, 3, 4] = W[1, 3, 4]  # one pair of coefficients: ring 5, green
    one[1, -3, -4] = W[1, -3, -4]
    found = parts(one, W, scheme())
    middle = N // 2
    assert found.plane.nonzero().tolist() == [[middle - 3, middle - 4], [middle + 3, middle + 4]]
    assert found.ring.nonzero().flatten().tolist() == [5] and found.channel.nonzero().tolist() == [[1]]
    here = torch.zeros(N, N, dtype=torch.float64)  # a mark in one corner of a picture is found there
    here[:6, :6] = 1
    mark = fourier.picture(W, here)
    space = parts(fourier.plane(mark * here), W, scheme()).space
    assert space[:6, :6].sum() > 0.75 * space.sum() > 0
