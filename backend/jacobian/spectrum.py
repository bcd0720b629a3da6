"""What a Jacobian's singular values say: its energy, its rank by several measures, and how far it is from symmetric.

    energy            |J|_F^2 = sum_i s_i^2
    rank ratio        r / d, r the fewest leading singular values that hold a share of the energy (CUTS)
    effective rank    exp(-sum_i p_i log p_i), p_i = s_i / sum s       Roy and Vetterli 2007
    stable rank       |J|_F^2 / s_1^2                                  Rudelson and Vershynin 2007
    asymmetry         |J - J^T|_F / |J|_F                              0 for a posterior mean, which is a gradient; sqrt(2) at random

A small Jacobian is computed whole. Of a large one the k leading triplets are known, and the rest is estimated from random
probes z ~ N(0, I) (Hutchinson 1990, https://doi.org/10.1080/03610919008812866), which see only what the triplets leave:

    |J|_F^2 = sum_{i<=k} s_i^2 + E |J (z - V V^T z)|^2,        |J - J^T|_F^2 = E |(J - J^T) z|^2.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.jacobian.linearize import Linearized
from backend.jacobian.svd import SVD
from backend.request import Progress

CUTS = {  # share of the energy -> whose cut it is
    0.99**2: "98.01 % of the energy (LOCO Edit: η² with η = 0.99)",
    0.99: "99 % of the energy",
}


@dataclass(frozen=True)
class Total:
    """An estimate of |J|_F^2 and of |J - J^T|_F^2 with their standard errors, 0 where they are exact."""

    energy: float
    energy_error: float
    asymmetric: float
    asymmetric_error: float

    @property
    def asymmetry(self) -> float:
        """|J - J^T|_F / |J|_F."""
        return (self.asymmetric / max(self.energy, 1e-30)) ** 0.5

    @property
    def asymmetry_error(self) -> float:
        """Its standard error, to first order in that of |J - J^T|^2; the energy is known far better."""
        return self.asymmetry * self.asymmetric_error / max(2 * self.asymmetric, 1e-30)


def dense_steps(f: Callable[[Tensor], Tensor], x: Tensor) -> Iterator[Progress]:
    """The whole Jacobians of a batch, (B, |out|, |in|), which `yield from` hands over: one backward pass for each output.

    Args:
        f: maps (B, *in) to (B, *out), sample i depending on x[i] alone.
        x: (B, *in); a batch of one is a batch.
    """
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        value = f(x)
    size, rows = value[0].numel(), []
    for i in range(size):
        unit = torch.zeros_like(value).flatten(1)
        unit[:, i] = 1
        (row,) = torch.autograd.grad(value, x, unit.view_as(value), retain_graph=i + 1 < size)
        rows.append(row.flatten(1))
        yield Progress(i + 1, size, "rows of the Jacobian")
    return torch.stack(rows, dim=1)


def total(jacobian: Tensor) -> Total:
    """The exact energy of a dense Jacobian (d, d)."""
    jacobian = jacobian.double()
    return Total(float(jacobian.square().sum()), 0.0, float((jacobian - jacobian.T).square().sum()), 0.0)


def total_steps(jacobian: Linearized, leading: SVD, probes: int, seed: int = 0) -> Iterator[Progress]:
    """The `Total` of a square Jacobian of which `leading` is known, by this many probes of one J z and one J^T z each,
    which `yield from` hands over. Raises ValueError for fewer than two probes."""
    if probes < 2:
        raise ValueError("An estimate with an error needs two probes or more.")
    U, S, V = leading.U.flatten(1), leading.S.to(leading.U), leading.V.flatten(1)
    known = float(leading.S.double().square().sum())
    generator = torch.Generator().manual_seed(seed)
    rests, differences = [], []
    for done in range(probes):
        z = torch.randn(jacobian.shape, generator=generator).to(jacobian.value).flatten()
        along_v, along_u = V @ z, U @ z
        right = jacobian.jvp((z - along_v @ V).view(1, *jacobian.shape)).flatten()
        left = jacobian.vjp((z - along_u @ U).view(1, *jacobian.value.shape)).flatten()
        rests.append(float((right.square().sum() + left.square().sum()) / 2))
        whole = right + (S * along_v) @ U - left - (S * along_u) @ V
        differences.append(float(whole.square().sum()))
        yield Progress(done + 1, probes, "probes of the remaining energy")
    rest, rest_error = _mean(rests)
    difference, difference_error = _mean(differences)
    return Total(known + rest, rest_error, difference, difference_error)


def _mean(values: list[float]) -> tuple[float, float]:
    """The mean and its standard error."""
    sample = torch.tensor(values, dtype=torch.float64)
    return float(sample.mean()), float(sample.std() / len(sample) ** 0.5)


def rank(s: Tensor, energy: Tensor | float, cut: float) -> Tensor:
    """The fewest leading values of s (..., k), largest first, whose energy is at least `cut` of `energy` (...): int64 (...).

    k + 1 where all k together fall short: the rank is above k.
    """
    held = s.double().square().cumsum(-1)
    wanted = cut * torch.as_tensor(energy, dtype=torch.float64)
    short = held < wanted[..., None] * (1 - 1e-12)  # a sum of all values must reach itself
    return short.sum(-1) + 1


def effective_rank(s: Tensor) -> Tensor:
    """Of all singular values s (..., d): (...), from 1 to d; 0 where all are 0 (Roy and Vetterli 2007, EUSIPCO)."""
    s = s.double()
    p = s / s.sum(-1, keepdim=True).clamp_min(1e-300)
    return torch.where(s.sum(-1) > 0, torch.special.entr(p).sum(-1).exp(), 0.0)


def stable_rank(s: Tensor, energy: Tensor | float) -> Tensor:
    """energy (...) over the largest value of s (..., k) squared: (...), from 1 to d."""
    return torch.as_tensor(energy, dtype=torch.float64) / s[..., 0].double().square().clamp_min(1e-300)
