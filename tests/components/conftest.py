"""No telemetry and no hub, whatever the machine's settings; gradio reads this at import."""

import os

os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
