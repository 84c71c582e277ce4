"""Configuration of the site: `make site` builds it into out/site, without the network."""

import sys
from pathlib import Path

import minicnn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extension"))

import public_names  # noqa: E402 - found by the path above

from minicnn.kernels import notice  # noqa: E402 - likewise

notice.say = lambda text: None  # what a lesson prints is the same whether or not kernels have to be compiled

project = "minicnn"
author = "the authors of minicnn"
version = release = minicnn.__version__
html_title = f"minicnn {version}"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "site_extension",
]
exclude_patterns = ["**/GALLERY_HEADER.rst", "tutorial/*.ipynb", "tutorial/*.py", "tutorial/*.md5"]
templates_path = ["templates"]
default_role = "py:obj"
python_maximum_signature_line_length = 100
toc_object_entries_show_parents = "hide"

autosummary_ignore_module_all = False
autosummary_filename_map = public_names.file_names()
autodoc_typehints = "signature"
autodoc_type_aliases = {
    "Array": "Array",
    "Params": "Params",
    "Ties": "Ties",
    **{name: f"minicnn.geometry.{name}" for name in ("Padding", "Pads", "Pair", "Shape", "Size")},
}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

sphinx_gallery_conf = {
    "examples_dirs": "../lessons",
    "gallery_dirs": "tutorial",
    "filename_pattern": r"\.py$",  # every lesson is run
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "image_scrapers": ("gallery_figures", "matplotlib"),
    "ignore_repr_types": r"matplotlib\.figure|NoneType",
    "write_computation_times": False,  # that page loads a script from another host
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,  # seconds of a build tell a reader nothing
    "backreferences_dir": None,
    "remove_config_comments": True,
    "plot_gallery": True,
    "nested_sections": False,
}

html_theme = "pydata_sphinx_theme"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # summaries are fetched page by page, which a browser refuses for files
# The pages of lessons and of names have none: figures and programs need the room.
CONTENTS = ("tour", "command", "how-to/*", "explanation/*", "reference/*")
html_theme_options = {
    "logo": {"text": "minicnn"},
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": {pages: ["page-toc"] for pages in CONTENTS},
    "footer_start": ["copyright"],
    "footer_end": [],
    "navbar_align": "left",
    "show_nav_level": 1,
}
html_sidebars = {"index": [], "explorer": []}
copyright = "the authors of minicnn, MIT licence"
suppress_warnings: list[str] = []
