"""The house: imports only point down, and what takes seconds to import waits until it is needed."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = (  # a room imports itself and what stands below it
    "app",
    "components",
    "backend.experiments",
    "backend.inference",
    "backend.jobs",
    "backend.editing",
    "backend.guidance",
    "backend.watermark",
    "backend.collapse",
    "backend.generalization",
    "backend.training",
    "backend.metrics",
    "backend.jacobian",
    "backend.sampling",
    "backend.denoiser",
    "backend.schedule",
    "backend.request",
    "backend.data",
)
HEAVY = {
    "diffusers",
    "transformers",
    "umap",
    "numba",
    "sklearn",
    "skimage",
    "scipy",
    "torchmetrics",
    "PIL",
    "pandas",
}
SHOWN = {"gradio", "gradio_client", "plotly"}

FILES = sorted(
    path.relative_to(ROOT) for top in ("backend", "components") for path in (ROOT / top).rglob("*.py")
)
FILES += [Path("app.py")] * (ROOT / "app.py").exists()


def module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name: str) -> str | None:
    """The room that a module is in, None for what is not ours."""
    top = name.split(".")[0]
    if top not in ("app", "components", "backend"):
        return None
    found = ".".join(name.split(".")[:2]) if top == "backend" else top
    return found if found != "backend" else None


def imports(tree: ast.AST, path: Path) -> Iterator[str]:
    """Full names of all that is imported anywhere in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module(path).split(".")
            if path.name != "__init__.py":
                package = package[:-1]
            base = [*package[: len(package) - node.level + 1], node.module] if node.level else [node.module]
            base = ".".join(part for part in base if part)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_only_point_down(path: Path) -> None:
    here = room(module(path))
    if here is None:  # backend/__init__.py
        assert not list(imports(parse(path), path))
        return
    assert here in ROOMS, f"{here} has no place in the order of rooms"
    for name in imports(parse(path), path):
        there = room(name)
        if there is not None:
            assert there in ROOMS, f"{path} imports {name}, which has no place in the order of rooms"
            assert ROOMS.index(there) >= ROOMS.index(here), f"{path} imports {name}, which stands above it"


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] == "backend"], ids=str)
def test_the_backend_knows_no_page(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(parse(path), path)} & SHOWN


def test_the_backend_starts_without_what_takes_seconds_to_import() -> None:
    names = [module(path) for path in FILES if path.parts[0] == "backend" and path.name != "__main__.py"]
    script = (
        f"import importlib, sys; [importlib.import_module(name) for name in {names}]; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert not {name.split(".")[0] for name in done.stdout.split()} & (HEAVY | SHOWN)


def test_the_order_is_checked_at_all() -> None:
    """This test's own reading of imports, on lines that have gone wrong elsewhere."""
    source = "import backend.inference.run\nfrom backend import experiments\n"
    source += "from . import x\nfrom ..editing import y"
    found = list(imports(ast.parse(source), Path("backend/jacobian/svd.py")))
    assert found == [
        "backend.inference.run",
        "backend.experiments",
        "backend.jacobian.x",
        "backend.editing.y",
    ]
    assert [room(name) for name in found] == [
        "backend.inference",
        "backend.experiments",
        "backend.jacobian",
        "backend.editing",
    ]
    assert (room("torch.nn"), room("backend.data.avatars"), room("components.page")) == (
        None,
        "backend.data",
        "components",
    )
