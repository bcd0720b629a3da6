"""What Python shows in an HTML component travels as the property `shown`: at once, or when its tab is first opened."""

from typing import Any

import gradio as gr


class Opening:
    """As a value: what the component was built with and has held back."""


class View(gr.HTML):
    """Base of our components that are only shown to. Subclasses give `shown` at construction, and write `wire`."""

    _held: Any = None

    def __init__(self, **options: Any):
        super().__init__(**options, opening=None)

    def wire(self, value: Any) -> Any:
        """A value as the property `shown`: JSON, checked.

        Raises:
            ValueError: where it would be unsafe, inconsistent or too large to send.
        """
        raise NotImplementedError

    def hold_back(self) -> None:
        """Empty in the page, which is so much smaller, until an event returns `Opening()`."""
        self._held, self.props["shown"] = self.props["shown"], None

    def postprocess(self, value: Any) -> dict[str, Any]:
        """An update of the property `shown`, or of `opening`, which the browser shows only where there is nothing yet: an answer
        that comes late must not undo a run. None leaves everything as it is. The other properties come along, because a component
        that the browser has not built yet would lose them."""
        update = {"__type__": "update"}
        if value is None:
            return update
        others = {name: one for name, one in self.props.items() if name not in ("shown", "opening")}
        shown = {"opening": self._held} if isinstance(value, Opening) else {"shown": self.wire(value)}
        return update | {"props": others | shown}
