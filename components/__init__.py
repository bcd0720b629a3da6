"""What a person sees: the only room that imports gradio or plotly. No mathematics here; every number comes from backend."""
