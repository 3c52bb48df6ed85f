"""How Sphinx builds the site: ``nox -s docs``, or ``sphinx-build -W --keep-going -n docs docs/_build/html``."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for docs.extensions, impl and the rest

project = "Backproof"
author = "the developers of Backproof"
copyright = "the developers of Backproof, Apache-2.0"
release = version = version_of("backproof")

extensions = [
    "sphinx.ext.autodoc",
    "myst_parser",
    "numpydoc",
    "sphinx_copybutton",
    "docs.extensions.generated",
]
exclude_patterns = ["_build"]
highlight_language = "none"  # blocks that name no language are formulas and output
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
numpydoc_show_class_members = False
nitpick_ignore_regex = [
    ("py:.*", r"(collections|hypothesis|numpy|pathlib|torch|typing)\..*"),  # elsewhere: to look there takes a network
    ("py:class", r"(type|tuple)\[.*"),  # unions that autodoc does not take apart
    # Types of arguments that are no public names.
    ("py:class", r"(\w+\.)*(Array|Backward|Blur|Kind|NetworkStep|Optimizing|Rounding|Takes|WholeImplementation)"),
]

html_theme = "furo"
html_title = "Backproof"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": [], "navigation_with_keys": True}
copybutton_prompt_text = "$ "
linkcheck_timeout = 20
linkcheck_retries = 2
