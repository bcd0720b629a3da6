"""Marks in pictures that a key finds again, what attacks leave of them, and what a verdict is worth."""
