import hashlib
import json

import pytest

from backend.inference import catalogue
from backend.request import BadInput

CARD = dict(
    title="Drawn faces",
    shape=[3, 8, 8],
    t=0.5,
    data="avatars",
    usual_error=0.1,
    labels=["happy", "sad"],
    patch=2,
    licence="Apache-2.0",
)


@pytest.fixture
def assets(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "ASSETS", tmp_path)
    return tmp_path


def add(assets, name: str) -> None:
    folder = assets / "weights" / name
    (folder / "unet").mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps(CARD))
    (folder / "training.json").write_text(json.dumps({"seconds": 3}))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"weights")


def test_without_weights_there_is_the_closed_form(assets) -> None:
    assert [card.name for card in catalogue.cards()] == ["gaussian"]
    assert catalogue.weights_sha256(catalogue.card("gaussian")) == ""


def test_an_embedded_model_is_described_by_its_folder(assets) -> None:
    add(assets, "avatars")
    assert [card.name for card in catalogue.cards()] == ["avatars", "gaussian"]
    card = catalogue.card("avatars")
    assert (card.title, card.shape, card.labels, card.patch) == (
        "Drawn faces",
        (3, 8, 8),
        ("happy", "sad"),
        2,
    )
    assert card.training == {"seconds": 3}
    assert catalogue.weights_sha256(card) == hashlib.sha256(b"weights").hexdigest()
    assert hash(card) == hash(catalogue.card("avatars"))


@pytest.mark.parametrize(
    "name", ["", "mine", "../weights/avatars", "/etc/passwd", "avatars/unet", "..", "Avatars", "avatars\0"]
)
def test_only_names_of_the_list_are_models(assets, name) -> None:
    add(assets, "avatars")
    add(assets, "mine")  # a folder alone does not make a model
    with pytest.raises(BadInput) as refusal:
        catalogue.card(name)
    assert str(refusal.value) == "There is no such model; the models here are avatars, gaussian."


def test_the_list_of_models_says_what_each_is():
    (listed,) = catalogue.ListModels().run(None)
    names = [model["name"] for model in listed.models]
    assert "gaussian" in names and len(set(names)) == len(names)
    assert all("path" not in model for model in listed.models)
