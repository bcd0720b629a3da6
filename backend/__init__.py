"""The science of Subspace Lab: torch only, usable from a notebook without the app."""
