"""The pages tell the truth: their Python runs, the tests they name exist, their links lead somewhere, html builds."""

from __future__ import annotations

import ast
import importlib.util
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from armillary.recipes import SYSTEMS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]


def blocks(text: str, language: str = "python") -> list[tuple[int, str]]:
    """Fenced blocks of one language: (line number of the first line, code)."""
    found, code, start, fence = [], [], 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if fence:
            if stripped == fence:
                if start:
                    found.append((start, "\n".join(code) + "\n"))
                fence = ""
            else:
                code.append(line)
        elif match := re.match(r"(`{3,}|~{3,}|:{3,})\s*(\S*)", stripped):
            fence, code = match[1], []
            start = number + 1 if match[2] == language else 0
    assert not fence, "a fence is left open"
    return found


def run_page(page: Path) -> int:
    """Execute the Python blocks of a page in order, in one namespace; line numbers in errors are the page's."""
    namespace: dict[str, object] = {"__name__": page.stem}
    found = blocks(page.read_text(encoding="utf-8"))
    for line, code in found:
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)
    return len(found)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks(page.read_text(encoding="utf-8"))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_python_in_pages_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_page(page) > 0


def test_the_runner_sees_faults(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n\n```text\nnot python\n```\n\n````python\n\nassert x == 2\n````\n")
    with pytest.raises(AssertionError) as caught:
        run_page(page)
    assert caught.traceback[-1].lineno + 1 == 11
    assert [line for line, _ in blocks(page.read_text())] == [2, 10]


def named_tests(text: str) -> set[tuple[str, str]]:
    return set(re.findall(r"(tests/[\w/]+\.py)::(\w+)", text))


def test_named_tests_exist() -> None:
    named = {pair for page in PAGES for pair in named_tests(page.read_text(encoding="utf-8"))}
    assert len(named) >= 10, "the conventions page names its tests as tests/file.py::name"
    missing = []
    for file, name in sorted(named):
        path = ROOT / file
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
        if name not in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}:
            missing.append(f"{file}::{name}")
    assert missing == []


def test_every_pinning_test_is_told() -> None:
    """Each test in test_conventions.py has its line on the conventions page."""
    told = {name for _, name in named_tests((ROOT / "docs" / "conventions.md").read_text(encoding="utf-8"))}
    tree = ast.parse((ROOT / "tests" / "test_conventions.py").read_text(encoding="utf-8"))
    tests = {n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")}
    assert tests <= told, f"not on the page: {sorted(tests - told)}"


def broken_links(page: Path) -> list[str]:
    """Targets of relative links and pictures that do not exist."""
    text = re.sub(r"```.*?```|<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", text) + re.findall(r'src="([^"]+)"', text)
    return [t for t in targets if not re.match(r"[a-z]+:", t) and not (page.parent / t).exists()]


def test_links_lead_somewhere(tmp_path: Path) -> None:
    assert {str(page.relative_to(ROOT)): broken_links(page) for page in PAGES if broken_links(page)} == {}
    (tmp_path / "page.md").write_text("[a](page.md#x) [b](nowhere.md) ![c](https://example.org/c.png) ![d](d.png)")
    assert broken_links(tmp_path / "page.md") == ["nowhere.md", "d.png"]


def test_the_systems_of_the_readme_are_those_of_the_catalogue() -> None:
    """Numbers, titles and names agree, and what the README says works is what the catalogue says works."""
    table = re.findall(r"^\| (\d+) \| (.+?) \| .+? \| `(\w+)` \| (\w+)", (ROOT / "README.md").read_text("utf-8"), re.M)
    told = [(int(number), title, name, status) for number, title, name, status in table]
    assert told == [(s.number, s.title, s.name, "works" if s.works else "planned") for s in SYSTEMS]


NASTY = [
    "|n| < N, *x and **y, a_ and `b`, C:\\path.\n\n    f = |x|_2 *\n      more\n\nRaises: ValueError\n  if so_.",
    "A list\nthat follows:\n- one_\n  goes on\n- two\n\nReturns: ``a|b``; x.\nSource: [1]_, |y|.",
    "Files.\n\n::\n\n    config.toml   what *was* asked\n\n    state.json\n      deeper\nand text follows::\n\n    x",
    "1. is no list\n\n(a) nor this\n\n.. nor:: a directive\n\n:param: x\n\n>>> nor a session\n\n=====",
]


@pytest.mark.parametrize("docstring", NASTY)
def test_docstrings_need_no_markup(docstring: str) -> None:
    """What docs/conf.py makes of a plain docstring parses without complaint and loses no word."""
    core = pytest.importorskip("docutils.core", reason="needs the [docs] extra")
    spec = importlib.util.spec_from_file_location("docs_conf", ROOT / "docs" / "conf.py")
    assert spec is not None
    conf = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(conf)

    def parsed(text: str) -> tuple[str, str]:
        complaints = io.StringIO()
        tree = core.publish_doctree(text, settings_overrides={"report_level": 1, "warning_stream": complaints})
        return re.sub(r"[\W_]+", " ", tree.astext()).strip(), complaints.getvalue()

    words, complaints = parsed("\n".join(conf._paragraphs(docstring.splitlines())))
    assert complaints == ""
    assert words == re.sub(r"[\W_]+", " ", docstring).strip()
    assert parsed(docstring)[1] != "", "the case is too tame: it is sound markup as it stands"


def test_html_builds_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="needs the [docs] extra")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-d",
        str(tmp_path / "tree"),
    ]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert 'id="armillary.spaces.Equiangular"' in (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
