"""The drawing behind `avatars`: soft signed distances, painted from back to front.

Coordinates run over [-1, 1] with y down; a pixel is 2 / size. Each shape is a signed distance d (negative
inside), its coverage is sigmoid(-d / EDGE), and each layer is blended over the ones before it. Everything is
continuous in the factors and, but for a few kinks, smooth, so finite differences of the drawing give the true
tangent space of the data.
"""

import torch
from torch import Tensor

PARTS = ("background", "hair", "face", "eyes", "brows", "nose", "mouth", "glasses", "shirt")
EDGE = 0.012  # softness of an edge, about a third of a pixel at 64: antialiased, not blurred

_SKIN = [(0.99, 0.87, 0.77), (0.93, 0.74, 0.58), (0.72, 0.50, 0.35), (0.42, 0.27, 0.19)]
_HAIR_DARK, _HAIR_LIGHT, _HAIR_RED = (0.10, 0.08, 0.08), (0.93, 0.80, 0.52), (0.74, 0.26, 0.08)
_IRIS = [(0.33, 0.18, 0.08), (0.25, 0.55, 0.25), (0.15, 0.45, 0.90)]
_LIPS = [(0.80, 0.45, 0.42), (0.70, 0.10, 0.22)]
_BACKGROUND = [(0.95, 0.55, 0.45), (0.93, 0.85, 0.45), (0.45, 0.80, 0.60), (0.45, 0.62, 0.92)]
_SHIRT = [(0.15, 0.25, 0.55), (0.10, 0.55, 0.50), (0.85, 0.75, 0.20), (0.75, 0.15, 0.20)]


def picture(f: dict[str, Tensor], size: int) -> Tensor:
    """Pictures (B, 3, size, size) in [-1, 1] from named factors, each (B, 1, 1)."""
    layers = _layers(f, size)
    canvas = layers[0][2]
    for _, cover, colour in layers[1:]:
        canvas = torch.lerp(canvas, colour, cover[:, None])
    return canvas.expand(-1, -1, size, size).clamp(0, 1) * 2 - 1


