"""The spectrum tab: what the singular vectors of a Jacobian span, beside the principal components of the data and the true
tangent space of the renderer that drew them."""

import math
from functools import cache

import torch
from torch import Tensor

from backend.data import avatars, digits, small_faces
from backend.inference.catalogue import card
from backend.inference.load import Model
from backend.inference.pictures import HELD_OUT, held_out
from backend.jacobian.subspaces import found_share, principal_angles, tangent

COMPONENTS = 50  # principal components that the singular vectors are compared with
PICTURES = 500  # that they come from, where there are as many
TANGENT_STEP = 0.05  # of the finite differences of the renderer, in standard deviations of the factors


def compared(
    model: Model, image: str, x_0: Tensor, U: Tensor, V: Tensor
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """How the singular vectors lie to the principal components of the data and, for drawn faces, to what the renderer can
    change: the shares of the true tangent space that are found, and principal angles of pairs of subspaces. U, V (k, *shape)."""
    k = min(COMPONENTS, len(V))
    spans = {"u": U.flatten(1)[:k], "v": V.flatten(1)[:k], "PCA": components(model.card.name)[:k]}
    angles = {f"{name} and PCA": principal_angles(spans[name], spans["PCA"]) for name in ("u", "v")}
    truth = tangent_of(model, image, x_0)
    if truth is None:
        return {}, angles
    shares = {name: found_share(truth, span) for name, span in spans.items()}
    angles |= {f"{name} and truth": principal_angles(span, truth) for name, span in spans.items()}
    return shares | {"random": k / V[0].numel()}, angles


@cache
def components(name: str) -> Tensor:
    """The leading principal components (k, d) of a model's data, by scikit-learn."""
    from sklearn.decomposition import PCA

    found = card(name)
    few = {"digits": digits.SPLITS["test"], "small_faces": small_faces.SPLITS["test"]}.get(found.data)
    n = few.stop - few.start if few else PICTURES  # as many as there are
    pictures, _ = held_out(found, range(n))
    pca = PCA(min(COMPONENTS, n - 1, math.prod(found.shape)), random_state=0).fit(pictures.flatten(1).numpy())
    return torch.from_numpy(pca.components_)


def tangent_of(model: Model, image: str, x_0: Tensor) -> Tensor | None:
    """An orthonormal basis (r, d) of what the renderer of the drawn faces can change in a picture, at the factors that are
    known of it or else read off it; None where no renderer is known."""
    reader = model.factor_reader()
    if reader is None:
        return None
    kind, _, number = image.partition(":")
    if kind == "gallery":
        label = int(number) % len(avatars.EXPRESSIONS)
        factors = avatars.sample([HELD_OUT + int(number)], [label]).factors[0]
    else:
        with torch.no_grad():
            factors = reader(x_0[None])[0][0]
    return tangent(avatars.render, factors, TANGENT_STEP * avatars.prior_std()).float()
