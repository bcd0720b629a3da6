"""The inference module: which models exist, where they run, and how one request becomes one result."""
