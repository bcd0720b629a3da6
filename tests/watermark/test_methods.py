import pytest
import torch

from backend.denoiser.base import Denoiser
from backend.denoiser.gaussian_mixture import gaussian
from backend.request import finish
from backend.schedule import CosineSchedule
from backend.watermark import dwt, fourier
from backend.watermark.attacks import attack, parse
from backend.watermark.methods import NONE, OURS, Inversion, methods, recommended, scores
from backend.watermark.scheme import Scheme
from backend.watermark.shallow_diffuse import carriers, unpredicted, z_score
from tests.denoiser.examples import unet

KEY = b"k" * 32
SCHEME = Scheme("phases", "zero", 1, 6, "luma", 0.1, 12)
SHAPE = (3, 16, 16)


@pytest.fixture(autouse=True)
def no_package(monkeypatch):
    monkeypatch.setattr(dwt, "available", lambda: False)


def smooth(n=16, channels=3):
    """Gaussian pictures whose spectrum falls with the frequency, as that of pictures does; what the flow makes of them is known."""
    power = 1 / (1 + fourier.radius(n) ** 2)
    delta = torch.eye(n * n, dtype=torch.float64).view(-1, n, n)
    block = fourier.picture(power * fourier.plane(delta), delta).flatten(1)
    covariance = torch.block_diag(*[block] * channels)
    mean = torch.zeros(channels * n * n, dtype=torch.float64)
    return gaussian(CosineSchedule(), (channels, n, n), mean, (covariance + covariance.T) / 2)


def drawn(denoiser, count, seed=0):
    """Pictures of such a Gaussian."""
    n = denoiser.shape[-1]
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(count, *denoiser.shape, generator=generator, dtype=torch.float64)
    return fourier.picture(fourier.plane(white) / (1 + fourier.radius(n) ** 2).sqrt(), white).clamp(-1, 1)


class Counted(Denoiser):
    """Counts evaluations of one sample, and passes conditions on."""

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser, self.samples, self.conditions = denoiser, 0, []
        self.schedule, self.shape, self.null = denoiser.schedule, denoiser.shape, denoiser.null

    def forward(self, x_t, t, **condition):
        self.samples += len(x_t)
        self.conditions.append(condition)
        return self.denoiser(x_t, t, **condition)


def some(names=None, shape=SHAPE, strength=1.0):
    found = methods(shape, KEY, SCHEME, strength)
    return [one for one in found if names is None or one.name in names]


def test_those_of_the_table_are_there():
    assert [one.name for one in some()] == [
        NONE, "Tree-Ring", "RingID", "Gaussian Shading", f"{OURS}, as published", OURS
    ]  # fmt: skip


def test_the_package_adds_its_two_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(dwt, "available", lambda: True)
    assert not [one for one in some() if "Dwt" in one.name]  # 16 pixels are too far from its 256
    added = [one for one in some(shape=(3, 64, 64)) if "Dwt" in one.name]
    assert [(one.name, one.watermark.method) for one in added] == [
        ("DwtDct", "dwtDct"),
        ("DwtDctSvd", "dwtDctSvd"),
    ]


@pytest.mark.parametrize("scenario", ["user", "server"])
def test_every_mark_is_found_by_its_own_detector_and_none_where_there_is_none(scenario):
    D = smooth()
    given = drawn(D, 12) if scenario == "user" else torch.randn(12, *SHAPE, dtype=torch.float64)
    others = drawn(D, 12, seed=1)
    for one in some():
        marked, twins = finish(one.embed(D, given) if scenario == "user" else one.sample(D, given))
        assert marked.shape == twins.shape == given.shape and marked.abs().max() <= 1
        (found,), (null,) = (finish(scores([one.detector], D, x)) for x in (marked, others))
        auc = (found[:, None] > null).double().mean() + 0.5 * (found[:, None] == null).double().mean()
        assert found.dtype == torch.float64 and found.shape == (12,)
        if one.name == NONE:
            assert torch.equal(marked, twins) and 0.2 < auc < 0.8
        else:
            assert not torch.equal(marked, twins)
            assert auc > (0.5 if "published" in one.name else 0.9), one.name


