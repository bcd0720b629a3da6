"""Long runs on disk: what was asked, how far it is, what it measured, where to go on. Knows no experiment."""
