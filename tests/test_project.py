"""What the project promises outside its code: the README's figures, front matter and commands, sizes, pins, style."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import tables

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_tables_are_those_of_the_results():
    assert tables.filled(README) == README


def test_the_space_runs_the_pinned_gradio():
    pins = dict(re.findall(r"^([a-z_-]+)(?:\[\w+\])?==(\S+)$", (ROOT / "requirements.txt").read_text(), re.M))
    front = dict(re.findall(r"^(\w+): (.+)$", README.split("---")[1], re.M))
    assert front["sdk_version"] == pins["gradio"]
    assert (ROOT / front["app_file"]).exists()
    assert len(front["short_description"]) <= 60


@pytest.mark.parametrize("link", re.findall(r"!\[[^]]*\]\(([^)]+)\)", README))
def test_pictures_of_the_readme_exist(link):
    assert (ROOT / link).exists()


def test_assets_are_small():
    sizes = {path: path.stat().st_size for path in (ROOT / "assets").rglob("*") if path.is_file()}
    assert max(sizes.values()) < 10_000_000
    assert sum(sizes.values()) < 60 * 2**20


@pytest.mark.parametrize("command", [["check", "."], ["format", "--check", "."]])
def test_style(command):
    done = subprocess.run([sys.executable, "-m", "ruff", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
