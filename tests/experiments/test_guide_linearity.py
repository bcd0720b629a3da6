from dataclasses import replace

import pytest
import torch

from backend.experiments.guide_linearity import CompareWithLinear, Linearity, unseen
from backend.guidance import class_statistics
from backend.guidance.terms import PairDenoiser
from backend.inference.load import load
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput, Progress
from backend.sampling.noise import noise

TINY = {"model": "digits", "label": "3", "samples": 20, "levels": 6}


def result(network=None, /, **values):
    request = CompareWithLinear.parse(TINY | values)
    *_, found = request.run(network or load(request.model))
    assert isinstance(found, Linearity)
    return found


@pytest.mark.parametrize(
    "values",
    [TINY, {"model": "avatars", "label": "happy", "samples": 8, "levels": 3}],
    ids=["digits", "avatars"],
)
def test_the_linear_model_is_linear_at_every_noise_level(values):
    name, label = values["model"], values["label"]
    stats, network = class_statistics.of_class(name, label), load(values["model"])
    if name == "avatars":
        linear = InPictures(stats, network.denoiser.schedule)
    else:
        linear = PairDenoiser(stats.pair, network.denoiser.schedule, stats.shape)
    linear.register_buffer("place", torch.zeros(()))  # a model is where its buffers are
    found = result(replace(network, denoiser=linear), **values)
    for departure in (found.conditional, found.unconditional):
        assert departure.relative.value.max() < 1e-8
        assert departure.regime == pytest.approx(0.02)
    kept = found.level > 0.05  # below, D_c - D_u is rounding
    assert found.apart.value[kept].max() < 1e-5
    torch.testing.assert_close(
        found.cosine.value[kept], torch.ones(int(kept.sum())).double(), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(
        found.explained.value[kept], torch.ones(int(kept.sum())).double(), rtol=0, atol=1e-5
    )


class InPictures(PairDenoiser):
    """The linear model of faces, on pictures."""

    def __init__(self, stats, schedule):
        super().__init__(stats.pair, schedule)
        self.stats, self.shape = stats, stats.shape

    def forward(self, x_t, t, **condition):
        flat = x_t.reshape(*self.batch(x_t), -1).double() @ self.stats.basis.mT
        inner = PairDenoiser(self.stats.pair, self.schedule)
        return self.stats.picture(inner(flat, t, **condition)).to(x_t)


def test_the_fractions_are_the_networks():
    """One noise level, by hand."""
    found, network = result(), load("digits")
    stats, x_0 = class_statistics.of_class("digits", "3"), unseen(network.card, "3", 20)
    t = network.denoiser.schedule.time(-2 * found.level.log())[2]
    alpha, sigma = (float(a) for a in network.denoiser.schedule(t))
    x_t = alpha * x_0 + sigma * noise(range(20), (1, 8, 8))
    D_c, D_u = network.denoiser(x_t, t, label=torch.tensor(3)), network.denoiser(x_t, t)
    linear = PairDenoiser(stats.pair, network.denoiser.schedule, (1, 8, 8))
    L_c, L_u = linear(x_t, t, label=torch.tensor(0)), linear(x_t, t)
    mean = stats.pair.conditional.mean.view(1, 8, 8).float()

    def fraction(above, below):
        return pytest.approx(float(above.square().sum() / below.square().sum()), 1e-3)

    assert float(found.conditional.relative.value[2]) == fraction(D_c - L_c, D_c - mean)
    assert float(found.conditional.gain.value[2]) == fraction(D_c - L_c, x_0 - L_c)
    assert float(found.conditional.error.value[2]) == fraction(x_0 - D_c, x_0 - L_c)
    assert float(found.apart.value[2]) == fraction(D_c - D_u - L_c + L_u, D_c - D_u)
    cosine = torch.cosine_similarity((D_c - D_u).flatten(1), (L_c - L_u).flatten(1)).mean()
    assert float(found.cosine.value[2]) == pytest.approx(float(cosine), 1e-3)


def test_digits_are_linear_where_there_is_much_noise_and_nowhere_else():
    found = result(samples=64, levels=12)
    assert found.conditional.pictures == 62 and found.unconditional.pictures == 64
    assert found.conditional.of == 121 and found.unconditional.of == 1197
    for departure in (found.conditional, found.unconditional):
        assert 1 < departure.regime < 10
        assert departure.gain.value.max() > 0.3
        assert departure.relative.value[0] > 0.5 > 0.01 > departure.relative.value[-1]  # it defines no regime
    for curve in (found.cosine, found.explained, found.apart, *found.parts, found.conditional.gain):
        assert (curve.low <= curve.value).all() and (curve.value <= curve.high).all()
        assert curve.value.shape == (12,)
    assert found.cosine.value[found.level > 4].min() > 0.95 and found.cosine.value[-1] < 0.3
    assert (found.explained.value <= 1).all() and (found.explained.value >= 0).all()
    for part in found.parts:
        assert (part.value <= found.explained.value + 1e-9).all()


def test_the_pictures_are_not_those_of_the_statistics():
    digits, faces = load("digits").card, load("avatars").card
    assert len(unseen(digits, "", 1000)) == 600 and unseen(digits, "7", 5).shape == (5, 1, 8, 8)
    own = unseen(faces, "sad", 4)
    assert own.shape == (4, 3, 64, 64)
    read = load("avatars").reader()(own)[1].argmax(1)
    assert (read == load("avatars").card.labels.index("sad")).all()
    assert torch.equal(unseen(faces, "", 9)[2::6], own[:2])


def test_progress_and_the_disk(tmp_path):
    request = CompareWithLinear(**TINY)
    *told, found = run(request)
    told = [event.done for event in told if isinstance(event, Progress) and event.total == 6]
    assert told == sorted(told) and told[-1] == 6 and len(told) == 1 + 6 * 5
    result_file.save(tmp_path, request, found)
    assert torch.equal(result_file.load(tmp_path, request).cosine.low, found.cosine.low)
    again = result(seed=1)
    assert not torch.equal(again.cosine.value, found.cosine.value)
    events = CompareWithLinear(**TINY).run(load("digits"))
    next(events), next(events)
    events.close()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"label": "ten"}, "There is no such class; the classes are 0, 1"),
        ({"model": "gaussian"}, "The model must be one of avatars, digits"),
        ({"samples": 7}, "8 to 400 samples"),
        ({"levels": 2}, "3 to 60 noise levels"),
        ({"samples": 400, "levels": 16}, "at most 6,000"),
        ({"seed": -1}, "seed"),
    ],
    ids=str,
)
def test_bad_input_is_a_sentence(values, sentence):
    with pytest.raises(BadInput, match=sentence + r".*\.$"):
        CompareWithLinear.parse(TINY | values)
