"""What a person sees: the only room that imports gradio or plotly. Every number comes from backend."""
