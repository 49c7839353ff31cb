"""Configuration of sphinx; `make docs` builds the documentation."""

import os
import pkgutil
import re
from importlib import import_module
from pathlib import Path

from docutils import nodes
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
default_role = "py:obj"  # a link for names of this package, code for others

html_theme = "pydata_sphinx_theme"
html_title = f"sk_ednn {release}"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"paper": []}  # it has no subpages
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
autosummary_ignore_module_all = False  # the public names of a module are those in __all__
autosummary_imported_members = True
autodoc_typehints = "none"  # the numpydoc sections give them
# For the page of the whole package: its public packages and modules (the command line is not an
# API), and the names it re-exports from one of them, which are described only there.
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
    """Document methods of this package; those of scikit-learn and torch are in their pages."""
    module = getattr(obj, "__module__", None)
    if callable(obj) and module and not module.startswith("sk_ednn"):
        return True
    # scikit-learn generates these, and they refer to labels of its documentation.
    if name.startswith("set_") and name.endswith("_request"):
        return True
    return None


# "EDNNRegressor.predict" and its neighbours would all be truncated alike.
toc_object_entries_show_parents = "hide"

# A star before a word without a closing star, outside backticks: the axes in a shape.
LITERAL_OR_AXES = re.compile(r"(`+[^`]*`+)|(?<=[\s(])\*(?=\w)(?![^*]*\w\*)")


def escape_axes(app, what, name, obj, options, lines):
    """Escape the star in `of shape (n_samples, *grid)`, which would start an emphasis."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[i] = LITERAL_OR_AXES.sub(lambda match: match[1] or r"\*", line)


def links_to_sklearn():
    """Return addresses of scikit-learn's estimators by name, without an inventory."""
    from sklearn.utils.discovery import all_estimators

    root = "https://scikit-learn.org/stable/modules/generated"
    found = {}
    for name, estimator in all_estimators():
        public = ".".join(part for part in estimator.__module__.split(".") if part[0] != "_")
        found[name] = f"{root}/{public}.{name}.html"
    return found


SKLEARN = links_to_sklearn()
BARE = {"class", "exception", "function"}


def find_public(app, env, node, contnode):
    """Link names written as in the guide: `GridTiling`, `Direct(n_jobs=2)`, `files.save`."""
    if node.get("reftype") != "obj":
        return None
    target = re.sub(r"\(.*\)$", "", node["reftarget"])
    objects = env.domains["py"].objects
    names = [
        name
        for name, entry in objects.items()
        if not entry.aliased and (f".{name}").endswith(f".{target}")
    ]
    if "." not in target:  # many objects have `fit` or `max_bytes`; `atoms` is also an extra
        names = [name for name in names if objects[name].objtype in BARE]
    if not names and target.removeprefix("sklearn.").rpartition(".")[2] in SKLEARN:
        address = SKLEARN[target.rpartition(".")[2]]
        title = "(in scikit-learn)"
        link = nodes.reference("", "", internal=False, refuri=address, reftitle=title)
        link += contnode
        return link
    if len(names) != 1:
        return None
    entry = objects[names[0]]
    return make_refnode(
        app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, names[0]
    )


def setup(app):
    app.connect("missing-reference", find_public)
    app.connect("autodoc-process-docstring", escape_axes, priority=400)  # before numpydoc
    app.connect("autodoc-skip-member", skip_member)


# ------------------------------------------------------------------------------------- gallery

# examples/plot_*.py are run and rendered; other scripts there are only rendered.
sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"/_",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "parallel": True,  # as many examples at once as sphinx has processes, -j
}
