"""Settings of the documentation; build it with ``sphinx-build -W --keep-going docs docs/_build/html``."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # pictures appear where they are drawn
os.environ["TQDM_DISABLE"] = "1"  # how long a page took is nothing for readers

from docutils import nodes  # noqa: E402

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
    "sphinx_copybutton",
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

copybutton_exclude = ".linenos, .gp, .go"  # neither prompts nor what was printed
copybutton_selector = "div.cell_input pre, div:not(.cell_output) > div.highlight pre"

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


def describe_pictures(app, doctree):
    """Say of each picture without an alt text what drew it: the last line of its cell, and the section."""
    for cell in doctree.findall(lambda node: "cell" in node.get("classes", []) if hasattr(node, "get") else False):
        code = [text.astext() for text in cell.findall(nodes.literal_block) if "cell_input" in text.parent["classes"]]
        lines = [line for line in "\n".join(code).splitlines() if line.strip() and not line.startswith((" ", ")"))]
        section = cell.parent
        while section is not None and not isinstance(section, nodes.section):
            section = section.parent
        title = "" if section is None else section.next_node(nodes.title).astext()
        drawn = f", drawn by {lines[-1].rstrip(';')}" if lines else ""
        for picture in cell.findall(nodes.image):
            if not picture.get("alt"):
                picture["alt"] = f"Picture of “{title}”{drawn}"


def setup(app):
    app.connect("doctree-read", describe_pictures)
