"""The iteration that LOCO Edit publishes for the leading singular vectors, written anew to be compared with.

Chen et al. 2024, https://arxiv.org/abs/2409.02374, Algorithm 2 ("generalized power method"), as their code runs
it: all columns J V in one forward-mode pass over a batch of copies of x, then, with the function run again, the
rows U^T J one backward pass at a time, then the SVD of these k rows. Nothing here depends on the signs of that
SVD, which on a CPU change from step to step and keep the published stopping test from firing; the caller stops it
instead.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def subspace_iteration(
    f: Callable[[Tensor], Tensor], x: Tensor, mask: Tensor, k: int, seed: int
) -> Iterator[Tensor]:
    """Yields V (k, *x.shape) after each step, of k columns and k rows.

    Args:
        f: (n, *shape) -> (n, *shape), sample by sample.
        x: the point, of one sample.
        mask: bool, which outputs count.
    """
    noise = torch.randn(x.numel(), k, generator=torch.Generator().manual_seed(seed)).to(x)
    v = torch.linalg.qr(noise).Q.T.reshape(k, *x.shape)
    while True:
        copies = x.repeat(k, *[1] * x.ndim)
        u = torch.func.jvp(f, (copies,), (v,))[1][:, mask]

        point = x.detach().clone().requires_grad_()
        with torch.enable_grad():
            value = f(point[None])[0][mask]
        rows = [torch.autograd.grad(value, point, one, retain_graph=True)[0] for one in u]
        v = torch.linalg.svd(torch.stack(rows).flatten(1), full_matrices=False).Vh.reshape(k, *x.shape)
        yield v
