import json

import torch
from safetensors.torch import save_file

from backend.data import digits
from backend.inference.catalogue import ASSETS
from backend.metrics.digits_reader import FEATURES, DigitsReader, load_digits_reader

FOLDER = ASSETS / "weights" / "digits_reader"


def test_features_are_what_the_head_reads():
    torch.manual_seed(0)
    network = DigitsReader().eval()
    pictures = digits.split("test")[0][:5]
    features = network.features(pictures)
    assert features.shape == (5, FEATURES)
    torch.testing.assert_close(network(pictures), network.head(features))
    torch.testing.assert_close(network(pictures)[2], network(pictures[2:3])[0], rtol=1e-4, atol=1e-5)


def test_half_precision_weights_come_back_in_single(tmp_path):
    torch.manual_seed(0)
    network = DigitsReader().eval()
    half = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(half, tmp_path / "model.safetensors")
    loaded = load_digits_reader(tmp_path)
    assert not loaded.training and all(not p.requires_grad for p in loaded.parameters())
    pictures = digits.split("test")[0][:5]
    torch.testing.assert_close(loaded(pictures), network(pictures), rtol=0.01, atol=0.01)


def test_the_shipped_weights_read_digits_of_other_hands():
    """300 of the split "test", and 1,197 of "train", which this network has not seen either."""
    shipped = load_digits_reader(FOLDER)
    for name in ("test", "train"):
        pictures, labels = digits.split(name)
        assert (shipped(pictures).argmax(1) == labels).float().mean() >= 0.93
    assert (FOLDER / "model.safetensors").stat().st_size < 1.5 * 2**20
    made = json.loads((FOLDER / "training.json").read_text())
    assert made["command"].startswith("python -m backend.training digits_reader")
