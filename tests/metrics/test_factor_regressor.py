import pytest
import torch
from safetensors.torch import save_file

from backend.data import avatars
from backend.inference.catalogue import ASSETS
from backend.metrics.factor_regressor import FEATURES, FactorRegressor, load_regressor


@pytest.fixture(scope="module")
def network() -> FactorRegressor:
    torch.manual_seed(0)
    return FactorRegressor().eval().requires_grad_(False)


def faces(n: int) -> tuple[torch.Tensor, avatars.Faces]:
    drawn = avatars.sample(range(n))
    return avatars.render(drawn.factors), drawn


def test_it_answers_in_the_units_of_the_factors(network):
    """With a head of zeros it answers the mean of the prior for every picture."""
    flat = FactorRegressor().eval()
    torch.nn.init.zeros_(flat.head.weight)
    torch.nn.init.zeros_(flat.head.bias)
    read, logits = flat(faces(4)[0])
    prior = avatars.batch(20_000, torch.Generator().manual_seed(0)).factors.mean(0)
    torch.testing.assert_close(read, prior.expand(4, -1))
    assert logits.shape == (4, 6) and (logits == 0).all()


def test_features_are_what_the_head_reads(network):
    pictures, _ = faces(3)
    features = network.features(pictures)
    assert features.shape == (3, FEATURES)
    read, logits = network(pictures)
    answer = network.head(features)
    torch.testing.assert_close(logits, answer[:, -6:])
    torch.testing.assert_close((read - network.mean) / network.std, answer[:, :-6], rtol=1e-4, atol=1e-5)


def test_a_picture_is_read_alone_as_in_a_batch(network):
    pictures, _ = faces(5)
    torch.testing.assert_close(network(pictures)[0][2], network(pictures[2:3])[0][0], rtol=1e-4, atol=1e-5)


def test_loss_is_squared_error_in_standard_deviations_and_cross_entropy(network):
    pictures, drawn = faces(6)
    read, logits = network(pictures)
    squared = ((read - drawn.factors) / avatars.prior_std()).square().mean()
    entropy = -logits.log_softmax(1)[torch.arange(6), drawn.labels].mean()
    expected = float(squared + 0.1 * entropy)
    assert float(network.loss(pictures, drawn.factors, drawn.labels)) == pytest.approx(expected, rel=1e-5)


def test_half_precision_weights_come_back_in_single(network, tmp_path):
    half = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(half, tmp_path / "model.safetensors")
    loaded = load_regressor(tmp_path)
    assert not loaded.training and all(not p.requires_grad for p in loaded.parameters())
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}
    pictures, _ = faces(3)
    torch.testing.assert_close(loaded(pictures)[0], network(pictures)[0], rtol=0.01, atol=0.01)


def test_the_shipped_weights_read_every_factor_of_a_drawing():
    """R^2 at least 0.9 on faces that training did not see, and 97 % of the expressions."""
    shipped = load_regressor(ASSETS / "weights" / "avatars_regressor")
    drawn = avatars.sample(range(40_000_000, 40_000_240))
    read, logits = shipped(avatars.render(drawn.factors))
    r2 = 1 - (read - drawn.factors).square().mean(0) / drawn.factors.var(0)
    assert dict(zip(avatars.FACTOR_NAMES, (r2 >= 0.9).tolist(), strict=True)) == dict.fromkeys(
        avatars.FACTOR_NAMES, True
    )
    assert (logits.argmax(1) == drawn.labels).float().mean() >= 0.97
