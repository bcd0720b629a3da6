"""Editing along low-dimensional directions of the posterior mean."""
