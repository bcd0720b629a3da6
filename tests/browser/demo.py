"""A page with the two components and no model: drawn faces whose mouth, brows, eyes and hair are known
functions.

Every click is answered by the same colour, every slider by drawing the face anew, so a test can say exactly
which pixels must be on the screen. `gate` holds answers back until the test lets them go.
"""

import base64
import io
import threading
from collections.abc import Iterator

import gradio as gr
import numpy as np
from PIL import Image

from components.filmstrip import Filmstrip, Position, Slides, Strip
from components.region_picker import RegionPicker, Shown

SIZE = 64
PARTS = ["hair", "face", "eyes", "mouth", "background"]
NAMES = ["mouth curve", "brow height", "gaze", "hair length"]
STRENGTHS = [round(0.25 * i - 1.5, 2) for i in range(13)]

gate = threading.Event()  # closed: masks and exact frames wait
gate.set()
heard: list = []  # what Python was told, in order


def face(
    mouth: float = 0.3, brow: float = 0.0, gaze: float = 0.0, hair: float = 0.0, shirt: float = 0.0
) -> np.ndarray:
    """(64, 64, 3) uint8. Each factor moves one part smoothly."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    picture = np.empty((SIZE, SIZE, 3))
    picture[:] = (214, 203, 140)

    def lay(distance: np.ndarray, colour: tuple[int, int, int]) -> None:
        cover = np.clip(0.5 - distance, 0, 1)[..., None]
        picture[:] = picture * (1 - cover) + np.array(colour) * cover

    def oval(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return (np.hypot((x - cx) / rx, (y - cy) / ry) - 1) * min(rx, ry)

    lay(oval(32, 66, 25, 13), (40 + round(60 * shirt), 110, 150))
    lay(np.maximum(oval(32, 28, 21, 24), y - 40 - 8 * hair), (92, 52, 34))
    lay(np.maximum(abs(x - 32) - 5, abs(y - 50) - 8), (200, 150, 120))
    lay(oval(32, 33, 15, 19), (224, 176, 146))
    for side in (-1, 1):
        eye = 32 + side * 6.5
        lay(oval(eye, 30, 3.6, 2.4), (250, 250, 250))
        lay(oval(eye + 1.5 * gaze, 30, 1.6, 1.8), (50, 110, 160))
        lay(
            np.maximum(abs(y - (24.5 - 1.5 * brow) - 0.04 * (x - eye) ** 2) - 0.8, abs(x - eye) - 4),
            (70, 40, 28),
        )
    lay(
        np.maximum(abs(y - 43 + mouth * (0.08 * (x - 32) ** 2 - 1.5)) - 1.1, abs(x - 32) - 6.5), (170, 40, 60)
    )
    return picture.round().astype(np.uint8)


def uri(picture: np.ndarray) -> str:
    """PNG as a data URI."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def rle(mask: np.ndarray) -> str:
    """(H, W) bool -> wire form."""
    edges = np.flatnonzero(np.diff(mask.ravel().astype(int), prepend=0)).tolist()
    runs = np.diff([0, *edges, mask.size])
    return f"rle:{mask.shape[0]}x{mask.shape[1]}:" + ",".join(map(str, runs))


def mask_of(region: str, picture: np.ndarray) -> np.ndarray | None:
    """What the demo answers: pixels near the colour of the clicked one; boxes and drawings as they are."""
    kind, _, rest = region.partition(":")
    if kind == "box":
        x0, y0, x1, y1 = map(int, rest.split(","))
        mask = np.zeros((SIZE, SIZE), bool)
        mask[y0:y1, x0:x1] = True
        return mask
    if kind == "rle":
        runs = np.array(rest.split(":")[1].split(","), int)
        return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(SIZE, SIZE)
    x, y, tolerance = {
        "hair": (32, 8, 0.4),
        "face": (32, 38, 0.2),
        "eyes": (25, 30, 0.3),
        "mouth": (32, 44, 0.3),
    }.get(rest, (2, 2, 0.2))
    if kind == "click":
        x, y, tolerance, _ = (float(n) for n in rest.split(","))
    away = np.linalg.norm(picture.astype(float) - picture[int(y), int(x)], axis=-1)
    return away <= 250 * tolerance


def slides(position: Position | None = None, *, exact: int = len(STRENGTHS), key: str = "first") -> Slides:
    """Strips at the given position; frames beyond the first `exact` from the middle are predicted (drawn
    without the shirt)."""
    at = position.strengths if position and position.strengths else (0.0,) * len(NAMES)
    fields = ("mouth", "brow", "gaze", "hair")
    strips = []
    for i, name in enumerate(NAMES):
        order = sorted(range(len(STRENGTHS)), key=lambda j: abs(STRENGTHS[j]))
        good = set(order[:exact])
        base = dict(zip(fields, at, strict=True))
        frames = [
            uri(face(**(base | {fields[i]: s}), shirt=0.0 if j in good else 1.0))
            for j, s in enumerate(STRENGTHS)
        ]
        heat = np.zeros((SIZE, SIZE, 4), np.uint8)
        heat[..., :3] = (240, 136, 62)
        delta = face(**{fields[i]: 1.5}).astype(int) - face(**{fields[i]: -1.5})
        heat[..., 3] = np.clip(abs(delta).sum(-1), 0, 200)
        strips.append(
            Strip(
                key=f"{key}/{name}/" + ",".join(str(s) for j, s in enumerate(at) if j != i),
                title=name, label=f"s {12.4 / (i + 1):.1f}", strengths=STRENGTHS, frames=frames,
                predicted=[j not in good for j in range(len(STRENGTHS))], heat=uri(heat), base=at,
            )
        )  # fmt: skip
    return Slides(key, uri(face(0, 0, 0, 0)), strips)


def build(css: str = "") -> gr.Blocks:
    """The page."""
    first = face()
    with gr.Blocks(title="components") as blocks:
        with gr.Row():
            picker = RegionPicker(Shown(uri(first), PARTS), elem_id="picker")
        film = Filmstrip(slides(), elem_id="film")
        with gr.Row():
            another = gr.Button("another picture", elem_id="another")
            link = gr.Button("open a link", elem_id="link")
            said = gr.Textbox(label="region", elem_id="said")
            where = gr.Textbox(label="position", elem_id="where")

        def answer(region: str) -> tuple[Shown, str]:
            heard.append(region)
            gate.wait(10)
            if region == "part:background":
                return Shown(region=region), region  # no mask was found
            return Shown(region=region, overlay=rle(mask_of(region, first))), region

        quiet = {"show_progress": "hidden", "trigger_mode": "always_last"}
        picker.input(answer, picker, [picker, said], **quiet)
        another.click(lambda: Shown(uri(face(-0.8, 1, 1, 1)), PARTS[:2]), None, picker, **quiet)
        link.click(
            lambda: Shown(region="box:8,40,56,60", overlay=rle(mask_of("box:8,40,56,60", first)), pick=True),
            None,
            picker,
            **quiet,
        )

        def rest(position: Position) -> Iterator[tuple[Slides, str]]:
            heard.append(position)
            words = f"{position.index} {position.strengths}"
            yield slides(position, exact=5), words
            gate.wait(10)
            yield slides(position), words

        film.input(rest, film, [film, where], **quiet)
        film.select(lambda position: f"row {position.index}", film, where, **quiet)
    return blocks


if __name__ == "__main__":
    build().launch()
