"""The guidance tab: classifier-free guidance taken apart, from two Gaussians, where all is known, to networks. A panel a view."""

from collections.abc import Sequence

from components import guidance_claims_panel as claims
from components import guidance_dimensions_panel as dimensions
from components import guidance_gaussian_panel as gaussian
from components import guidance_jacobian_panel as jacobian
from components import guidance_linear_panel as linear
from components import guidance_network_panel as network
from components import guidance_patterns_panel as patterns
from components import guidance_plane_panel as plane
from components.action import Action
from components.page import Bar


def build(bar: Bar) -> Sequence[Action]:
    """The tab's content, top to bottom; returns the actions that a link may open."""
    actions = [
        *gaussian.build(),
        *network.build(),
        linear.build(),
        jacobian.build(bar),
        patterns.build(),
        plane.build(),
        dimensions.build(),
    ]
    claims.build()
    return actions
