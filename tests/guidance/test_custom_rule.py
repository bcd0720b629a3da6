"""The README's guidance rule, as pasted."""

import re
from pathlib import Path

import torch

from backend.inference.load import load

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_rule_of_the_readme_runs_and_does_what_it_says(capsys):
    section = README.split("## Add a guidance rule")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.S)
    names: dict = {}
    exec(block, names)
    assert "torch.Size([16, 1, 8, 8])" in capsys.readouterr().out
    D_c, D_u = torch.randn(2, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    added = names["across"](None, None, D_c, D_u)
    assert (added * D_c).sum((1, 2, 3)).abs().max() < 1e-12
    left = (D_c - D_u - added).flatten(1)  # along D_c alone
    assert (torch.cosine_similarity(left, D_c.flatten(1)).abs() - 1).abs().max() < 1e-12
    reader = load("digits").reader()
    with torch.no_grad():
        read = reader.logits(reader.features(names["samples"].clamp(-1, 1))).argmax(1)
    assert (read == 7).float().mean() > 0.8
