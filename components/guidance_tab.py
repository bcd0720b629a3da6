"""The guidance tab: classifier-free guidance taken apart, from two Gaussians, where all is known, to networks. A panel a view."""

from collections.abc import Sequence

from components import guidance_gaussian_panel as gaussian
from components import guidance_patterns_panel as patterns
from components.action import Action
from components.page import Bar


def build(bar: Bar) -> Sequence[Action]:
    """The tab's content, top to bottom; returns the actions that a link may open."""
    return [
        gaussian.build(),
        patterns.build(),
    ]
