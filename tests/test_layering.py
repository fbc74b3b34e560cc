"""The house rules that can be read from the source: imports go down only, small files, documented names.

``cli, recipes → models, flows, data, train, bench → nn → harmonics → spaces → groups → ops → torch``
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import armillary

SOURCE = Path(armillary.__file__).parent

# What each room may import from. A new room gets a line here, or the test says so.
_CORE = ("ops", "groups", "spaces", "harmonics")
_PRODUCTS = ("models", "flows", "data", "train")
ALLOWED: dict[str, frozenset[str]] = {
    **{room: frozenset(_CORE[:level]) for level, room in enumerate(_CORE)},
    "nn": frozenset(_CORE),
    "testing": frozenset(_CORE),  # so that it can judge other people's layers
    **{room: frozenset((*_CORE, "nn")) for room in _PRODUCTS},
    "bench": frozenset((*_CORE, "nn", "models")),  # only cli imports it
    "interop": frozenset((*_CORE, "nn", *_PRODUCTS)),  # bridges to other packages
    "recipes": frozenset((*_CORE, "nn", "testing", *_PRODUCTS, "interop")),
    "cli": frozenset((*_CORE, "nn", "testing", *_PRODUCTS, "interop", "bench", "recipes")),
    "__main__": frozenset(("cli",)),
}
MAX_LINES = 400
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


class Tree:
    """The modules of a source tree by dotted name (package root excluded), and what each imports from it."""

    def __init__(self, root: Path) -> None:
        self.root, self.package = root, root.name
        self.paths = {self._name(path): path for path in sorted(root.rglob("*.py"))}
        self.asts = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in self.paths.items()}
        self.imports = {name: sorted(set(self._imports(name))) for name in self.paths}

    def _name(self, path: Path) -> str:
        parts = path.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _imports(self, name: str) -> Iterator[str]:
        """Imported modules of this tree, wherever the import stands (in a function, under TYPE_CHECKING)."""
        is_package = self.paths[name].name == "__init__.py"
        for node in ast.walk(self.asts[name]):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    here = [self.package, *(name.split(".") if name else [])]
                    up = node.level - 1 if is_package else node.level
                    base = ".".join([*here[: len(here) - up], *([base] if base else [])])
                targets = [f"{base}.{alias.name}" for alias in node.names]
            else:
                continue
            for target in targets:
                if target == self.package or target.startswith(f"{self.package}."):
                    yield self._module(target[len(self.package) + 1 :])

    def _module(self, target: str) -> str:
        """The longest prefix of ``target`` that is a module: the rest are names inside it."""
        while target and target not in self.paths:
            target = target.rpartition(".")[0]
        return target


def room(name: str) -> str:
    return name.partition(".")[0]


def upward_imports(tree: Tree) -> list[str]:
    found = []
    for name, targets in tree.imports.items():
        if name and room(name) not in ALLOWED:
            found.append(f"{name}: room {room(name)!r} has no place in ALLOWED (tests/test_layering.py)")
            continue
        allowed = ALLOWED[room(name)] | {room(name)} if name else frozenset()
        found += [f"{name or tree.package} imports {t}" for t in targets if t and room(t) not in allowed]
    return found


def cycles(tree: Tree) -> list[str]:
    """Import cycles, each told once as ``a → b → a``."""
    found, done = [], set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append(" → ".join(m or tree.package for m in [*path[path.index(name) :], name]))
            return
        if name not in done:
            for target in tree.imports[name]:
                if target or name:  # the root names nothing but itself
                    visit(target, [*path, name])
            done.add(name)

    for name in tree.imports:
        visit(name, [])
    return found


def _public_definitions(
    module: ast.Module,
) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            yield node


def convolution_kinds(tree: Tree) -> dict[str, str]:
    """Files of ``nn`` with a public convolution, and their kinds: that of ``nn.disco_oriented`` is ``disco``."""
    return {
        name: name.split(".")[1].partition("_")[0]
        for name, module in tree.asts.items()
        if name.startswith("nn.")
        and any(isinstance(d, ast.ClassDef) and "Conv" in d.name for d in _public_definitions(module))
    }


def entangled_convolutions(tree: Tree) -> list[str]:
    kinds = convolution_kinds(tree)
    return [
        f"{name} imports {target}"
        for name, kind in kinds.items()
        for target in tree.imports[name]
        if target in kinds and kinds[target] != kind
    ]


def undocumented(tree: Tree) -> list[str]:
    found = [f"{name or tree.package}: module" for name, m in tree.asts.items() if not ast.get_docstring(m)]
    for name, module in tree.asts.items():
        if not any(part.startswith("_") for part in name.split(".")):
            found += [f"{name}.{d.name}" for d in _public_definitions(module) if not ast.get_docstring(d)]
    return found


def file_faults(tree: Tree) -> list[str]:
    found = []
    for name, path in tree.paths.items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES:
            found.append(f"{name}: {lines} lines, wanted at most {MAX_LINES}")
        if name.rpartition(".")[2] in {"utils", "util", "misc", "helpers", "common"}:
            found.append(f"{name}: a module is named after what it holds")
    return found


def unpickling(tree: Tree) -> list[str]:
    """Ways for a file from outside to run code: pickle and its kin, torch.load, np.load without a ban."""
    found = []
    for name, module in tree.asts.items():
        for node in ast.walk(module):
            where = f"{name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                found += [f"{where} imports {a.name}" for a in node.names if room(a.name) in UNPICKLERS]
            elif isinstance(node, ast.ImportFrom) and not node.level and room(node.module or "") in UNPICKLERS:
                found.append(f"{where} imports {node.module}")
            elif isinstance(node, ast.Call):
                call = ast.unparse(node.func)
                if call == "torch.load":
                    found.append(f"{where} calls torch.load: files on disk are safetensors and JSON")
                elif call in {"np.load", "numpy.load"} and not any(
                    k.arg == "allow_pickle" and isinstance(k.value, ast.Constant) and k.value.value is False
                    for k in node.keywords
                ):
                    found.append(f"{where} calls np.load without allow_pickle=False")
    return found


CHECKS = [upward_imports, cycles, entangled_convolutions, undocumented, file_faults, unpickling]


@pytest.fixture(scope="module")
def house() -> Tree:
    return Tree(SOURCE)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_house(house: Tree, check) -> None:
    assert check(house) == []


def test_the_house_is_read(house: Tree) -> None:
    """Guards the test above: the source is found, and imports that are known to be there are seen."""
    assert "ops.quadrature" in house.imports["spaces.sphere"]
    assert "spaces.sphere" in house.imports["spaces"]


# The checker on trees of its own: each fault is found, and a sound tree passes.


def grow(root: Path, files: dict[str, str]) -> Tree:
    package = root / "armillary"
    for folder in {package, *(package / Path(f).parent for f in files)}:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text('"""A room."""\n')
    for name, text in files.items():
        (package / name).write_text(text if name.endswith("__init__.py") and not text else f'"""A file."""\n{text}\n')
    return Tree(package)


SOUND = {
    "ops/a.py": "import torch",
    "spaces/b.py": "from armillary.ops import a\nfrom armillary import __version__",
    "nn/gcnn.py": 'from ..spaces.b import x\nclass GConv:\n    """Doc."""',
    "nn/disco.py": 'class DiscoConv:\n    """Doc."""',
    "nn/disco_oriented.py": 'from armillary.nn.disco import DiscoConv\nclass DiscoLiftConv:\n    """Doc."""',
    "train/loop.py": "def f():\n    '''Doc.'''\n    import armillary.nn.gcnn",
    "cli.py": "from armillary import models, train\nfrom armillary.recipes import y",
    "models/net.py": "",
    "recipes/y.py": "",
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_tree_passes(tmp_path: Path, check) -> None:
    assert check(grow(tmp_path, SOUND)) == []


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("ops/a.py", "import armillary.spaces.b", "ops.a imports spaces.b"),
        ("ops/a.py", "from armillary import nn", "ops.a imports nn"),
        ("ops/a.py", "from .. import spaces", "ops.a imports spaces"),
        ("spaces/b.py", "from ..nn.disco import DiscoConv", "spaces.b imports nn.disco"),
        ("train/loop.py", "def f():\n    from armillary.models import net", "train.loop imports models.net"),
        ("train/loop.py", "from armillary.data import x", "train.loop imports data"),
        ("testing/meter.py", "from armillary.nn import x", "testing.meter imports nn"),
        ("nn/gcnn.py", "from armillary.testing import x", "nn.gcnn imports testing"),
        ("bench/z.py", "from armillary.train import x", "bench.z imports train"),
        ("recipes/y.py", "from armillary.bench import x", "recipes.y imports bench"),
        ("recipes/y.py", "import armillary.cli", "recipes.y imports cli"),
        ("__init__.py", "from armillary.ops import a", "armillary imports ops.a"),
        ("attic/z.py", "", "attic.z: room 'attic' has no place in ALLOWED (tests/test_layering.py)"),
    ],
)
def test_an_upward_import_is_found(tmp_path: Path, file: str, text: str, found: str) -> None:
    rooms = dict.fromkeys(("data/__init__.py", "testing/__init__.py", "bench/__init__.py"), "")
    files = {**SOUND, **rooms, file: text}
    assert found in upward_imports(grow(tmp_path, files))


def test_a_cycle_is_found(tmp_path: Path) -> None:
    files = {"ops/a.py": "from armillary.ops import b", "ops/b.py": "def f():\n    from .a import x"}
    assert cycles(grow(tmp_path, files)) == ["ops.a → ops.b → ops.a"]
    through_package = {
        "ops/__init__.py": "from armillary.ops.a import x",
        "ops/a.py": "from armillary.ops import y",
    }
    assert cycles(grow(tmp_path / "second", through_package)) == ["ops → ops.a → ops"]


def test_entangled_convolutions_are_found(tmp_path: Path) -> None:
    files = {**SOUND, "nn/gcnn.py": 'from armillary.nn.disco import x\nclass GConv:\n    """Doc."""'}
    assert entangled_convolutions(grow(tmp_path, files)) == ["nn.gcnn imports nn.disco"]


def test_missing_docstrings_are_found(tmp_path: Path) -> None:
    tree = grow(tmp_path, {"ops/a.py": "def f(): ...\nclass C: ...\ndef _g(): ...", "ops/_b.py": "def h(): ..."})
    assert undocumented(tree) == ["ops.a.f", "ops.a.C"]
    (tree.root / "ops" / "a.py").write_text("x = 1\n")
    assert undocumented(Tree(tree.root)) == ["ops.a: module"]


def test_file_faults_are_found(tmp_path: Path) -> None:
    # Docstring, the text and a closing blank line: one line too many.
    tree = grow(tmp_path, {"ops/a.py": "x = 1\n" * (MAX_LINES - 1), "nn/utils.py": ""})
    assert file_faults(tree) == [
        "nn.utils: a module is named after what it holds",
        f"ops.a: {MAX_LINES + 1} lines, wanted at most {MAX_LINES}",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "x = torch.load(path, weights_only=True)",
        "x = np.load(path)",
        "x = np.load(path, allow_pickle=True)",
    ],
)
def test_unpickling_is_found(tmp_path: Path, text: str) -> None:
    assert len(unpickling(grow(tmp_path, {"ops/a.py": text}))) == 1
    assert unpickling(grow(tmp_path / "sound", {"ops/a.py": "x = np.load(p, allow_pickle=False)"})) == []
