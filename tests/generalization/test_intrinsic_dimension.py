"""Shapes of known dimension. 1,000 points each; the spread of two_nn over samples is D / sqrt(N), 3 %, that of the others less."""

import pytest
import torch

from backend.generalization.intrinsic_dimension import (
    distinct,
    local_pca,
    maximum_likelihood,
    rotated,
    two_nn,
)

METHODS = (two_nn, maximum_likelihood, local_pca)
N = 1000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def cube(D: int, n: int = N) -> torch.Tensor:
    return torch.rand(n, D, generator=generator(D), dtype=torch.float64)


def plane(D: int = 3, d: int = 30) -> torch.Tensor:
    return normal(N, D) @ torch.linalg.qr(normal(d, D, seed=1)).Q.T


def sphere(D: int) -> torch.Tensor:
    x = normal(N, D + 1)
    return x / x.norm(dim=1, keepdim=True)


def swiss_roll() -> torch.Tensor:
    angle, height = 4.7 * (1 + cube(2)[:, 0]), 20 * cube(2)[:, 1]
    return torch.stack([angle * angle.cos(), height, angle * angle.sin()], dim=1)


# 0.1 D is three standard deviations of two_nn, and more than the bias of all three in up to 3 dimensions.
@pytest.mark.parametrize("estimate", METHODS)
@pytest.mark.parametrize(
    ("points", "D"),
    [
        (plane(), 3),
        (plane() + 1e-4 * normal(N, 30, seed=2), 3),  # neighbours are 0.1 apart: the noise is far below
        (sphere(2), 2),
        (sphere(3), 3),
        (swiss_roll(), 2),
        (cube(2), 2),
    ],
    ids=["plane", "noisy plane", "sphere", "sphere in 4", "swiss roll", "square"],
)
def test_low_dimensions_are_found(estimate, points, D):
    found = estimate(points)
    assert found.value == pytest.approx(D, rel=0.1) and found.n == N
    assert found.low <= found.value <= found.high


# Near a face of a cube a neighbourhood is cut off, and of D dimensions nearly all of the volume is near one: measured over
# seeds, two_nn says 4.6 of 5 and 8 of 10, maximum likelihood 4.4 and 7.8. A neighbourhood's 10 variances, all alike in
# truth, spread by sqrt(D / k) in a sample of 20, and of 10 the smallest sometimes falls below 5 % of the largest.
@pytest.mark.parametrize(
    ("estimate", "D", "low", "high"),
    [
        (two_nn, 5, 4.2, 5.1),
        (maximum_likelihood, 5, 4.2, 4.6),
        (local_pca, 5, 4.9, 5.0),
        (two_nn, 10, 7.2, 9.2),
        (maximum_likelihood, 10, 7.5, 8.2),
        (local_pca, 10, 9.4, 9.8),
    ],
)
def test_cubes_of_many_dimensions_are_underestimated(estimate, D, low, high):
    assert low <= estimate(cube(D)).value <= high


def test_noise_is_what_near_neighbours_see_first():
    """Noise of 0.03 in each of 30 dimensions takes a point as far as its nearest neighbour in a plane is."""
    noisy = plane() + 0.03 * normal(N, 30, seed=2)
    assert two_nn(noisy).value > 5 and local_pca(noisy).value < 3.5


def test_two_nn_of_its_own_law():
    """Points whose ratios are quantiles of the exponential law: pairs of r_1 = 1 and a third point at r_2, far from the rest."""
    D, n = 4.0, 300
    ratios = (-torch.log1p(-(torch.arange(n, dtype=torch.float64) + 0.5) / n) / D).exp()
    triples = torch.stack(
        [torch.zeros(n, dtype=torch.float64), torch.ones(n, dtype=torch.float64), -ratios], 1
    )
    far = 1e6 * torch.arange(n, dtype=torch.float64)
    triples = (triples + far[:, None]).flatten()[:, None]
    # at 0 the ratio is r_2 = r; at 1 it is 1 + r, at -r it is 1 + 1 / r: their law is known as well
    logs = torch.cat([ratios.log(), (1 + ratios).log(), (1 + 1 / ratios).log()]).sort().values
    kept = int(0.9 * 3 * n)
    y = -torch.log1p(-torch.arange(1, kept + 1, dtype=torch.float64) / (3 * n))
    x = logs[:kept]
    slope = torch.linalg.lstsq(x[:, None], y[:, None]).solution.item()
    assert two_nn(triples).value == pytest.approx(slope, rel=1e-6)


