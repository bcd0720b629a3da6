import numpy as np
import pytest
import torch
from scipy.stats import binom, norm

from backend.request import BadInput
from backend.watermark.key import Key
from backend.watermark.keyring import Identified, identify, sub_keys

NAMES = tuple("abcdefgh")


def z(*scores):
    return torch.tensor(scores, dtype=torch.float64)


def test_p_is_the_tail_of_the_normal_distribution():
    scores = torch.linspace(-9, 37, 93, dtype=torch.float64)
    found = identify(scores, [str(i) for i in range(93)])
    np.testing.assert_allclose(found.p, norm.sf(scores.numpy()), rtol=1e-10)
    assert found.p_adjusted == pytest.approx(93 * norm.sf(37), rel=1e-10) and found.name == "92"


def test_each_p_is_multiplied_by_the_number_of_keys():
    bar = norm.isf(0.01 / 3)  # of three keys at 1 %
    above, below = identify(z(0, bar + 1e-6, -1), "abc"), identify(z(0, bar - 1e-6, -1), "abc")
    assert (above.name, below.name) == ("b", None)
    assert above.p_adjusted == pytest.approx(0.01, rel=1e-4) == pytest.approx(below.p_adjusted, rel=1e-4)
    assert identify(z(norm.isf(0.01) + 1e-6), "a").name == "a"  # alone it needs no correction
    assert identify(z(-1, 0, -2), "abc").p_adjusted == 1.0


def test_looks_count_as_keys():
    scores = z(4, 1, 0)
    looked, more = identify(scores, "abc", 1e-3, tries=7), identify(z(4, 1, 0, *[-9] * 18), range(21), 1e-3)
    assert looked.p_adjusted == pytest.approx(more.p_adjusted) == pytest.approx(21 * norm.sf(4), rel=1e-10)
    assert looked.p == identify(scores, "abc").p and looked.bar == more.bar
    assert looked.bar == pytest.approx(norm.isf(1e-3 / 21), rel=1e-12)
    for off, name in ((1e-6, "a"), (-1e-6, None)):
        assert identify(z(looked.bar + off, 0, 0), "abc", 1e-3, tries=7).name == name


def test_without_a_mark_a_key_is_named_as_often_as_said():
    """4,000 pictures, a keyring of 8, independent scores: 1 - (1 - alpha / 8)^8, just below alpha."""
    scores = torch.from_numpy(np.random.default_rng(0).standard_normal((4000, 8)))
    named = sum(identify(row, NAMES, 0.05).name is not None for row in scores)
    low, high = binom.interval(0.999, 4000, 1 - (1 - 0.05 / 8) ** 8)
    assert low <= named <= high < 0.07 * 4000
    alone = (norm.sf(scores.numpy()) < 0.05).any(1).sum()
    assert alone > 0.3 * 4000  # what it would be without the correction


def test_dependent_scores_name_a_key_no_more_often():
    """As rings', which agree by chance."""
    generator = np.random.default_rng(1)
    scores = 0.8 * generator.standard_normal((2000, 1)) + 0.6 * generator.standard_normal((2000, 8))
    named = sum(identify(torch.from_numpy(row), NAMES, 0.05).name is not None for row in scores)
    assert 0 < named <= binom.isf(0.001, 2000, 0.05)


def test_the_marked_key_is_named():
    generator = torch.Generator().manual_seed(2)
    for right in range(8):
        scores = torch.randn(8, generator=generator)
        scores[right] += 12
        found = identify(scores, NAMES, 1e-4)
        assert (found.name, found.others, found.revoked) == (NAMES[right], (), False)


def test_other_keys_that_pass_are_told():
    found = identify(z(9, 0, 12, 9, 3), "abcde", 1e-4)
    assert (found.name, found.others) == ("c", ("a", "d"))


def test_scores_whose_p_underflows_are_still_ordered():
    found = identify(z(50, 60, 0), "abc")
    assert (found.name, found.others, found.p_adjusted) == ("b", ("a",), 0.0)


def test_a_revoked_key_is_recognised_and_said_to_be_revoked():
    assert identify(z(9, 0), "ab", revoked=["a"]) == identify(z(9, 0), "ab", revoked={"a", "zz"})
    assert (
        identify(z(9, 0), "ab", revoked=["a"]).revoked and identify(z(9, 0), "ab", revoked=["a"]).name == "a"
    )
    assert not identify(z(9, 0), "ab", revoked=["b"]).revoked
    assert not identify(z(0, 0), "ab", revoked=["a", "b"]).revoked


def test_infinite_scores_and_other_precision():
    found = identify(torch.tensor([float("-inf"), float("inf")]), "ab")
    assert found == Identified("b", 0.0, (1.0, 0.0), pytest.approx(norm.isf(0.005)))


def test_what_no_keyring_can_answer_is_refused():
    with pytest.raises(BadInput, match="empty"):
        identify(z(), "")
    with pytest.raises(BadInput, match="same name"):
        identify(z(1, 2), "aa")
    for scores, alpha in [
        (z(1), 0.01),
        (z(1, float("nan")), 0.01),
        (z(1, 2)[None], 0.01),
        (z(1, 2), 0),
        (z(1, 2), 1),
    ]:
        with pytest.raises(ValueError, match="one score"):
            identify(scores, "ab", alpha)


def test_sub_keys_count_from_0():
    key = Key(bytes(32))
    made = sub_keys(key, 50)
    assert made == [key.sub_key(number) for number in range(50)] and len({k.secret for k in made}) == 50
    for count in (0, 10_001, 2.0, True):
        with pytest.raises(BadInput, match="1 to 10,000"):
            sub_keys(key, count)


def test_averaging_pictures_of_sub_keys_recovers_none_of_them():
    """Patterns add up under one key and cancel under many: the mean of n has 1 / n of a pattern's power."""
    from backend.watermark.fourier import annulus, phases

    mask = annulus(64, 2, 12)
    owner, n = Key(bytes(32)), 50
    one, mean = (
        phases(owner.secret, mask),
        torch.stack([phases(k.secret, mask) for k in sub_keys(owner, n)]).mean(0),
    )
    power = lambda pattern: float(pattern.abs().square().sum() / mask.sum())  # noqa: E731
    assert power(one) == pytest.approx(1) and power(mean) == pytest.approx(1 / n, rel=0.3)
    assert abs(float((one.conj() * mean).sum().real / mask.sum())) < 4 * (2 / n / int(mask.sum())) ** 0.5
