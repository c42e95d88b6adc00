"""How Sphinx makes the documentation; `make docs` runs the examples first."""

from fastconv import __version__

project = "fastconv"
author = "fastconv developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
html_theme = "alabaster"
html_theme_options = {"description": "Fast convolution for NumPy arrays", "page_width": "1100px"}
autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "none"  # numpydoc's sections say it better
numpydoc_show_class_members = False
myst_heading_anchors = 3
