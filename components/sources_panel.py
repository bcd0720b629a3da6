"""The edit tab's picture sources: gallery, seed and upload. All of them only name a picture in the bar."""

from functools import cache

import gradio as gr

from backend.data import avatars
from backend.inference import catalogue, intake
from backend.inference.pictures import GALLERY, Invert, Inverted, Picture, gallery_picture
from backend.request import BadInput
from components.action import Action
from components.page import Bar
from components.pictures import data_uri, image
from components.region_picker import RegionPicker, Shown

UNUSUAL = (
    "**This picture is not of the kind that the model knows:** its denoising error is {:.1f} times what 99 % of the "
    "model's own pictures stay below. Directions will mean little."
)


def build(bar: Bar, picker: RegionPicker, model: str) -> Action:
    """The sources of the model that the page opens with, and the action that shows what the bar names."""
    with gr.Column(scale=6, min_width=330):
        gallery = gr.Gallery(
            _gallery(model), show_label=False, columns=12, height="auto", allow_preview=False, elem_id="gallery",
            format="png", interactive=False, buttons=[], container=False, fit_columns=False,
        )  # fmt: skip
    with gr.Column(scale=4, min_width=330):
        with gr.Row(equal_height=True, elem_id="own"):
            seed = gr.Number(7, label="seed", precision=0, minimum=0, min_width=70, elem_id="seed")
            label = gr.Dropdown(_labels(model), value="happy", label="label", min_width=110, elem_id="label")
            draw = gr.Button("Draw from noise", min_width=90, elem_id="draw", size="sm")
            upload = gr.UploadButton(
                "Upload a picture", type="binary", min_width=90, elem_id="upload", size="sm"
            )
        note = gr.Markdown(elem_id="note")
        looking = Action(
            Invert,
            {"model": bar.model, "image": bar.image, "t": bar.t},
            _look,
            [picker, note],
            linked=False,  # it follows what another action names
        )
    looking.on(bar.image.change)

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    gallery.select(_chosen, None, bar.image, **quiet)
    draw.click(
        lambda s, name: f"sample:{int(s or 0)}:{name or ''}".removesuffix(":"),
        [seed, label],
        bar.image,
        **quiet,
    )
    upload.upload(_stored, upload, [bar.image, note], **quiet)
    bar.model.change(
        _other_model, bar.model, [gallery, label], **quiet
    )  # by a link too, which names its picture
    bar.model.input(
        lambda name: ("gallery:0", catalogue.card(name).t), bar.model, [bar.image, bar.t], **quiet
    )
    return looking


def _look(result: Inverted, request: Invert) -> list[Shown | str]:
    words = f"To t = {request.t:.2f} and back: {result.psnr:.1f} dB."
    if result.error > 1:
        words += " " + UNUSUAL.format(result.error)
    return [Shown(image=data_uri(result.x_0), parts=parts_of(request.model)), words]


def _chosen(event: gr.SelectData) -> str:
    return f"gallery:{event.index}"


def _stored(data: bytes) -> tuple[str, str]:
    try:
        return intake.store(data), ""
    except BadInput as error:
        return gr.skip(), f"**{error}**"


def _other_model(name: str) -> tuple:
    card = catalogue.card(name)
    labels = gr.Dropdown(choices=_labels(name), value=card.labels[0] if card.labels else "")
    return _gallery(name), labels


@cache
def _gallery(model: str) -> list:
    pictures: list[Picture] = [gallery_picture(catalogue.card(model), i) for i in range(GALLERY)]
    return [image(picture.x_0) for picture in pictures]


def _labels(model: str) -> list[tuple[str, str]]:
    return [("any", ""), *((name, name) for name in catalogue.card(model).labels)]


def parts_of(model: str) -> tuple[str, ...]:
    """The names of the parts that a model's pictures have, () for none."""
    return avatars.PARTS if catalogue.card(model).data == "avatars" else ()