def test_maximum_likelihood_is_the_formula():
    """By all distances, with no search."""
    x = cube(3, 80)
    r = (x[:, None] - x).norm(dim=-1).sort(dim=1).values[:, 1:8]
    inverses = (r[:, -1:] / r[:, :-1]).log().sum(1) / 6
    assert maximum_likelihood(x, 7).value == pytest.approx(float(1 / inverses.mean()))


def test_local_pca_is_the_formula():
    x = normal(60, 4) * torch.tensor([1.0, 0.5, 0.3, 0.1])
    counts = []
    for one in x:
        near = x[(x - one).norm(dim=1).argsort()[:13]]  # the point and 12 neighbours
        variances = torch.linalg.eigvalsh(near.T.cov())
        counts.append(int((variances > 0.05 * variances[-1]).sum()))
    assert local_pca(x, 12).value == pytest.approx(sum(counts) / len(counts))


@pytest.mark.parametrize("estimate", METHODS)
def test_size_place_and_rotation_do_not_matter(estimate):
    x = cube(3, 200)
    moved = 7 * x @ torch.linalg.qr(normal(3, 3)).Q + 5
    assert estimate(moved).value == pytest.approx(estimate(x).value)


@pytest.mark.parametrize("estimate", METHODS)
def test_duplicates_are_dropped(estimate):
    x = cube(3, 200)
    twice = torch.cat(
        [x, x[:150], torch.zeros(2, 3, dtype=torch.float64), -torch.zeros(1, 3, dtype=torch.float64)]
    )
    found = estimate(twice)
    assert found == estimate(torch.cat([x, torch.zeros(1, 3, dtype=torch.float64)])) and found.n == 201
    assert torch.equal(distinct(twice)[:200], x)


def test_near_duplicates_keep_their_distances():
    """Triples 1e-9 apart in a cube: an expanded |x - y|^2 rounds them to one."""
    x = cube(20, 100)
    triples = torch.cat([x, x + 1e-9 * cube(20, 100), x + 2e-9 * normal(100, 20)])
    r = (triples[:, None] - triples).norm(dim=-1).sort(dim=1).values
    found = maximum_likelihood(triples, 2)
    assert found.value == pytest.approx(float(1 / (r[:, 2] / r[:, 1]).log().mean()))


@pytest.mark.parametrize("estimate", METHODS)
def test_rotated_points_have_the_same_dimension(estimate):
    x = torch.cat([plane(4, 500)[:100], plane(4, 500)[:50] + 1e-6])
    assert rotated(x).shape == (150, 150) and rotated(x[:, :20]).shape == (150, 20)
    assert estimate(rotated(x)).value == pytest.approx(estimate(x).value, rel=1e-6)


@pytest.mark.parametrize("estimate", METHODS)
def test_too_few_points_are_refused(estimate):
    with pytest.raises(ValueError, match="at least"):
        estimate(cube(2, 9))
    with pytest.raises(ValueError, match="there are 1"):
        estimate(torch.ones(500, 3))
    if estimate is not two_nn:
        with pytest.raises(ValueError, match="at least 21"):
            estimate(cube(2, 20))
        with pytest.raises(ValueError, match="neighbour"):
            estimate(cube(2, 50), 0)


@pytest.mark.parametrize("estimate", (two_nn, maximum_likelihood))
def test_points_that_are_all_equally_far_are_refused(estimate):
    with pytest.raises(ValueError, match="equally far"):
        estimate(torch.eye(30))
