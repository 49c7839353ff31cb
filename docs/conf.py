"""How sphinx builds the documentation; `make docs` is the command."""

import os
import pkgutil
import re
from importlib import import_module
from pathlib import Path

from sphinx.util.nodes import make_refnode

import sk_ednn

HERE = Path(__file__).parent

project = "sk_ednn"
author = "sk_ednn developers"
copyright = "sk_ednn developers"
release = version = sk_ednn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "py:obj"  # a link where the name is one of ours, code where it is not

html_theme = "pydata_sphinx_theme"
html_title = f"sk_ednn {release}"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"paper": []}  # it has no pages below it
html_show_sourcelink = False

# Links into other projects' pages need the network; a build without it must not fail.
if os.environ.get("DOCS_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

# ----------------------------------------------------------------------------------- reference

autosummary_generate = True
autosummary_ignore_module_all = False  # a module's public names are those in its __all__
autosummary_imported_members = True
autodoc_typehints = "none"  # the numpydoc sections say it
# For the page of the whole package: its public packages and modules (the command is no API), and
# the names it repeats from one of them, which are described there only.
packages = [
    found.name
    for found in pkgutil.iter_modules(sk_ednn.__path__)
    if not found.name.startswith("_") and found.name != "cli"
]
autosummary_context = {
    "packages": packages,
    "repeated": {
        name: package
        for package in packages
        for name in getattr(import_module(f"sk_ednn.{package}"), "__all__", [])
        if name in sk_ednn.__all__
    },
}
numpydoc_show_class_members = False  # the templates list the methods


def skip_member(app, what, name, obj, skip, options):
    """Document the methods that are ours; what scikit-learn and torch bring is in their pages."""
    module = getattr(obj, "__module__", None)
    if callable(obj) and module and not module.startswith("sk_ednn"):
        return True
    # scikit-learn writes these, and they refer to labels of its own documentation.
    if name.startswith("set_") and name.endswith("_request"):
        return True
    return None


# "EDNNRegressor.predict" and its neighbours would all be cut at the same place.
toc_object_entries_show_parents = "hide"

# A star before a word that no other star closes, outside of backticks: the axes in a shape.
LITERAL_OR_AXES = re.compile(r"(`+[^`]*`+)|(?<=[\s(])\*(?=\w)(?![^*]*\w\*)")


def escape_axes(app, what, name, obj, options, lines):
    """Let docstrings say `of shape (n_samples, *grid)` without starting an emphasis."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[i] = LITERAL_OR_AXES.sub(lambda found: found[1] or r"\*", line)


BARE = {"class", "exception", "function"}


def find_public(app, env, node, contnode):
    """Link names as the guide writes them: `GridTiling`, `Direct(n_jobs=2)`, `files.save`."""
    if node.get("reftype") != "obj":
        return None
    target = re.sub(r"\(.*\)$", "", node["reftarget"])
    objects = env.domains["py"].objects
    found = [
        name
        for name, there in objects.items()
        if not there.aliased and (f".{name}").endswith(f".{target}")
    ]
    if "." not in target:  # `fit` and `max_bytes` are many objects', `atoms` is also an extra
        found = [name for name in found if objects[name].objtype in BARE]
    if len(found) != 1:
        return None
    there = objects[found[0]]
    return make_refnode(
        app.builder, node["refdoc"], there.docname, there.node_id, contnode, found[0]
    )


def setup(app):
    app.connect("missing-reference", find_public)
    app.connect("autodoc-process-docstring", escape_axes, priority=400)  # before numpydoc
    app.connect("autodoc-skip-member", skip_member)


# ------------------------------------------------------------------------------------- gallery

# examples/plot_*.py are run and shown; other scripts there are only shown.
sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"/_",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
}
