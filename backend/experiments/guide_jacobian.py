"""The guidance tab at one picture: the eigenvectors of the Jacobian of what guidance adds, and what they do to the posterior mean.

The picture is taken along the probability flow to the noise level, as in the spectrum tab. Beside its own contrastive components
stand those of the two Gaussians of the data at that noise level (backend.guidance.terms), and beside guidance by them the network's
D_c - D_u. Everything that is shown is linear in gamma, so that one request serves all strengths.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from backend.denoiser.base import branches
from backend.experiments.spectrum import check_t
from backend.guidance import class_statistics
from backend.guidance.class_statistics import LABELS, ClassStatistics
from backend.guidance.jacobian_difference import applied, compared, difference, linear
from backend.inference.cache import call
from backend.inference.load import Model
from backend.inference.pictures import Invert
from backend.jacobian.linearize import linearize
from backend.jacobian.symmetric import Half, eigenpairs_steps, energies_steps
from backend.request import Progress, Request, option, require
from backend.schedule import noise_level

LARGEST_K = 20
PROBES = 16  # of the energy outside the space that the search has seen


@dataclass(frozen=True)
class Components:
    """The leading contrastive components of one sign at one picture of d values, strongest first.

    values (p,): eigenvalues with respect to x_t / alpha. vectors (p, *shape) float16, unit. residual (p,): |S v - lambda v|.
    linear (q,): eigenvalues of the linear model's components of that sign. cosine (p,): with the linear component of the same rank, 0
    to 1, NaN where there is none. within (p,): share in the span of the q linear ones, 0 to 1; chance: q / d.
    """

    values: Tensor
    vectors: Tensor
    residual: Tensor
    linear: Tensor
    cosine: Tensor
    within: Tensor
    chance: float


@dataclass(frozen=True)
class JacobianSplit:
    """The Jacobian J of D_c - D_u with respect to x_t / alpha at one picture, d values, and its symmetric part S.

    level: the noise level. label: the class. energy: |S|_F^2, and held: the share of it in the components shown; asymmetry: |J - J^T| / |J|;
    with standard errors. homogeneity: |J x_t / alpha - (D_c - D_u)| / |D_c - D_u|; the heuristic takes it for 0.
    x_t, conditional, difference (*shape) float16: x_t, D_c and D_c - D_u. along_positive, along_negative: V Lambda V^T D_c, what one
    unit of gamma adds; cosine_positive, cosine_negative: of these with D_c - D_u.
    products: of Jacobians with vectors, each a pass of the network back through both branches.
    note: a sentence about shrinkage of the linear model, "" for none.
    """

    level: float
    label: str
    d: int
    positive: Components
    negative: Components
    energy: float
    energy_error: float
    held: float
    held_error: float
    asymmetry: float
    asymmetry_error: float
    homogeneity: float
    x_t: Tensor
    conditional: Tensor
    difference: Tensor
    along_positive: Tensor
    along_negative: Tensor
    cosine_positive: float
    cosine_negative: float
    products: int
    note: str

    def guided(self, gamma: float, part: str) -> Tensor:
        """The guided posterior mean (*shape), unclipped: D_c + gamma times "positive", "negative", "both" or, as CFG, "difference"."""
        added = {
            "positive": self.along_positive,
            "negative": self.along_negative,
            "both": self.along_positive.float() + self.along_negative.float(),
            "difference": self.difference,
        }
        return self.conditional.float() + gamma * added[part].float()


@dataclass(frozen=True)
class SplitJacobian(Request):
    """Sample-dependent contrastive components: leading eigenpairs of the symmetrised Jacobian of D_c - D_u at one picture.

    Li, Wang and Qu (https://arxiv.org/abs/2505.19210), nonlinear regime, Eq. 17. An empty label is the picture's own.
    """

    model: Literal["avatars", "digits"] = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    label: str = option("", "the class")
    t: float = option(0.5, "the noise level t")
    k: int = option(8, "the number of components of each sign")

    def check(self) -> None:
        check_t(self.t)
        known = ", ".join(LABELS[self.model])
        require(self.label in ("", *LABELS[self.model]), f"There is no such class; the classes are {known}.")
        require(1 <= self.k <= LARGEST_K, f"Ask for 1 to {LARGEST_K} components of each sign.")

    def needs(self) -> tuple[Request, ...]:
        return (Invert(self.model, self.image, self.t),)

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        label = self.label or inverted.label
        require(bool(label), "This picture has no class of its own; choose one.")
        condition, x_t = model.condition(label=label), inverted.x_t.to(model.device)
        conditional, unconditional = _means(model, x_t, self.t, condition)
        added = (conditional - unconditional).cpu()

        f, alpha = difference(model.denoiser, self.t, condition)
        jacobian = linearize(f, x_t / alpha)
        found = yield from eigenpairs_steps(jacobian, self.k)
        energies = yield from energies_steps(jacobian, found, PROBES)
        moved = jacobian.jvp(x_t[None] / alpha)[0].cpu()
        yield Progress(1, 1, "means")

        stats = class_statistics.of_class(self.model, label)
        level = float(noise_level(model.denoiser.schedule, torch.tensor(self.t, dtype=torch.float64)))
        along = [applied(half, conditional).cpu() for half in (found.positive, found.negative)]
        total, energy = energies.total, energies.symmetric
        kept = sum(float(half.values.square().sum()) for half in (found.positive, found.negative))
        yield JacobianSplit(
            level=level,
            label=label,
            d=math.prod(model.denoiser.shape),
            positive=_components(found.positive, stats, level, self.k, 1),
            negative=_components(found.negative, stats, level, self.k, -1),
            energy=energy,
            energy_error=energies.symmetric_error,
            held=kept / energy,
            held_error=kept / energy**2 * energies.symmetric_error,
            asymmetry=total.asymmetry,
            asymmetry_error=total.asymmetry_error,
            homogeneity=float((moved - added).norm() / added.norm()),
            x_t=inverted.x_t.half(),
            conditional=conditional.cpu().half(),
            difference=added.half(),
            along_positive=along[0].half(),
            along_negative=along[1].half(),
            cosine_positive=_cosine(along[0], added),
            cosine_negative=_cosine(along[1], added),
            products=jacobian.cost.products,
            note=stats.note,
        )


@torch.no_grad()
def _means(model: Model, x_t: Tensor, t: float, condition: dict[str, Tensor]) -> Tensor:
    """D_c and D_u, (2, *shape)."""
    return branches(model.denoiser, x_t[None], t, [condition, {}])[:, 0]


def _components(half: Half, stats: ClassStatistics, level: float, k: int, sign: int) -> Components:
    values, others = linear(stats, level, k, sign)
    vectors = half.vectors.cpu()
    cosine, within = compared(vectors, others)
    chance = len(values) / vectors[0].numel() if len(vectors) else 0.0
    return Components(half.values, vectors.half(), half.residual, values, cosine, within, chance)


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0))
