"""Every embedded network: what its recipe builds is what its weights fit, and what it draws is what it says."""

import json

import pytest
import torch

from backend.denoiser.unet import UNetDenoiser
from backend.inference.catalogue import ASSETS
from backend.inference.load import load
from backend.training import recipes
from backend.training.loop import Plan
from backend.training.recipes import RECIPES, Embedded

EMBEDDED = {
    "avatars": recipes.AVATARS,
    "digits": recipes.DIGITS,
    "patches": recipes.PATCHES,
    "small_faces": recipes.SMALL_FACES,
}


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_weights_here_are_those_of_the_recipe(name):
    folder, denoiser = ASSETS / "weights" / name, EMBEDDED[name].build()
    denoiser.load_state_dict(RECIPES[name].weights(folder))
    assert denoiser.shape == load(name).denoiser.shape
    x_t = torch.randn(2, *denoiser.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(denoiser.eval()(x_t, 0.5), load(name).denoiser(x_t, 0.5), atol=1e-4)


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_weights_say_how_they_were_made(name):
    made = json.loads((ASSETS / "weights" / name / "training.json").read_text())
    assert made["command"].startswith(f"python -m backend.training {name} --steps ")
    assert {"hardware", "seconds", "date", "torch"} <= made.keys() and made["seconds"] > 0


@pytest.mark.parametrize("name", EMBEDDED)
def test_batches_fit_the_network(name):
    embedded = EMBEDDED[name]
    pictures, labels = embedded.batch(5, torch.Generator().manual_seed(0))
    assert pictures.shape == (5, *load(name).denoiser.shape) and pictures.abs().max() <= 1
    assert (labels is None) == (embedded.labels == ())
    assert embedded.held_out().shape[1:] == pictures.shape[1:]


def tiny(**rest) -> Embedded:
    """Of 8 x 8 pictures, for a moment's training."""

    def batch(n, generator):
        return torch.rand(n, 1, 8, 8, generator=generator), torch.randint(3, (n,), generator=generator)

    unet = {"block_out_channels": (8, 8), "attention_head_dim": 4}
    held_out = {"held_out": lambda: torch.zeros(3, 1, 8, 8), "labels": ("a", "b", "c")}
    return Embedded("Tiny", "digits", batch, size=8, channels=1, unet=unet, **held_out | rest)


def test_a_loss_depends_on_its_generator_alone():
    torch.manual_seed(0)
    embedded = tiny()
    network = embedded.build()
    losses = [embedded.loss(network, torch.Generator().manual_seed(seed)).item() for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


def test_labels_are_dropped_now_and_then(monkeypatch):
    seen = []
    monkeypatch.setattr(
        recipes, "denoising_loss", lambda x_0, g, denoiser, label: seen.append(label) or x_0.sum()
    )
    embedded = tiny(batch_size=2000)
    embedded.loss(embedded.build(), torch.Generator().manual_seed(0))
    (labels,) = seen
    assert float((labels == -1).float().mean()) == pytest.approx(recipes.LABEL_DROPOUT, abs=0.03)


def test_what_is_saved_is_a_pipeline_of_the_hub_and_a_card(tmp_path):
    embedded = tiny(patch=1)
    recipe = embedded.recipe(Plan(steps=1))
    network = recipe.build()
    saved = {name: value.clone() for name, value in network.state_dict().items()}
    recipe.save(network, tmp_path / "tiny")
    assert {path.name for path in (tmp_path / "tiny").iterdir()} == {
        "card.json",
        "model_index.json",
        "scheduler",
        "unet",
    }
    again = recipe.weights(tmp_path / "tiny")
    assert all(
        torch.allclose(again[name], value, atol=2e-3) for name, value in saved.items()
    )  # half precision
    card = json.loads((tmp_path / "tiny" / "card.json").read_text())
    assert card["labels"] == ["a", "b", "c"] and card["shape"] == [1, 8, 8] and card["usual_error"] > 0
    assert isinstance(network, UNetDenoiser)
