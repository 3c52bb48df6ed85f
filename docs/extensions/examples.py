"""A page for each folder of examples, with its files."""

from __future__ import annotations

from docs.extensions.code import ROOT

FOLDERS = {"implementations": "Adapters for other implementations", "ci": "Gradients in continuous integration"}


def pages() -> dict[str, str]:
    """All pages of examples, by path without suffix."""
    return {f"examples/{folder}": page(folder) for folder in FOLDERS}


def page(folder: str) -> str:
    """Every file of a folder, under its name."""
    lines = [f"# {FOLDERS[folder]}", "", f"The files of `examples/{folder}/` in the repository.", ""]
    for file in sorted((ROOT / "examples" / folder).iterdir()):
        if file.suffix in (".py", ".yml", ".yaml"):
            text = file.read_text(encoding="utf-8")
            language = "python" if file.suffix == ".py" else "yaml"
            lines += [f"## `{file.name}`", "", f"```{language}", text.rstrip(), "```", ""]
    return "\n".join(lines)
