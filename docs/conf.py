"""How the pages are built: ``make docs``. Warnings are errors."""

from __future__ import annotations

import pkgutil
import re
from typing import Any

import armillary

project = "armillary"
author = copyright = "The armillary contributors"
version = release = armillary.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"armillary {version}"
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure"]  # links to files outside docs/
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

_SLOT = re.compile(r"(Shapes?|Args|Returns|Yields|Raises|Sources?|Units|Conventions|Equation|Note):")
_CODE = re.compile(r"(``.+?``)", re.DOTALL)


def _escape(text: str) -> str:
    """Plain words as reStructuredText: only ``code`` keeps its meaning, so |n|, *x and a_ stay what they are."""
    parts = _CODE.split(text.strip())
    text = "".join(p if p.startswith("``") else re.sub(r"([\\*`|_])", r"\\\1", p) for p in parts)
    return "\\" + text if re.match(r"[.:>=+#(]|\w+[.)]\s", text) else text


def _paragraphs(lines: list[str]) -> list[str]:
    """A docstring as reStructuredText: paragraphs, "- " lists, slots such as "Raises:" and indented displays."""
    out: list[str] = []
    open_text: list[str] = []
    display = False

    def close() -> None:
        if open_text:
            slot = _SLOT.match(open_text[0])
            text = re.sub(r"::$", ":" if len(open_text[-1]) > 2 else "", " ".join(open_text)).strip()
            # A paragraph or list item is one line from here on, so nothing hangs on its indentation.
            out.extend([f"**{slot[0]}** {_escape(text[slot.end() :])}" if slot else _escape(text), ""])
            open_text.clear()

    for line in lines:
        starts_item = line.lstrip().startswith("- ")
        if not line.strip():
            if not display:
                close()
            elif out and out[-1]:
                out.append("")
        elif line[0] == " " and not open_text and not starts_item:
            if not display:
                out.extend(["", "::", ""])
                display = True
            out.append("    " + line)
        else:
            if display:
                out.append("")
                display = False
            if starts_item or _SLOT.match(line):
                close()
            open_text.append(line.strip())
    close()
    return [*out, ""]


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = _paragraphs(lines)


def _list_rooms(app: Any, page: str, source: list[str]) -> None:
    """The API page lists every public room of the package, so a new room needs no new page."""
    if page == "api":
        for room in sorted(m.name for m in pkgutil.iter_modules(armillary.__path__) if m.ispkg and m.name != "cli"):
            source[0] += (
                f"\n## armillary.{room}\n\n```{{eval-rst}}\n.. automodule:: armillary.{room}\n   :members:\n```\n"
            )


def setup(app: Any) -> None:
    """Connect the two hooks above."""
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("source-read", _list_rooms)
