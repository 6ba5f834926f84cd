"""Settings of the documentation; build it with ``sphinx-build -W --keep-going docs docs/_build/html``."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # pictures appear where they are drawn
os.environ["TQDM_DISABLE"] = "1"  # how long a page took is nothing for readers

import mixedfx  # noqa: E402  (the environment must be set before numpy is loaded)

project = "mixedfx"
author = "The mixedfx developers"
copyright = author  # the name that Sphinx wants
version = release = mixedfx.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_design",
]
exclude_patterns = ["_build", "_templates", "**.ipynb_checkpoints", "jupyter_execute", "images"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb"}  # in this order: autosummary writes the first
nitpicky = False

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autosummary_generate = True
templates_path = ["_templates"]
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

html_context = {"default_mode": "auto"}  # else the theme's script complains on each page
html_theme = "pydata_sphinx_theme"
html_title = "mixedfx"
html_theme_options = {"navigation_with_keys": False, "show_toc_level": 2, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["mixedfx.css"]
