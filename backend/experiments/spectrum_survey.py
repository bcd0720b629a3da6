"""The spectrum tab: spectra of many held-out pictures at many noise levels, for a band around one picture's."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.denoiser.base import given
from backend.experiments.spectrum import DENSE, MeasureSpectrum, check_k, dimension, times_of
from backend.inference.cache import call
from backend.inference.catalogue import card
from backend.inference.load import Model
from backend.inference.pictures import GALLERY, held_out
from backend.jacobian.spectrum import dense_steps, effective_rank, rank, stable_rank
from backend.request import Request, option, require
from backend.sampling.travel import travel

STEPS = 8  # of the flow from one noise level to the next
LARGEST_BATCH = 64


FEW, MANY = 4, 32  # pictures of a large and of a small model's usual survey


@dataclass(frozen=True)
class Survey:
    """Spectra of n pictures of d values at T noise levels.

    t, log_snr (T,); s (T, n, d) or (T, n, k) float16 singular values; energy, asymmetry (T, n), with their standard errors,
    0 where exact; found {what: (T, n)} the share of the true tangent space that lies in it, {} where it is not known.
    """

    t: Tensor
    log_snr: Tensor
    d: int
    s: Tensor
    energy: Tensor
    energy_error: Tensor
    asymmetry: Tensor
    found: dict[str, Tensor]

    def rank_ratio(self, cut: float) -> Tensor:
        """(T, n), with infinity where the singular values that are known do not reach the cut."""
        r = rank(self.s.double(), self.energy, cut)
        return torch.where(r > self.s.shape[-1], torch.inf, r / self.d)

    def effective_rank(self) -> Tensor:
        """Roy and Vetterli's (T, n), NaN where not all singular values are known."""
        whole = self.s.shape[-1] == self.d
        return effective_rank(self.s) if whole else torch.full_like(self.energy, torch.nan)

    def stable_rank(self) -> Tensor:
        """Rudelson and Vershynin's, (T, n)."""
        return stable_rank(self.s.double(), self.energy)


@dataclass(frozen=True)
class SurveySpectra(Request):
    """Singular values of dD/dx_t for many held-out pictures of a model's data, each taken along the flow to every noise level.

    Small Jacobians are computed whole, of all pictures in one batch; of large ones the leading values, picture by picture.
    """

    model: str = option("avatars", "the model")
    pictures: int = option(4, "the number of pictures")
    times: int = option(9, "the number of noise levels")
    k: int = option(50, "the number of singular values")

    def check(self) -> None:
        require(self.pictures != 1, "One picture has no band; ask for 2 pictures or more.")
        small = dimension(card(self.model)) <= DENSE
        most = LARGEST_BATCH if small else GALLERY
        require(2 <= self.pictures <= most, f"Ask for 2 to {most} pictures.")
        require(2 <= self.times <= 40, "Ask for 2 to 40 noise levels.")
        if small:
            held_out(card(self.model), range(self.pictures))
        else:
            check_k(self.model, self.k)

    def seconds(self) -> float:
        return 300.0

    def run(self, model: Model) -> Iterator[Any]:
        times = times_of(self.times)
        small = dimension(model.card) <= DENSE
        rows = yield from (self._whole if small else self._leading)(model, times)
        t = torch.tensor(times, dtype=torch.float64)
        names = rows[0][-1].keys()
        found = {name: torch.stack([row[-1][name] for row in rows]) for name in names}
        s, *rest = (torch.stack(part) for part in list(zip(*rows, strict=True))[:-1])
        yield Survey(t, model.denoiser.schedule.log_snr(t), dimension(model.card), s.half(), *rest, found)

    def _whole(self, model: Model, times: list[float]) -> Iterator[Any]:
        """(s, energy, its error, asymmetry, found) at each time, over all pictures."""
        x, labels = held_out(model.card, range(self.pictures))
        denoiser, x, rows, before = model.denoiser, x.to(model.device), [], 0.0
        if model.card.labels:
            indices = torch.tensor([model.card.labels.index(label) for label in labels])
            denoiser = given(denoiser, label=indices.to(model.device))
        for t in times:
            x = yield from travel(denoiser, x, before, t, STEPS)
            before = t
            jacobians = (yield from dense_steps(lambda a, t=t: denoiser(a, t), x)).double().cpu()
            s = torch.linalg.svdvals(jacobians)
            energy, skew = (j.square().sum((1, 2)) for j in (jacobians, jacobians - jacobians.mT))
            rows.append((s, energy, torch.zeros_like(energy), (skew / energy).sqrt(), {}))
        return rows

    def _leading(self, model: Model, times: list[float]) -> Iterator[Any]:
        rows = []
        for t in times:
            spectra = []
            for number in range(self.pictures):
                one = MeasureSpectrum(self.model, f"gallery:{number}", t, self.k)
                spectra.append((yield from call(one, model)))
            each = [[getattr(s, name) for s in spectra] for name in ("energy", "energy_error", "asymmetry")]
            numbers = (torch.tensor(values, dtype=torch.float64) for values in each)
            names = spectra[0].found
            found = {name: torch.tensor([s.found[name] for s in spectra]) for name in names}
            rows.append((torch.stack([s.s for s in spectra]), *numbers, found))
        return rows


def suited(model: str, times: int = SurveySpectra.times, k: int = SurveySpectra.k) -> SurveySpectra:
    """The survey that suits a model: many pictures where the whole Jacobian is computed, whatever k is."""
    small = dimension(card(model)) <= DENSE
    return SurveySpectra(model, MANY, times) if small else SurveySpectra(model, FEW, times, k)
