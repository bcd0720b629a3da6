"""How good is it: picture quality, Frechet distances in named feature spaces, read-outs of known factors, intervals."""
