import torch

from backend.sampling.noise import noise


def test_a_sample_belongs_to_its_seed():
    together, alone = noise([3, 1, 4, 1], (2, 3)), noise([4], (2, 3))
    assert together.shape == (4, 2, 3)
    assert torch.equal(together[2], alone[0]) and torch.equal(together[1], together[3])
    assert not torch.equal(together[0], together[1])


def test_other_random_numbers_do_not_matter():
    torch.manual_seed(0)
    first = noise([5], (4,))
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    assert torch.equal(noise([5], (4,)), first)
    assert torch.equal(torch.random.get_rng_state(), state)  # nor does it disturb others


def test_dtype_rounds_the_same_numbers():
    assert torch.equal(noise([1], (4,), dtype=torch.float64), noise([1], (4,)).double())


def test_it_is_standard_normal():
    x = noise(range(100), (100,))
    assert abs(x.mean()) < 0.04 and abs(x.std() - 1) < 0.03


def test_no_seed_is_no_sample():
    assert noise([], (2, 3)).shape == (0, 2, 3)