def masks(f: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    """Part -> (B, size, size) bool: where the part is what one sees, its visible coverage above a half."""
    batch = len(f["tilt"])
    visible = {part: torch.zeros(batch, size, size) for part in PARTS}
    visible["background"] += 1
    for part, cover, _ in _layers(f, size)[1:]:
        over = part not in ("nose", "glasses")  # these two lie on others without hiding them
        for other in visible if over else ():
            visible[other] = visible[other] * (1 - cover)
        visible[part] = visible[part] + (1 - visible[part]) * cover
    return {part: share > (0.25 if part in ("nose", "glasses") else 0.5) for part, share in visible.items()}


def _layers(f: dict[str, Tensor], size: int) -> list[tuple[str, Tensor, Tensor]]:
    """(part, coverage (B, size, size), colour (B, 3, 1 or size, 1 or size)), back to front."""
    axis = (torch.arange(size, dtype=torch.float32) + 0.5) * (2 / size) - 1
    x0, y0 = axis[None, None, :], axis[None, :, None]
    angle = 0.22 * f["tilt"]  # radians; the head turns about the neck at (0, 0.7)
    cos, sin = torch.cos(angle), torch.sin(angle)
    x = cos * x0 + sin * (y0 - 0.7)
    y = -sin * x0 + cos * (y0 - 0.7) + 0.7

    shade = (1 + 0.22 * f["light"] * x)[:, None]
    skin = _ramp(_SKIN, f["skin tone"])
    lit_skin = skin * shade
    hair = _mix(
        _mix(_rgb(_HAIR_DARK), _rgb(_HAIR_LIGHT), f["hair tone"]), _rgb(_HAIR_RED), 0.75 * f["hair redness"]
    )
    lit_hair = hair * shade
    back = _mix(
        _ramp(_BACKGROUND, f["background hue"]), torch.ones(1, 3, 1, 1), 0.55 * f["background lightness"]
    )
    shirt = _ramp(_SHIRT, f["shirt hue"])

    width = 0.47 + 0.06 * f["face width"]
    volume = 0.05 + 0.13 * f["hair volume"]
    length = f["hair length"]
    head = _ellipse(x, y - 0.02, width, torch.full_like(width, 0.56))
    # hair behind: an ellipse about the skull, joined to a curtain that grows downwards
    skull = _ellipse(x, y + 0.12, width + volume, 0.52 + volume)
    bottom = 0.05 + 0.75 * length
    curtain = _box(x, y - (bottom - 0.1) / 2, width + 0.7 * volume, (bottom + 0.1) / 2, 0.12)
    # hair in front: the head above a hairline that sags with the fringe
    hairline = y + 0.43 - 0.17 * f["fringe"] + (0.35 + 0.3 * f["fringe"]) * x * x
    cap = torch.maximum(torch.minimum(head - 0.02, skull), hairline)

    layers = [
        ("background", torch.ones(1, 1, 1), back),
        ("hair", _cover(torch.minimum(skull, curtain)), lit_hair * 0.82),
        (
            "shirt",
            _cover(_ellipse(x0, y0 - 1.22, torch.full_like(width, 0.86), torch.full_like(width, 0.5))),
            shirt,
        ),
        ("face", _cover(_box(x0, y0 - 0.66, 0.17, 0.22, 0.08)), lit_skin * 0.82),
        ("face", _cover(head), lit_skin),
    ]
    layers += _features(f, x, y, skin, lit_skin)
    layers.append(("hair", _cover(cap), lit_hair))
    layers += _brows(f, x, y, hair)
    layers += _glasses(f, x, y)
    return layers


def _features(f: dict[str, Tensor], x: Tensor, y: Tensor, skin: Tensor, lit_skin: Tensor) -> list:
    """Nose, mouth and eyes."""
    size = 1 + 0.22 * f["eye size"]
    iris = _ramp(_IRIS, f["eye colour"])
    nose = 0.055 + 0.05 * f["nose size"]
    layers = [("nose", _cover(_ellipse(x, y - 0.2, nose, 1.1 * nose)), lit_skin * 0.80)]

    half = 0.13 + 0.14 * f["mouth width"]
    u2 = (x / half).square().clamp(max=1)
    middle = 0.385 + 0.10 * f["mouth curve"] * (0.5 - u2)
    gap = (0.125 * f["mouth opening"]) * (1 - u2)
    off = (y - middle).abs()
    side = x.abs() - half
    layers.append(
        (
            "mouth",
            _cover(torch.maximum(off - gap - 0.028 - 0.014 * (1 - u2), side)),
            _ramp(_LIPS, f["lip colour"]),
        )
    )
    layers.append(("mouth", _cover(torch.maximum(off - gap, side + 0.02)), _rgb((0.25, 0.05, 0.07))))

    for s in (-1, 1):
        ex, ey = x - s * 0.205, y + 0.03
        closed = f["wink"] if s == -1 else torch.zeros_like(f["wink"])
        lid = _ellipse(ex, ey, 0.135 * size, 0.145 * size * f["eye opening"] * (1 - 0.6 * closed))
        inside = _cover(lid) * (1 - closed)
        gx = ex - 0.05 * f["gaze"]
        layers.append(("eyes", _cover(lid - 0.022) * (1 - closed), skin * 0.35))  # the lashes
        layers.append(("eyes", inside, _rgb((0.98, 0.98, 0.98))))
        layers.append(("eyes", inside * _cover(_disc(gx, ey, 0.082 * size)), iris))
        layers.append(("eyes", inside * _cover(_disc(gx, ey, 0.040 * size)), _rgb((0.04, 0.04, 0.05))))
        beyond = (ex.abs() - 0.11 * size).clamp(min=0)
        shut = (beyond.square() + (ey + 1.6 * ex.square() - 0.03).square() + 1e-8).sqrt() - 0.024
        layers.append(("eyes", _cover(shut) * closed, skin * 0.35))  # a closed eye is one line
    return layers


def _brows(f: dict[str, Tensor], x: Tensor, y: Tensor, hair: Tensor) -> list:
    layers = []
    for s in (-1, 1):
        dx = x - s * 0.21
        dy = y + 0.255 + 0.075 * f["brow height"] + 0.45 * s * f["brow slant"] * dx
        beyond = (dx.abs() - 0.115).clamp(min=0)
        line = (beyond.square() + dy.square() + 1e-8).sqrt() - (0.018 + 0.024 * f["brow thickness"])
        layers.append(("brows", _cover(line), hair * 0.55))
    return layers


def _glasses(f: dict[str, Tensor], x: Tensor, y: Tensor) -> list:
    """Two rings and a bridge; the factor is their opacity."""
    rims = torch.full_like(x, 9.0)
    for s in (-1, 1):
        rim = _ellipse(
            x - s * 0.215, y + 0.03, torch.full_like(f["tilt"], 0.185), torch.full_like(f["tilt"], 0.18)
        ).abs()
        rims = torch.minimum(rims, rim - 0.020)
    rims = torch.minimum(rims, _box(x, y + 0.05, 0.035, 0.018, 0.005))
    return [("glasses", _cover(rims) * f["glasses"], _rgb((0.12, 0.10, 0.14)))]


def _cover(distance: Tensor) -> Tensor:
    return torch.sigmoid(distance * (-1 / EDGE))


def _ellipse(x: Tensor, y: Tensor, rx: Tensor, ry: Tensor) -> Tensor:
    """First-order distance to an ellipse: f |grad f|^-1 with f = |p / r| (|p / r| - 1)."""
    px, py = x / rx, y / ry
    k0 = (px.square() + py.square() + 1e-8).sqrt()
    k1 = ((px / rx).square() + (py / ry).square() + 1e-8).sqrt()
    return k0 * (k0 - 1) / k1


def _disc(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return (x.square() + y.square() + 1e-8).sqrt() - r


def _box(
    x: Tensor, y: Tensor, half_width: Tensor | float, half_height: Tensor | float, corner: float
) -> Tensor:
    """Distance to a rectangle with rounded corners."""
    qx, qy = x.abs() - half_width + corner, y.abs() - half_height + corner
    outside = (qx.clamp(min=0).square() + qy.clamp(min=0).square() + 1e-8).sqrt()
    return outside + torch.maximum(qx, qy).clamp(max=0) - corner


def _rgb(colour: tuple[float, float, float]) -> Tensor:
    return torch.tensor(colour).view(1, 3, 1, 1)


def _mix(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    return torch.lerp(a.expand(len(share), 3, 1, 1), b.expand(len(share), 3, 1, 1), share[:, None])


def _ramp(colours: list[tuple[float, float, float]], at: Tensor) -> Tensor:
    """Piecewise linear palette: at (B, 1, 1) in [0, 1] -> colour (B, 3, 1, 1)."""
    table = torch.tensor(colours)
    place = at.flatten().clamp(0, 1) * (len(colours) - 1)
    below = place.floor().long().clamp(max=len(colours) - 2)
    return torch.lerp(table[below], table[below + 1], (place - below)[:, None])[:, :, None, None]
