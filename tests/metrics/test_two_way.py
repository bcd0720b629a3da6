import pytest
import torch

from backend.metrics.two_way import shares


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_what_is_the_same_for_all_classes_is_the_noises():
    found = shares(random(6, 1, 5).expand(6, 4, 5))
    assert found.noise.value == pytest.approx(1) and found.label.value == pytest.approx(0, abs=1e-12)
    found = shares(random(1, 4, 5).expand(6, 4, 5) + 7)
    assert found.label.value == pytest.approx(1) and found.noise.value == pytest.approx(0, abs=1e-12)
    assert found.label.low == pytest.approx(1) and found.label.high == pytest.approx(1)


def test_a_sum_of_both_has_nothing_of_both_together():
    a, b = random(6, 1, 5), 2 * random(1, 4, 5, seed=1)
    found = shares(a + b)
    of_a, of_b = (x.var((0, 1), correction=0).sum() for x in (a.expand(6, 4, 5), b.expand(6, 4, 5)))
    assert found.both.value == pytest.approx(0, abs=1e-12)
    assert found.noise.value == pytest.approx(float(of_a / (of_a + of_b)))


def test_the_shares_are_the_sums_of_squares_by_hand():
    x = random(5, 3, 2, 4, 4)  # pictures
    m, a, b = x.mean((0, 1)), x.mean(1, keepdim=True), x.mean(0, keepdim=True)
    whole = (x - m).square().sum()
    expected = [
        3 * (a - m).square().sum() / whole,
        5 * (b - m).square().sum() / whole,
        (x - a - b + m).square().sum() / whole,
    ]
    found = shares(x)
    assert [found.noise.value, found.label.value, found.both.value] == pytest.approx(
        [float(e) for e in expected]
    )
    assert found.noise.value + found.label.value + found.both.value == pytest.approx(1)
    for one in (found.noise, found.label, found.both):
        assert 0 <= one.low <= one.value <= one.high <= 1 and one.n == 5


def test_noise_alone_is_shared_by_the_degrees_of_freedom():
    """Independent numbers: (n - 1), (K - 1) and (n - 1)(K - 1) over n K - 1."""
    found = shares(random(8, 5, 4000))
    assert found.noise.value == pytest.approx(7 / 39, abs=0.01)
    assert found.label.value == pytest.approx(4 / 39, abs=0.01)
    assert found.both.value == pytest.approx(28 / 39, abs=0.01)


def test_the_interval_leaves_out_a_noise_at_a_time():
    x = random(7, 3, 4)
    values = []
    for i in range(7):
        values.append(shares(torch.cat([x[:i], x[i + 1 :]])).label.value)
    error = (6 * torch.tensor(values).var(correction=0)).sqrt()
    found = shares(x).label
    assert found.high - found.value == pytest.approx(
        2.4469 * float(error), rel=1e-3
    )  # Student's t, 6 degrees


def test_what_has_no_shares_is_refused():
    with pytest.raises(ValueError, match="at least 3 noises"):
        shares(random(2, 4, 3))
    with pytest.raises(ValueError, match="all the same"):
        shares(torch.ones(4, 3, 2))
