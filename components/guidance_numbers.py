"""The numbers of guided samples in words: one list for the table of a run and for that of settings side by side."""

from backend.experiments.guide_quality import Quality
from backend.metrics.intervals import Estimate

NONE = "–"
FURTHEST = 3  # factors named


def numbers(quality: Quality, evaluations: int, asked: int, seconds: float) -> dict[str, str]:
    """Name -> value, with its 95 % interval where there is one; a dash where a number could not be computed."""
    return {
        "read as the class": estimate(quality.accuracy, 100, " %"),
        "mean probability of the class": value(quality.probability),
        "variance over real": estimate(quality.variance),
        "Vendi score (real)": pair(quality.vendi, quality.vendi_real),
        "recall": estimate(quality.recall),
        "precision": estimate(quality.precision),
        "Frechet, own features": estimate(quality.frechet),
        "its floor, real against real": estimate(quality.frechet_floor),
        "factors furthest from real": factors(quality.factors),
        "clipped numbers": value(100 * quality.clipped, " %"),
        "passes of the network": f"{evaluations:,}",
        "samples in them": f"{asked:,}",
        "seconds": f"{seconds:.1f}",
    }


def estimate(found: Estimate | None, scale: float = 1.0, unit: str = "") -> str:
    if found is None:
        return NONE
    mean, low, high = (f"{scale * part:.3g}" for part in (found.value, found.low, found.high))
    return f"{mean}{unit} <small>[{low}, {high}]</small>"


def value(found: float | None, unit: str = "") -> str:
    return NONE if found is None else f"{found:.3g}{unit}"


def pair(found: float | None, real: float | None) -> str:
    return NONE if found is None else f"{value(found)} <small>({value(real)})</small>"


def factors(distances: tuple[tuple[str, float], ...]) -> str:
    """The factors whose marginals are furthest from real ones, in standard deviations of the prior."""
    furthest = sorted(distances, key=lambda one: -one[1])[:FURTHEST]
    return "<br>".join(f"{name} {distance:.2f}" for name, distance in furthest) or NONE
