"""A page with charts and a scrubber and no model: sines whose phase is the frame, pictures whose grey is the scene.

Both are known functions of the index, so a test can say exactly what must be on the screen and in a download.
"""

import gradio as gr
import numpy as np
import plotly.graph_objects as go
from PIL import Image

from components.chart import Chart, Point
from components.figures import base, line, marker
from components.scrubber import Picture, Place, Scene, Scenes, Scrubber
from tests.browser.demo import uri

N, FRAMES = 50, 20
X = np.linspace(0, 1, N)
heard: list = []  # what Python was told, in order


def wave(k: int, phase: float = 0.0) -> np.ndarray:
    """(50,) of frame k."""
    return np.sin(6 * X + k / 5 + phase)


def moving(phase: float = 0.0) -> go.Figure:
    """One line that every frame moves, with error bars as wide as its index."""
    figure = base("x", "sin", yaxis_range=[-1.2, 1.2])
    line(figure, X, wave(0, phase), "sine")
    figure.update_traces(mode="lines+markers", error_y={"array": np.arange(N) / 1000, "width": 0})
    figure.frames = [go.Frame(name=f"t={k}", data=[{"y": wave(k, phase)}], traces=[0]) for k in range(FRAMES)]
    return figure


def marked() -> go.Figure:
    """Four lines, of which one has a band, under a moving marker."""
    figure = base("x", "four sines")
    for k in range(4):
        y = wave(0, k)
        line(figure, X, y, f"phase {k}", *((y - 0.1, y + 0.1) if k == 0 else ()))
    figure.frames = [go.Frame(layout={"shapes": marker(k / FRAMES)}) for k in range(FRAMES)]
    return figure


def bars() -> go.Figure:
    """Bars and a line over categories, both moved by frames."""
    names = [f"s{i}" for i in range(12)]
    figure = base("singular value", "", yaxis_range=[-1.2, 1.2])
    figure.add_bar(x=names, y=wave(0)[:12], name="bars")
    figure.add_scatter(x=names, y=wave(0, 1)[:12], name="line", mode="lines")
    figure.frames = [
        go.Frame(data=[go.Bar(y=wave(k)[:12]), go.Scatter(y=wave(k, 1)[:12])]) for k in range(FRAMES)
    ]
    return figure


def cells() -> go.Figure:
    """A 3 x 4 heat map without frames."""
    return base("column", "row").add_heatmap(z=np.arange(12.0).reshape(3, 4), showscale=False)


def scenes(key: str = "first", n: int = FRAMES, size: int = 16) -> Scenes:
    """Six pictures a scene, grey 10 k + i; the last is the same in all scenes."""

    def picture(k: int, i: int) -> Picture:
        grey = np.array(Image.new("RGB", (size, size), (10 * k + i,) * 3))
        return Picture(f"picture {i}", uri(grey if i < 5 else np.full((size, size, 3), 7, np.uint8)))

    return Scenes(key, [Scene(f"t = {k / n:.2f}", [picture(k, i) for i in range(6)]) for k in range(n)])


def build() -> gr.Blocks:
    """The page."""
    with gr.Blocks(title="charts") as blocks:
        with gr.Tabs():
            with gr.Tab("seen"):
                scrubber = Scrubber(scenes(), group="demo", elem_id="scrubber")
                with gr.Row():
                    charts = [
                        Chart(figure, group="demo", elem_id=name, label=f"The {name} chart")
                        for name, figure in [("moving", moving()), ("marked", marked()), ("bars", bars())]
                    ]
                with gr.Row():
                    Chart(elem_id="empty", height=200)
                    heat = Chart(cells(), elem_id="heat", height=200)
                    Chart(moving(), group="other", elem_id="other", height=200)
            with gr.Tab("hidden"):
                Chart(moving(), group="demo", elem_id="hidden")
        with gr.Row():
            another = gr.Button("another figure", elem_id="another")
            nothing = gr.Button("nothing new", elem_id="nothing")
            fewer = gr.Button("fewer scenes", elem_id="fewer")
            same = gr.Button("as many scenes", elem_id="same")
            said = gr.Textbox(label="said", elem_id="said")

        def tell(value: Point | Place) -> str:
            heard.append(value)
            return str(value)

        quiet = {"show_progress": "hidden", "trigger_mode": "always_last"}
        for chart in [*charts, heat]:
            chart.select(tell, chart, said, **quiet)
        scrubber.input(tell, scrubber, said, **quiet)
        scrubber.select(tell, scrubber, said, **quiet)
        another.click(lambda: moving(1.0), None, charts[0], **quiet)
        nothing.click(lambda: (None, None, "nothing new"), None, [charts[0], scrubber, said], **quiet)
        fewer.click(lambda: scenes("fewer", 9), None, scrubber, **quiet)
        same.click(lambda: scenes("same", size=48), None, scrubber, **quiet)
    return blocks


if __name__ == "__main__":
    from components.page import LAUNCH

    build().launch(**LAUNCH)
