import math
from itertools import combinations

import pytest
import torch

from backend.denoiser.base import given
from backend.editing.baselines import noiseclr
from backend.request import Progress
from tests.denoiser import examples

T = 0.4


def points(n, seed=1):
    return torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def run(steps):
    progress = []
    while True:
        try:
            progress.append(next(steps))
        except StopIteration as stop:
            return progress, stop.value


def state(denoiser):
    """All that a thread could see of the network: its members, what they hold, their weights and gradients."""
    modules = {name: (id(m), dict(m.__dict__), dict(m._modules)) for name, m in denoiser.named_modules()}
    weights = {name: (id(p), p.clone(), p.grad) for name, p in denoiser.named_parameters()}
    return modules, weights


def assert_untouched(denoiser, before):
    modules, weights = state(denoiser)
    assert modules == before[0]
    assert weights.keys() == before[1].keys()
    for name, (identity, value, gradient) in weights.items():
        assert identity == before[1][name][0] and torch.equal(value, before[1][name][1])
        assert gradient is None


@torch.no_grad()
@pytest.mark.parametrize("label", [0, 2, -1])
def test_a_class_embedding_gives_its_class(label):
    D, x = examples.unet().double(), points(2).double()
    row = D.unet.class_embedding.weight[label]  # the last row is the null label's
    moved = noiseclr.steering(D, row, torch.tensor(1))(torch.tensor([1.0, -2.5]))(x, T)
    step = D(x, T, label=torch.tensor(label)) - D(x, T)
    expected = D(x, T, label=torch.tensor(1)) + torch.tensor([1.0, -2.5]).view(2, 1, 1, 1) * step
    torch.testing.assert_close(moved, expected, rtol=1e-6, atol=1e-6)
    assert (label == -1) == torch.allclose(moved, D(x, T, label=torch.tensor(1)))


@torch.no_grad()
def test_the_edits_are_those_of_single_directions_at_single_times():
    D, x, t = examples.unet().double(), points(3).double(), torch.tensor([0.2, 0.5, 0.8])
    words = torch.randn(4, 32, generator=torch.Generator().manual_seed(2)).double()
    chosen = torch.tensor([3, 0])
    delta = noiseclr.edits(noiseclr._with_words(D, words), x, t, chosen)
    assert delta.shape == (2, 3, 3, 16, 16)
    for row, k in enumerate(chosen):
        for i in range(3):
            steered = noiseclr.steering(D, words[k], torch.tensor(-1))(torch.ones(1))
            expected = steered(x[i : i + 1], t[i]) - D(x[i : i + 1], t[i])
            torch.testing.assert_close(delta[row, i], expected[0], rtol=1e-9, atol=1e-9)


def test_the_loss_is_the_papers():
    """By loops over pairs, on differences of random lengths, which do not count."""
    delta = torch.randn(3, 4, 2, 5, generator=torch.Generator().manual_seed(0)).double()

    def similar(a, b):
        return math.exp(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0) / 0.5)

    expected = 0.0
    for k in range(3):
        positive = [similar(delta[k, i], delta[k, j]) for i, j in combinations(range(4), 2)]
        negative = [similar(delta[k, i], delta[m, i]) for m in range(3) if m != k for i in range(4)]
        expected -= math.log(sum(positive) / len(positive) * len(negative) / sum(negative)) / 3
    assert noiseclr.loss(delta).item() == pytest.approx(expected)

    factor = -torch.rand(3, 4, 1, 1, generator=torch.Generator().manual_seed(1)).double() - 0.1
    torch.testing.assert_close(noiseclr.loss(factor * delta), noiseclr.loss(delta))


def test_the_loss_in_closed_form():
    """Directions that do the same to every picture: at right angles, equal, and opposite."""
    a, b = torch.eye(2)
    for other, expected in ((b, -2.0), (a, 0.0), (-a, -4.0)):
        delta = torch.stack([a, other])[:, None].expand(2, 3, 2)
        assert noiseclr.loss(delta).item() == pytest.approx(expected, abs=1e-6)
    delta = torch.stack(
        [torch.stack([a, b]), torch.stack([a, b])]
    )  # as different between pictures as they can be
    assert noiseclr.loss(delta).item() == pytest.approx(2.0, abs=1e-6)


