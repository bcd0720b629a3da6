"""Second derivatives through every kind of network, from one thread, from eight at once, from ever new ones.

Each check is a generator that pauses between products; the ways of driving it are those of a threaded server.
"""

import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from backend.inference.device import make_differentiable
from backend.jacobian.linearize import linearize

diffusers = pytest.importorskip("diffusers")


@dataclass
class Case:
    """A tiny network with random weights in float64, as a function of one sample x of `shape`."""

    network: nn.Module
    call: Callable[[nn.Module, Tensor], Tensor]
    shape: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        return self.call(self.network, x)


STEP = torch.tensor([300.0], dtype=torch.float64)


WORDS = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def unet() -> Case:
    network = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8,
    )
    return Case(network, lambda net, x: net(x[None], STEP).sample[0], (3, 8, 8))


class WithDecoder(nn.Module):
    """Text-conditional U-Net in the latent space, then the decoder: f of a Jacobian in pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = diffusers.UNet2DConditionModel(
            sample_size=4,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
            cross_attention_dim=8,
            attention_head_dim=2,
        )
        self.autoencoder = diffusers.AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=4,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.autoencoder.decode(self.unet(x, STEP, WORDS).sample).sample


def text_unet_and_decoder() -> Case:
    return Case(WithDecoder(), lambda net, x: net(x[None])[0], (4, 4, 4))


def dit() -> Case:
    network = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        sample_size=4,
        patch_size=2,
        norm_num_groups=4,
        num_embeds_ada_norm=10,
    )
    label = torch.tensor([3])
    return Case(network, lambda net, x: net(x[None], STEP.long(), label).sample[0], (4, 4, 4))


def sd3() -> Case:
    network = diffusers.SD3Transformer2DModel(
        sample_size=4,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=8,
        caption_projection_dim=16,
        pooled_projection_dim=8,
        pos_embed_max_size=4,
    )
    return Case(network, lambda net, x: net(x[None], WORDS, WORDS[:, 0], STEP).sample[0], (4, 4, 4))


def flux() -> Case:
    network = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        axes_dims_rope=(2, 2, 4),
    )
    where = torch.zeros(16, 3, dtype=torch.float64)

    def call(net: nn.Module, x: Tensor) -> Tensor:
        return net(x[None], WORDS, WORDS[:, 0], STEP / 1000, where, where[:3]).sample[0]

    return Case(network, call, (16, 4))


BUILDERS = {build.__name__: build for build in (unet, text_unet_and_decoder, dit, sd3, flux)}


@pytest.fixture(scope="module", params=BUILDERS)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    built = BUILDERS[request.param]()
    for weight in built.network.parameters():  # zero heads hide mistakes
        nn.init.normal_(weight, std=0.3 if weight.ndim > 1 else 0.1)
    built.network = make_differentiable(built.network.double().eval().requires_grad_(False))
    return built


def point(case: Case) -> Tensor:
    return torch.randn(case.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def direction(case: Case) -> Tensor:
    """Different in every thread."""
    return torch.randn(case.shape, dtype=torch.float64)


def difference(case: Case, v: Tensor, step: float = 2e-3) -> Tensor:
    """J v by central differences of fourth order: error about step^4 + 1e-7 / step.

    The step is that large because some layers pass through float32 whatever the dtype of their input is.
    """
    x = point(case)

    def slope(h: float) -> Tensor:
        return (case(x + h * v) - case(x - h * v)) / (2 * h)

    with torch.no_grad():
        return (4 * slope(step) - slope(2 * step)) / 3


def assert_derivative(case: Case, v: Tensor, column: Tensor) -> None:
    truth = difference(case, v)
    assert (column - truth).norm() < 1e-3 * truth.norm()


def forward_mode(case: Case) -> Iterator[None]:
    jacobian = linearize(case, point(case), mode="forward")
    yield
    for _ in range(2):
        v = direction(case)
        assert_derivative(case, v, jacobian.jvp(v[None])[0])
        yield


def double_backward(case: Case) -> Iterator[None]:
    jacobian = linearize(case, point(case))
    yield
    for _ in range(2):
        v, u = direction(case), torch.randn_like(jacobian.value)
        column = jacobian.jvp(v[None])[0]
        assert_derivative(case, v, column)
        yield
        row = jacobian.vjp(u[None])[0]
        torch.testing.assert_close((row * v).sum(), (u * column).sum(), rtol=1e-6, atol=1e-6)
        yield


class Called(nn.Module):
    """A case as a module."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.network, self.call = case.network, case.call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.network, x)


def vmap_over_parameters(case: Case) -> Iterator[None]:
    """Two students with weights of their own in one pass.

    `functional_call` puts the weights into the module while it runs: threads that share a module
    would compute with each other's. So each caller has a shell of its own.
    """
    x, module = point(case), Called(case)
    shell = copy.deepcopy(module).to("meta")
    stacked = {name: torch.stack([w, 1.1 * w]) for name, w in module.named_parameters()}
    fixed = dict(module.named_buffers())

    def student(weights: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(shell, {**weights, **fixed}, (x,))

    yield
    both = torch.func.vmap(student)(stacked)
    yield
    for index in range(2):
        alone = student({name: w[index] for name, w in stacked.items()})
        torch.testing.assert_close(both[index], alone, rtol=1e-5, atol=1e-5)
        yield


Check = Callable[[Case], Iterator[None]]


def one_thread(check: Check, case: Case) -> None:
    for _ in check(case):
        pass


def eight_at_once(check: Check, case: Case) -> None:
    start = threading.Barrier(8)

    def work(_: int) -> bool:
        start.wait(timeout=60)
        one_thread(check, case)
        return torch.is_grad_enabled()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def hopping(check: Check, case: Case) -> None:
    steps, done = check(case), object()
    while True:
        with ThreadPoolExecutor(1) as pool:  # a new thread for each step
            if pool.submit(next, steps, done).result() is done:
                return


@pytest.mark.parametrize("drive", [one_thread, eight_at_once, hopping])
@pytest.mark.parametrize("check", [forward_mode, double_backward, vmap_over_parameters])
def test_derivatives(case: Case, check: Check, drive: Callable[[Check, Case], None]) -> None:
    drive(check, case)
