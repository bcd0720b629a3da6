"""Strengths of attacks on small pictures that cost what the papers' cost at 512 pixels: `python -m tests.benchmarks.attack_strengths`.

The target is the mean PSNR that a paper's attack leaves of five photographs of 512 x 512 pixels, scikit-image's; those with a shorter
side of 400 to 500 pixels are enlarged a little. On each of the project's own data sets, on pictures that no model was trained on,
it is met as nearly as the strengths allow: a JPEG quality is whole, a small picture shrinks by whole pixels, a median has an odd side. Five
photographs are few, and the intervals of the targets say so. Patches of photographs are not matched: many show one flat tone that no blur
changes, so that the mean would ask for strengths that erase the rest. `backend.watermark.attacks.MATCHED` holds what comes out.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from functools import cache

import torch
from torch import Tensor

from backend.data import avatars, digits, small_faces
from backend.inference.pictures import HELD_OUT
from backend.metrics.image import psnr
from backend.metrics.intervals import Estimate, bootstrap
from backend.watermark.attacks import KINDS, Attack, attack
from tests.benchmarks import report
from tests.benchmarks.report import row

LARGE = 512  # pixels
DATA = {8: "digits", 24: "small faces", 64: "drawn faces"}
MATCHED = ("jpeg", "blur", "resize", "median")  # what depends on a pixel's neighbours
PHOTOGRAPHS = ("astronaut", "camera", "coffee", "rocket", "stereo_motorcycle")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.attack_strengths", description=__doc__)
    parser.add_argument("--pictures", type=int, default=100, help="of each data set, where it has as many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="write no file")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)

    begun, rows = time.perf_counter(), []
    for found in measured(chosen.pictures):
        rows.append(found)
        print(
            f"{found['what']}: {found['value']:.4g} ({found['low']:.4g} to {found['high']:.4g})", flush=True
        )
    if not chosen.dry:
        print(report.write("attack_strengths", rows, time.perf_counter() - begun))


def measured(n: int) -> Iterator[dict]:
    """PSNR in dB of each attack at 512 pixels, and where it is matched, the strength and its PSNR at each size."""
    for name, kind in KINDS.items():
        if kind.network:
            continue
        yield row(
            f"PSNR, {name}:{kind.paper:g} at {LARGE} px", bootstrap(costs(name, kind.paper, photographs()))
        )
        for size, data in DATA.items() if name in MATCHED else ():
            pictures = small(size, n)
            strength, left = match(name, pictures, target(name))
            where = f"at {size} px ({data})"
            yield row(f"strength of {name} {where}", Estimate(strength, strength, strength, len(pictures)))
            yield row(f"PSNR, {name}:{strength:g} {where}", bootstrap(left))


def target(name: str) -> float:
    """The mean PSNR, dB, of the paper's attack on photographs."""
    return mean(costs(name, KINDS[name].paper, photographs()))


def match(name: str, pictures: Tensor, goal: float) -> tuple[float, list[float]]:
    """The strength whose mean PSNR is nearest to a goal in dB, by bisection on the harm done, and the PSNR of each picture."""
    strengths = harms(name, pictures.shape[-1])
    left = cache(lambda i: costs(name, strengths[i], [pictures]))
    low, high = -1, len(strengths) - 1  # the mildest is the picture itself, or nearly
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if mean(left(middle)) > goal else (low, middle)
    best = min((i for i in (low, high) if i >= 0), key=lambda i: abs(mean(left(i)) - goal))
    return strengths[best], left(best)


def harms(name: str, size: int) -> list[float]:
    """The strengths there are at a size, from the mildest to the worst."""
    return {
        "jpeg": [float(quality) for quality in range(95, 9, -1)],
        "blur": [i / 100 for i in range(10, 800)],
        "resize": [k / size for k in range(size, 0, -1)],
        "median": [3.0, 5.0, 7.0, 9.0, 11.0],
    }[name]


def costs(name: str, strength: float, groups: Sequence[Tensor]) -> list[float]:
    """The PSNR, dB, of every picture in groups (B, C, H, W)."""
    chain = (Attack(name, strength),)
    return [dB for group in groups for dB in psnr(attack(group, chain), group).tolist()]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@cache
def photographs() -> tuple[Tensor, ...]:
    """Each (1, C, 512, 512) in [-1, 1]: the centre square, enlarged where it is smaller."""
    from skimage import data, img_as_float32

    pictures = []
    for name in PHOTOGRAPHS:
        photograph = getattr(data, name)()
        photograph = photograph[0] if isinstance(photograph, tuple) else photograph  # the left of a pair
        picture = torch.from_numpy(img_as_float32(photograph)) * 2 - 1
        picture = picture[None] if picture.ndim == 2 else picture.movedim(-1, 0)
        side = min(picture.shape[1:])
        top, left = ((length - side) // 2 for length in picture.shape[1:])
        square = picture[None, :, top : top + side, left : left + side]
        large = torch.nn.functional.interpolate(square, (LARGE, LARGE), mode="bicubic", antialias=True)
        pictures.append(large.clamp(-1, 1))
    return tuple(pictures)


def small(size: int, n: int) -> Tensor:
    """At most n pictures (B, C, size, size) in [-1, 1] that no model was trained on."""
    if size == 64:
        seeds = range(HELD_OUT, HELD_OUT + n)
        faces = avatars.sample(seeds, [i % len(avatars.EXPRESSIONS) for i in range(n)])
        return avatars.render(faces.factors)
    return (digits.split("test")[0] if size == 8 else small_faces.split("test"))[:n]


if __name__ == "__main__":
    main()