def test_without_a_mark_a_picture_stays_itself():
    (none,) = some({NONE})
    pictures = drawn(smooth(), 2)
    D = Counted(smooth())
    marked, twins = finish(none.embed(D, pictures))
    assert torch.equal(marked, pictures) and torch.equal(twins, pictures) and D.samples == 0


def test_detectors_that_look_at_the_same_go_there_once():
    D, pictures = Counted(smooth()), drawn(smooth(), 2)
    three = [one.detector for one in some({"Tree-Ring", "RingID", "Gaussian Shading"})]
    together = finish(scores(three, D, pictures))
    assert D.samples == 2 * three[0].steps
    alone = [finish(scores([one], D, pictures))[0] for one in three]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
    D.samples = 0
    finish(scores([one.detector for one in some({NONE, OURS})], D, pictures))
    assert D.samples == 2 * 3  # one evaluation for each likely blur


def test_what_has_no_way_is_judged_as_it_is():
    D, pictures = Counted(smooth()), drawn(smooth(), 2)
    (none,) = some({NONE})
    (found,) = finish(scores([Inversion(none.watermark, 20)], D, pictures))
    assert D.samples == 0 and found.tolist() == [0, 0]


def test_the_recommended_score_is_the_best_z_over_likely_guesses():
    """The first guess is that nothing was done, so the score is at least that z, and where it is the best, that z."""
    D, pictures = smooth(), drawn(smooth(), 8)
    (one,) = some({OURS})
    marked, _ = finish(one.embed(D, pictures))
    (found,) = finish(scores([one.detector], D, marked))
    planes = fourier.plane(carriers(unpredicted(D, marked, SCHEME.t), "luma"))
    own = fourier.ring_power(planes, "zero").sqrt()
    z = z_score(planes / own, one.detector.pattern)
    assert (found >= z - 1e-9).all() and (found - z).abs().median() < 1e-9


def test_only_the_search_finds_a_picture_that_was_shifted():
    D = smooth()
    (one,) = some({OURS}, strength=2.0)
    marked, _ = finish(one.embed(D, drawn(D, 6)))
    moved = attack(marked, parse("shift:3", 16))
    still, searched = finish(scores([one.detector, one.detector.searching()], D, moved))
    (known,) = finish(scores([one.detector], D, marked))
    assert still.mean() < known.mean() / 2 < searched.mean()
    assert one.detector.searching().way != one.detector.way
    (ring,) = some({"Tree-Ring"})
    assert ring.detector.searching() is ring.detector


def test_channels_without_the_mark_are_the_twins():
    (one,) = some({f"{OURS}, as published"})
    marked, twins = finish(one.embed(smooth(), drawn(smooth(), 2)))
    assert torch.equal(marked[:, :2], twins[:, :2]) and not torch.equal(marked[:, 2], twins[:, 2])


def test_a_server_makes_each_picture_with_its_label_and_a_detector_is_not_told():
    D = Counted(unet())
    one, label = some({OURS}, shape=D.shape)[0], torch.tensor([2, 0])
    x_1 = torch.randn(2, *D.shape)
    marked, twins = finish(one.sample(D, x_1, 4, label=label))
    assert {tuple(c["label"].tolist()) for c in D.conditions} == {(2, 0), (2, 0, 2, 0)}
    (alone, twin) = finish(one.sample(D, x_1[1:], 4, label=label[1:]))
    torch.testing.assert_close(marked[1:], alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(twins[1:], twin, atol=1e-4, rtol=0)
    D.conditions = []
    finish(scores([one.detector], D, marked))
    assert D.conditions and not any(D.conditions)


def test_a_stronger_mark_shows_more_and_is_found_better():
    D = smooth()
    weak, strong = (recommended(SHAPE, KEY, SCHEME, strength) for strength in (0.3, 1.5))
    pictures, changes, found = drawn(D, 6), [], []
    for one in (weak, strong):
        marked, twins = finish(one.embed(D, pictures))
        changes.append((marked - twins).square().mean())
        found.append(finish(scores([one.detector], D, marked))[0].mean())
    assert changes[0] < changes[1] and found[0] < found[1]
