"""Pages that Sphinx finds written when it looks for documents: of layers, and of the interface."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docs.extensions import examples, interface, layers

FOLDERS = ("layers", "api", "examples")


def pages() -> dict[str, str]:
    """All generated pages, by path without suffix."""
    return layers.pages() | interface.pages() | examples.pages()


def write(docs: Path) -> None:
    """Write what has changed, and take away what is no longer made."""
    wanted = {docs / f"{path}.md": text for path, text in pages().items()}
    for folder in FOLDERS:
        for old in {*(docs / folder).rglob("*.md")} - wanted.keys():
            old.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def to_pages(app: Any, name: str, source: list[str]) -> None:
    """Lead links to folders of the repository, which GitHub lists, to the page that shows their files."""
    source[0] = re.sub(r"\]\(\.\./(examples/\w+)/\)", r"](\1.md)", source[0])


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("builder-inited", lambda app: write(Path(app.srcdir)))
    app.connect("source-read", to_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
