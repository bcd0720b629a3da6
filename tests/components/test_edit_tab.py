"""The edit tab's endpoints as a program meets them: through gradio_client and MCP, with good and bad values."""

import base64

import httpx
import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

import app
from components.page import LAUNCH

ENDPOINTS = {
    "/models", "/sample", "/invert", "/region", "/directions", "/edit", "/transfer", "/compare_methods", "/linearity",
    "/file", "/spectrum", "/slide_along", "/process", "/students", "/mixture", "/dimension", "/guidance_theory",
    "/guidance_strip", "/guide_weight", "/guide", "/guide_compare", "/guide_linearity", "/guide_jacobian", "/guide_patterns",
    "/guide_mixture", "/guide_dimension", "/watermark_embed", "/attack", "/watermark_verify", "/watermark_identify", "/watermark_calibrate", "/watermark_rates", "/watermark_red_team", "/watermark_trade",
}  # fmt: skip
WHERE = {"model": "gaussian", "image": "gallery:3", "t": 0.5, "region": "box:2,1,6,4"}


@pytest.fixture(scope="module")
def address():
    demo = app.build()
    _, url, _ = demo.launch(
        mcp_server=True, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **LAUNCH
    )
    yield url
    demo.close()


@pytest.fixture(scope="module")
def client(address):
    client = Client(address, verbose=False)
    yield client
    client.close()


def tensor(value: dict) -> np.ndarray:
    return np.frombuffer(base64.b64decode(value["base64"]), value["dtype"]).reshape(value["shape"])


def test_the_public_endpoints_are_these(client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == ENDPOINTS


def test_models(client):
    names = [model["name"] for model in client.predict(api_name="/models")["models"]]
    assert {"avatars", "gaussian"} <= set(names)


def test_directions_and_a_strip(client):
    found = client.predict(**WHERE, k=2, api_name="/directions")
    assert np.allclose(np.linalg.norm(tensor(found["v"]).reshape(2, -1), axis=1), 1, atol=1e-5)
    strip = client.predict(**WHERE, k=2, frames=3, api_name="/edit")
    assert tensor(strip["pictures"]).shape == (3, 1, 8, 8) and strip["predicted"] is False


def test_transfer(client):
    moved = client.predict(**WHERE, k=2, onto=["gallery:5", "gallery:6"], api_name="/transfer")
    assert tensor(moved["edited"]).shape == tensor(moved["originals"]).shape == (2, 1, 8, 8)


def test_methods_are_compared(client):
    compared = client.predict(**WHERE, methods=["loco", "random"], frames=3, api_name="/compare_methods")
    loco, random = compared["rows"]
    assert loco["method"] == "loco" and loco["leak"] < random["leak"]
    assert tensor(loco["strip"]["pictures"]).shape == (3, 1, 8, 8)


def test_linearity(client):
    found = client.predict(**WHERE, k=1, strengths=[1.0, 2.0], api_name="/linearity")
    assert len(found["residual"]) == 2 and max(found["residual"]) < 1e-3


def test_sample_invert_and_region(client):
    sample = client.predict(model="gaussian", seed=3, label="", steps=5, api_name="/sample")
    assert tensor(sample["x_0"]).shape == (1, 8, 8)
    inverted = client.predict(model="gaussian", image="gallery:3", api_name="/invert")
    assert inverted["psnr"] > 30
    region = client.predict(model="gaussian", image="gallery:3", region="click:4,4,0.5", api_name="/region")
    assert region["rle"].startswith("rle:8x8:")


@pytest.mark.parametrize(
    ("endpoint", "values", "words"),
    [
        ("/directions", WHERE | {"k": "many"}, "must be a number"),
        ("/directions", WHERE | {"k": 10_000}, "1 to 50"),
        ("/directions", WHERE | {"k": 0}, "1 to 50"),
        ("/directions", WHERE | {"region": 7}, "must be text"),
        ("/directions", WHERE | {"model": "nobody"}, "no such model"),
        ("/edit", WHERE | {"span": 1e9}, "largest strength"),
        ("/edit", WHERE | {"at": "everything"}, "must be a list"),
        ("/compare_methods", WHERE | {"methods": ["magic"]}, "no such method"),
        ("/linearity", WHERE | {"strengths": []}, "1 to 50 strengths"),
        ("/invert", {"model": "gaussian", "image": "/etc/passwd"}, "picture is named"),
        (
            "/file",
            {"model": "gaussian", "image": "gallery:3", "file": "upload:" + "0" * 64},
            "no longer held",
        ),
    ],
)
def test_bad_values_are_one_sentence_and_the_server_stays_up(client, endpoint, values, words):
    with pytest.raises(AppError, match=words):
        client.predict(**values, api_name=endpoint)
    assert client.predict(api_name="/models")


def test_every_endpoint_is_an_mcp_tool_with_words_for_its_parameters(address):
    tools = {
        tool["name"]: tool for tool in httpx.get(f"{address}gradio_api/mcp/schema").raise_for_status().json()
    }
    for name in ENDPOINTS:
        tool = next(tool for known, tool in tools.items() if known.endswith(name.strip("/")))
        assert tool["description"]
        if name != "/models":
            assert tool["inputSchema"]["properties"]
