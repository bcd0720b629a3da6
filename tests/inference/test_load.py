import json
import threading

import pytest
import torch

from backend.data import digits
from backend.denoiser.unet import UNetDenoiser
from backend.inference import catalogue
from backend.inference import load as loading
from backend.metrics.digits_reader import DigitsReader
from backend.request import BadInput
from backend.schedule import DiscreteSchedule

diffusers = pytest.importorskip("diffusers")


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "ASSETS", tmp_path)
    monkeypatch.setattr(loading, "_models", {})
    return tmp_path


@pytest.fixture
def network(fresh):
    """A tiny random avatars network, saved as training does: half precision, as a diffusers pipeline."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=12,
        out_channels=12,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8,
        num_class_embeds=3,
    ).half()
    scheduler = diffusers.DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
    folder = fresh / "weights" / "avatars"
    diffusers.DDIMPipeline(unet, scheduler).save_pretrained(folder)
    card = dict(title="Drawn faces", shape=[3, 16, 16], t=0.5, data="avatars", usual_error=0.1)
    card |= dict(labels=["happy", "sad"], patch=2, licence="Apache-2.0")
    (folder / "card.json").write_text(json.dumps(card))
    return unet.float(), scheduler


def test_a_saved_network_comes_back_as_the_denoiser_that_it_was(network) -> None:
    unet, scheduler = network
    model = loading.load("avatars")
    x, t = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([0.2, 0.7])
    expected = UNetDenoiser(
        unet, DiscreteSchedule(scheduler.alphas_cumprod), "v_prediction", classes=2, patch=2
    )
    label = torch.tensor([1, -1])
    with torch.no_grad():
        torch.testing.assert_close(
            model.denoiser(x, t, label=label), expected(x, t, label=label), rtol=0, atol=2e-5
        )
    assert model.denoiser.shape == (3, 16, 16)
    assert {parameter.dtype for parameter in model.denoiser.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in model.denoiser.parameters())
    assert not model.denoiser.training
    assert model.device == next(model.denoiser.parameters()).device


def test_a_loaded_network_has_forward_mode_and_second_derivatives(network) -> None:
    denoiser = loading.load("avatars").denoiser
    x, v = torch.randn(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    _, forward = torch.func.jvp(lambda x: denoiser(x, 0.5), (x,), (v,))
    u = torch.zeros_like(x, requires_grad=True)
    x = x.requires_grad_()
    (backward,) = torch.autograd.grad(denoiser(x, 0.5), x, u, create_graph=True)
    (double,) = torch.autograd.grad(backward, u, v)
    torch.testing.assert_close(forward, double, rtol=1e-4, atol=1e-5)


def test_conditions_are_named(network) -> None:
    model = loading.load("avatars")
    assert model.condition() == model.condition("") == {}
    assert model.condition("sad")["label"].tolist() == [1]
    for label in ("angry", "Sad", "1"):
        with pytest.raises(BadInput, match="no such label; its labels are happy, sad"):
            model.condition(label)


def test_everyone_at_once_gets_one_model(network, monkeypatch) -> None:
    built = []
    build = loading.build
    monkeypatch.setattr(loading, "build", lambda card: built.append(card) or build(card))
    start, models = threading.Barrier(8), []

    def ask() -> None:
        start.wait()
        models.append(loading.load("avatars"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(models) == 8
    assert len({id(model) for model in models}) == len(built) == 1


def test_a_card_that_does_not_fit_its_network_is_refused(network, fresh) -> None:
    path = fresh / "weights" / "avatars" / "card.json"
    path.write_text(path.read_text().replace("[3, 16, 16]", "[3, 64, 64]"))
    with pytest.raises(ValueError, match="the card says"):
        loading.load("avatars")


def test_unknown_names_load_nothing(fresh) -> None:
    with pytest.raises(BadInput):
        loading.load("../avatars")
    assert not loading.is_loaded("../avatars")


def test_the_closed_form_is_the_linear_estimator_of_the_digits(fresh) -> None:
    model = loading.load("gaussian")
    assert loading.is_loaded("gaussian")
    pictures = digits.split("train")[0].flatten(1).double()
    mean, covariance = pictures.mean(0), pictures.T.cov()
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for t in (0.05, 0.5, 0.99):
        alpha, sigma = model.denoiser.schedule(torch.tensor(t, dtype=torch.float64))
        gain = alpha * covariance @ torch.linalg.inv(alpha**2 * covariance + sigma**2 * torch.eye(64))
        expected = mean + (x.flatten(1).double() - alpha * mean) @ gain.T
        torch.testing.assert_close(model.denoiser(x, t).flatten(1).double(), expected, rtol=1e-3, atol=2e-4)
    with pytest.raises(BadInput, match="it has none"):
        model.condition("7")


def test_pixels_have_the_identity_as_autoencoder(fresh) -> None:
    autoencoder = loading.load("gaussian").autoencoder
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(autoencoder.decode(autoencoder.encode(x)), x)


def test_digits_and_faces_have_readers_and_only_faces_have_factors() -> None:
    faces, numbers, plain = (loading.load(name) for name in ("avatars", "digits", "gaussian"))
    assert faces.reader() is faces.factor_reader() is not None
    assert isinstance(numbers.reader(), DigitsReader) and numbers.factor_reader() is None
    assert (
        plain.reader() is plain.factor_reader() is plain.noise_classifier() is None
    )  # digits without labels


@pytest.mark.parametrize(("name", "classes"), [("avatars", 6), ("digits", 10)])
def test_the_noise_classifier_is_loaded_once_and_frozen(name, classes) -> None:
    model = loading.load(name)
    classifier = model.noise_classifier()
    assert classifier is model.noise_classifier() and not classifier.training
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    x, one = torch.randn(2, *model.denoiser.shape), torch.tensor(1.0)
    assert classifier.logits(x, one, one).shape == (2, classes)
    assert classifier.logits(x, one, one).dtype == torch.float32
    torch.func.jvp(lambda x: classifier.logits(x, one, one), (x,), (x,))


def test_digits_are_split_once() -> None:
    parts = [digits.split(name) for name in ("train", "classifier", "test")]
    assert [len(pictures) for pictures, _ in parts] == [1197, 300, 300]
    whole = torch.cat([pictures for pictures, _ in parts])
    assert (whole.shape, whole.dtype) == ((1797, 1, 8, 8), torch.float32)
    assert (whole.min(), whole.max()) == (-1, 1)
    assert all(set(labels.tolist()) == set(range(10)) for _, labels in parts)
