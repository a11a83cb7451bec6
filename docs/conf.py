"""The handbook: `make docs` builds it into docs/_build/html, warnings as errors."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import generate_reference  # noqa: E402

generate_reference.write()

project = "turbo-preference-bench"
copyright = "the turbo-preference-bench authors, Apache-2.0"
version = release = installed_version("turbo-preference-bench")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "jupyter_execute"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = os.environ.get("DOCS_NOTEBOOKS", "cache")
nb_execution_timeout = 900
nb_execution_raise_on_error = True
suppress_warnings = ["myst.xref_missing", "mystnb.unknown_mime_type"]
napoleon_google_docstring = False
autodoc_typehints = "description"
html_theme = "furo"
html_title = f"turbo-preference-bench {release}"
copybutton_prompt_text = "$ "
