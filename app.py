"""Subspace Lab: see and steer the low-dimensional structure inside diffusion models. `python app.py` starts it."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from backend.inference import catalogue
from components import edit_tab, guidance_tab, page, spectrum_tab, watermark_tab


def build() -> "page.gr.Blocks":
    """The page; `launch(**page.LAUNCH)` serves it."""
    models = [(card.title, card.name) for card in catalogue.cards()]
    first = edit_tab.FIRST
    tabs = [
        page.Tab("edit", "Edit", edit_tab.build),
        page.Tab("spectrum", "Spectrum", spectrum_tab.build),
        page.Tab("guidance", "Guidance", guidance_tab.build),
        page.Tab("watermark", "Watermark", watermark_tab.build),
    ]
    return page.build(models, tabs, model=first.model, image=first.image, t=first.t)


demo = build()

if __name__ == "__main__":
    demo.launch(mcp_server=True, **page.LAUNCH)