def test_learning_lowers_the_loss_and_touches_nothing():
    D, pictures = examples.unet(), points(8, seed=3).clamp(-1, 1)
    before = state(D)
    progress, words = run(noiseclr.learn(D, pictures, k=3, steps=40, lr=0.05))
    assert progress == [Progress(i, 40, "steps of NoiseCLR") for i in range(1, 41)]
    assert words.shape == (3, 32) and words.dtype == torch.float32 and not words.requires_grad
    assert_untouched(D, before)

    _, start = run(noiseclr.learn(D, pictures, k=3, steps=0))
    x, t = points(6, seed=4), torch.linspace(0.2, 0.8, 6)
    with torch.no_grad():
        first, learned = (
            noiseclr.loss(noiseclr.edits(noiseclr._with_words(D, e), x, t, torch.arange(3)))
            for e in (start, words)
        )
    assert learned < first - 0.3


def test_steering_touches_nothing():
    """Not even while it runs, when other threads use the same network."""
    D, checks = examples.unet(), []
    D.unet.conv_in.register_forward_hook(lambda *_: checks.append(assert_untouched(D, before)))
    before = state(D)
    noiseclr.steering(D, torch.ones(32), torch.tensor(0))(torch.ones(2))(points(2), T)
    assert len(checks) == 2
    run(noiseclr.learn(D, points(2), k=2, steps=1))
    assert len(checks) == 4
    assert_untouched(D, before)


def test_learning_is_repeatable_and_seeded():
    D, pictures = examples.unet(), points(3)
    first, again, other = (run(noiseclr.learn(D, pictures, k=2, steps=3, seed=s))[1] for s in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    with torch.no_grad():  # and needs no gradients switched on
        assert torch.equal(first, run(noiseclr.learn(D, pictures, k=2, steps=3, seed=5))[1])


def test_the_times_keep_to_their_range(monkeypatch):
    D, seen = examples.unet(), []
    edits = noiseclr.edits
    monkeypatch.setattr(
        noiseclr, "edits", lambda worded, x, t, chosen: seen.append(t) or edits(worded, x, t, chosen)
    )
    run(noiseclr.learn(D, points(8), k=2, steps=4, t_range=(0.5, 0.6)))
    times = torch.cat(seen)
    assert len(times) == 4 * noiseclr.PICTURES
    assert times.min() >= 0.5 and times.max() <= 0.6 and len(times.unique()) == len(times)


@torch.no_grad()
def test_scale_0_is_the_model_itself():
    D, x = examples.unet(), points(3)
    steered = noiseclr.steering(D, torch.ones(32), torch.tensor(2))(torch.tensor([0.0, 1.0, 0.0]))(x, T)
    plain = given(D, label=torch.tensor(2))(x, T)
    assert torch.equal(steered[::2], plain[::2])
    assert not torch.allclose(steered[1], plain[1], atol=1e-3)


@torch.no_grad()
def test_each_sample_has_its_own_scale():
    D, x, t = examples.unet().double(), points(3).double(), torch.tensor([0.2, 0.5, 0.9])
    scales = torch.tensor([-1.0, 0.5, 3.0])
    steering = noiseclr.steering(D, torch.ones(32), torch.tensor(-1))
    together = steering(scales)(x, t)
    for i in range(3):
        alone = steering(scales[i : i + 1])(x[i : i + 1], t[i])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-9, atol=1e-9)


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(ValueError, match="class embeddings"):
        noiseclr.steering(examples.unet(classes=0), torch.ones(32), torch.tensor(-1))
    with pytest.raises(ValueError, match="class embeddings"):
        noiseclr.steering(examples.mixture(), torch.ones(32), torch.tensor(-1))
    with pytest.raises(ValueError, match="at least two"):
        next(noiseclr.learn(examples.unet(), points(1), k=2, steps=1))
    with pytest.raises(ValueError, match="no condition 'label'"):
        steered = noiseclr.steering(examples.unet(), torch.ones(32), torch.tensor(0))(torch.ones(1))
        steered(points(1), T, label=torch.tensor(1))
