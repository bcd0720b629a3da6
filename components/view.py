"""What Python shows in an HTML component travels as the property `shown`."""

from typing import Any

import gradio as gr


class View(gr.HTML):
    """Base of our components that are only shown to. Subclasses give `shown` at construction, and write `wire`."""

    def wire(self, value: Any) -> Any:
        """A value as the property `shown`: JSON, checked.

        Raises:
            ValueError: where it would be unsafe, inconsistent or too large to send.
        """
        raise NotImplementedError

    def postprocess(self, value: Any) -> dict[str, Any]:
        """An update of the property `shown`; None leaves everything as it is. The other properties come along, because a component
        that the browser has not built yet would lose them."""
        update = {"__type__": "update"}
        return update if value is None else update | {"props": self.props | {"shown": self.wire(value)}}
