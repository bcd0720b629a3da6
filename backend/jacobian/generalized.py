"""Directions that change one region of the output and leave the rest: generalised singular vectors of J.

With J_in the rows of the region and J_out the others, the k leading v of

    max_v  q(v) = |J_in v|^2 / (|J_out v|^2 + mu |v|^2)

solve J_in^T J_in v = q (J_out^T J_out + mu) v, the regularised pencil of the generalised SVD (Van Loan 1976,
https://doi.org/10.1137/0713009). A large mu gives the leading singular vectors of J_in; a small one silence
outside, at any price inside.

By Rayleigh-Ritz: J is known on every v that was ever multiplied, and a search for its leading singular vectors has
multiplied good ones, so a small dense problem gives nearly the best v at once, for any region. What is
missing is added as in Davidson's method (1975, https://doi.org/10.1016/0021-9991(75)90065-0), without a
preconditioner: the residual of each vector joins the space.
"""

from collections.abc import Generator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from backend.jacobian.linearize import Linearized
from backend.request import Progress

WHAT = "Jacobian products"


@dataclass
class Memory:
    """Inputs v that were multiplied, and J v, whole, in the order of the products."""

    inputs: list[Tensor] = field(default_factory=list)
    images: list[Tensor] = field(default_factory=list)

    def basis(self) -> tuple[Tensor, Tensor]:
        """An orthonormal basis V (n, |in|) of the inputs' span, and J V (n, |out|)."""
        inputs, images = (torch.stack(part).flatten(1) for part in (self.inputs, self.images))
        inputs = inputs / (norms := inputs.norm(dim=1, keepdim=True))
        values, axes = torch.linalg.eigh((inputs @ inputs.T).double())
        kept = values > 1e-4 * values[-1]  # what is nearly dependent would only magnify rounding
        mix = (axes[:, kept] / values[kept].sqrt()).T.to(inputs)
        return mix @ inputs, mix @ (images / norms)


def remember(jacobian: Linearized, memory: Memory) -> Linearized:
    """The same Jacobian, which adds every column J v that it or a restriction of it is asked for to the memory."""

    def jvp(v: Tensor) -> Tensor:
        columns = jacobian.jvp(v)
        memory.inputs += v.unbind()
        memory.images += columns.unbind()
        return columns

    return replace(jacobian, jvp=jvp)


def generalized(memory: Memory, mask: Tensor, k: int, ridge: float) -> tuple[Tensor, Tensor]:
    """The best k directions in the span of the memory, strongest first, without a network evaluation.

    Args:
        mask: bool, broadcastable to the output: the region.
        ridge: mu as a multiple of the largest |J_in v|^2 in the span, above 0.

    Returns v (k, *in), unit, and J v (k, *out); fewer where the memory spans less. The sign is that of
    sum((J_in v)^3) > 0, as in `svd`.

    Raises:
        ValueError: if the memory is empty or the ridge is not positive.
    """
    v, images, _, _ = _ritz(memory, mask, k, ridge)
    return v, images


def generalized_steps(
    jacobian: Linearized, memory: Memory, mask: Tensor, k: int, ridge: float, rounds: int = 2
) -> Generator[Progress, None, tuple[Tensor, Tensor]]:
    """As `generalized`, refined: each round adds the k residuals to the memory, for 2 k products."""
    jacobian = remember(jacobian, memory)
    for done in range(rounds):
        v, images, q, mu = _ritz(memory, mask, k, ridge)
        scales = [q.view(-1, *[1] * (part.dim() - 1)) for part in (images, v)]
        weighted = torch.where(mask, images, -scales[0] * images)
        residuals = (jacobian.vjp(weighted) - mu * scales[1] * v).flatten(1)
        yield Progress((2 * done + 1) * k, 2 * rounds * k, WHAT)
        basis, _ = memory.basis()
        for _ in range(2):
            residuals = residuals - (residuals @ basis.T) @ basis
        new = torch.linalg.qr(residuals.T).Q.T.reshape(-1, *jacobian.shape)
        jacobian.jvp(new)
        yield Progress((2 * done + 2) * k, 2 * rounds * k, WHAT)
    return generalized(memory, mask, k, ridge)


def _ritz(memory: Memory, mask: Tensor, k: int, ridge: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Unit v (k, *in), J v (k, *out), their quotients q (k,) and mu."""
    from scipy.linalg import eigh  # takes a moment to import

    if not memory.inputs or ridge <= 0:
        raise ValueError("Generalised directions need products and a positive ridge.")
    basis, images = memory.basis()
    inside = mask.broadcast_to(memory.images[0].shape).flatten()
    j_in, j_out = images[:, inside], images[:, ~inside]
    gram_in, gram_out = ((part @ part.T).double().cpu() for part in (j_in, j_out))
    mu = ridge * torch.linalg.eigvalsh(gram_in)[-1]
    q, axes = eigh(gram_in.numpy(), (gram_out + mu * torch.eye(len(basis))).numpy())
    mix = torch.from_numpy(axes.T[::-1][:k].copy())
    mix = (mix / mix.norm(dim=1, keepdim=True)).to(basis)
    mix = torch.where((mix @ j_in).pow(3).sum(1, keepdim=True) < 0, -1.0, 1.0).to(basis) * mix
    shapes = (memory.inputs[0].shape, memory.images[0].shape)
    v, j_v = ((mix @ part).view(-1, *shape) for part, shape in zip((basis, images), shapes, strict=True))
    return v, j_v, torch.from_numpy(q[::-1][:k].copy()).to(basis), mu.to(basis)
