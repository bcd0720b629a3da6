"""NoiseCLR: directions learned without supervision, as words that change every picture alike.

Dalva and Yanardag, "NoiseCLR: A Contrastive Learning Approach for Unsupervised Discovery of Interpretable Directions in
Diffusion Models", CVPR 2024, https://arxiv.org/abs/2312.05390. There K pseudo-words steer a text-to-image model; here K
vectors take the place of a class-conditional network's class embedding. With e_k such a vector and null the embedding of
no label, the edit of picture i noised to x_i at time t_i, and the loss, are

    delta_{k,i} = D(x_i, t_i, e_k) - D(x_i, t_i, null)

    L = - mean_k log( mean_{i < j} exp(cos(delta_{k,i}, delta_{k,j}) / tau)
                      / mean_{l != k, i} exp(cos(delta_{k,i}, delta_{l,i}) / tau) )

so that one direction does the same to all pictures, and each another thing to one. The paper subtracts predicted noises,
which is the same: they differ by -alpha / sigma from delta, and the cosine of two such differences loses both factors,
sign and all. Means for the paper's sums, as in its code (https://github.com/gemlab-vt/NoiseCLR), shift L by a constant:
0 means that directions are no more alike across pictures than across directions.
"""

from collections.abc import Generator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.denoiser.base import Denoiser, branches, given, like
from backend.denoiser.unet import UNetDenoiser
from backend.editing.baselines.bottleneck import with_children
from backend.editing.scene import Steering
from backend.request import Progress

TAU = 0.5
PICTURES = 6  # in a step, as in the paper's code
COMPARED = 21  # directions in a step, as there: one and the 20 that it is compared with


def learn(
    denoiser: UNetDenoiser,
    pictures: Tensor,
    k: int,
    steps: int,
    t_range: tuple[float, float] = (0.2, 0.8),
    seed: int = 0,
    lr: float = 1e-2,
) -> Generator[Progress, None, Tensor]:
    """Learns k directions with AdamW from unlabelled pictures; the network is read and never changed.

    Args:
        denoiser: a U-Net with class embeddings.
        pictures: (N, C, H, W) in [-1, 1], on the network's device, N at least 2.
        k: at least 2.
        t_range: times are drawn uniformly between these two.

    Returns the embeddings, float32 (k, dim). Equal seeds give equal ones.

    Raises:
        ValueError: if the network has no class embeddings, or there are fewer than two pictures or directions.
    """
    if len(pictures) < 2 or k < 2:
        raise ValueError("NoiseCLR compares directions and pictures: it needs at least two of each.")
    table = _table(denoiser).float()
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(k, table.shape[1], generator=generator).to(table)
    # among the embeddings that the network knows, where it answers sensibly
    words = (table.mean(0) + start * table.std(0)).requires_grad_()
    worded = _with_words(denoiser, words)
    optimizer = torch.optim.AdamW([words], lr=lr)
    for step in range(steps):
        chosen = torch.randperm(k, generator=generator)[:COMPARED]
        x_0 = pictures[torch.randperm(len(pictures), generator=generator)[:PICTURES]]
        t = torch.empty(len(x_0)).uniform_(*t_range, generator=generator).to(x_0.device)
        noise = torch.randn(x_0.shape, generator=generator).to(x_0)
        alpha, sigma = (like(a, x_0) for a in denoiser.schedule(t))
        with torch.enable_grad():
            value = loss(edits(worded, alpha * x_0 + sigma * noise, t, chosen))
            # not backward(), which would leave gradients on the shared network
            (words.grad,) = torch.autograd.grad(value, words)
        optimizer.step()
        yield Progress(step + 1, steps, "steps of NoiseCLR")
    return words.detach()


def edits(worded: Denoiser, x_t: Tensor, t: Tensor, chosen: Tensor) -> Tensor:
    """delta (m, n, *shape) of the directions `chosen`, int64 (m,), on noisy pictures x_t (n, *shape) at times t (n,)."""
    with torch.no_grad():
        plain = worded(x_t, t)
    m, n = len(chosen), len(x_t)
    label = chosen[:, None].expand(m, n)
    return worded(x_t.expand(m, *x_t.shape), t.expand(m, n), label=label) - plain


def loss(delta: Tensor) -> Tensor:
    """L of edits delta (k, n, *shape), k and n at least 2: a scalar between -2 / TAU and 2 / TAU."""
    k, n = delta.shape[:2]
    unit = F.normalize(delta.flatten(2), dim=2)
    alike = torch.exp(torch.einsum("kid,kjd->kij", unit, unit) / TAU)
    apart = torch.exp(torch.einsum("kid,lid->kli", unit, unit) / TAU)
    i, j = torch.triu_indices(n, n, offset=1, device=delta.device)
    other = ~torch.eye(k, dtype=torch.bool, device=delta.device)
    positive = alike[:, i, j].mean(1)
    negative = apart[other].view(k, -1).mean(1)
    return (negative.log() - positive.log()).mean()


def steering(denoiser: Denoiser, embedding: Tensor, label: Tensor) -> Steering:
    """D(x, t, label) + s (D(x, t, e) - D(x, t, null)), with e the learned embedding (dim,); label int64 (), -1 for none.

    Raises:
        ValueError: if the denoiser is not a U-Net with class embeddings.
    """
    worded = _with_words(denoiser, embedding[None])
    return lambda scales: Worded(given(denoiser, label=label), worded, scales)


class Worded(Denoiser):
    """Batches of n, steered along the one word of `worded` by scales (n,); at scale 0 `base` to the bit."""

    def __init__(self, base: Denoiser, worded: Denoiser, scales: Tensor):
        super().__init__()
        self.base, self.worded, self.scales = base, worded, scales
        self.schedule, self.shape = base.schedule, base.shape

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        value = self.base(x_t, t, **condition)  # apart from the others, so that it does not depend on them
        word, null = branches(self.worded, x_t, t, [{"label": torch.tensor(0)}, {}])
        return value + like(self.scales, x_t) * (word - null)


class _Words(nn.Module):
    """An embedding of labels: vectors (k, dim), which get gradients, and at k the null label's (dim,)."""

    def __init__(self, vectors: Tensor, null: Tensor):
        super().__init__()
        self.vectors, self.null = vectors, null

    def forward(self, labels: Tensor) -> Tensor:
        return F.embedding(labels, torch.cat([self.vectors, self.null[None]]))


def _with_words(denoiser: Denoiser, vectors: Tensor) -> UNetDenoiser:
    """The denoiser with vectors (k, dim) for class embeddings: label j is vector j, -1 is null as ever.

    Shells of the denoiser and its U-Net, with all other layers their own. `torch.func.functional_call` would put the
    vectors into the shared network itself for as long as it runs, where other threads would meet them.
    """
    table = _table(denoiser)
    words = _Words(vectors.to(table.device), table[-1].to(vectors.dtype))
    worded = with_children(denoiser, unet=with_children(denoiser.unet, class_embedding=words))
    worded.classes = len(vectors)
    return worded


def _table(denoiser: Denoiser) -> Tensor:
    """The class embeddings (classes + 1, dim), the last for the null label."""
    if not isinstance(denoiser, UNetDenoiser) or not denoiser.classes:
        raise ValueError("NoiseCLR needs a U-Net with class embeddings.")
    return denoiser.unet.class_embedding.weight.detach()
