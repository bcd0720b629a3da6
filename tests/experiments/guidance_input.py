"""What the requests of exact mixtures refuse alike: fields, and what the sentence says."""

import math

BAD = [
    ({"gamma": math.nan}, "gamma must be a finite number"),
    ({"gamma": 1e6}, "gamma must be a number from -1 to 100"),
    ({"gamma": -1.5}, "gamma must be a number from -1 to 100"),
    ({"low": 50.0, "high": 1.0}, "window is empty"),
    ({"low": 1.0, "high": 1.0}, "window is empty"),
    ({"weight": "triangle", "low": 0.0}, "log scale"),
    ({"weight": "linear", "end": -2.0}, "-1 to 100"),
    ({"weight": "curve"}, "Draw at least one point"),
    ({"weight": "curve", "curve": (1.0,)}, "a noise level and a gamma"),
    ({"weight": "switch", "gamma": 0.0}, "gamma above 0"),
    ({"weight": "interval", "low": 1.0, "high": 1.01, "equal_area": True}, "stay from -1 to 100"),
    ({"samples": 19}, "20 to 2,000 samples"),
    ({"samples": 2000, "steps": 31}, "at most 60,000"),
    ({"steps": 1}, "2 to 400 steps"),
    ({"seed": -1}, "seed"),
]
