"""How good is it: picture quality, Frechet distances in named spaces, known factors read back, intervals."""
