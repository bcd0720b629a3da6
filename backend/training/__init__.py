"""One training loop, and the recipes that made the embedded weights."""
