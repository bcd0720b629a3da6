"""Data sets that need no download: drawn faces, digits, patches of photographs, toys."""
