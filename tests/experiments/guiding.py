"""What the tests of guidance on networks share: small requests, and their results from a cache of their own."""

import pytest

from backend.experiments.guide import GuideNetwork, NetworkGuidance
from backend.inference import cache
from backend.inference.load import load
from backend.jobs import result_file

TINY = {"model": "digits", "label": "3", "samples": 3, "steps": 6, "seed": 5}
FACES = {"model": "avatars", "label": "sad", "samples": 2, "steps": 3, "seed": 0}
OFF = {"mean_shift": False, "positive": False, "negative": False, "residual": False}


@pytest.fixture(autouse=True)
def own_results(monkeypatch):
    """gamma = 0 is cached by request, and some tests replace the network behind it."""
    monkeypatch.setattr(cache, "results", cache.Cache(2**28, result_file.size))


def result(network=None, /, **values):
    request = GuideNetwork.parse(TINY | values)
    *_, found = request.run(network or load(request.model))
    assert isinstance(found, NetworkGuidance)
    return found
