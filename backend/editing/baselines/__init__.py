"""Rival methods of editing, one paper one file."""
