# SPDX-License-Identifier: GPL-2.0-only
#
# Sphinx's settings. The functions' reference is taken out of the headers by the
# kernel's own kernel-doc: QUARRY_KERNEL_SOURCE= names a kernel source of 6.1 to
# 6.12. Without it the pages refer to the headers instead.

import logging
import os
import sys

from docutils import nodes
from docutils.parsers.rst import Directive

here = os.path.dirname(os.path.abspath(__file__))
source = os.environ.get("QUARRY_KERNEL_SOURCE", "")
script = os.path.join(source, "scripts", "kernel-doc")

project = "Quarry"
copyright = "the Quarry authors"
master_doc = "index"
exclude_patterns = []
html_theme = "alabaster"
html_theme_options = {"page_width": "60em", "nosidebar": False}
highlight_language = "none"
primary_domain = "c"
c_id_attributes = ["__malloc"]

extensions = []
if source and os.path.exists(script):
    sys.path.insert(0, os.path.join(source, "Documentation", "sphinx"))
    extensions.append("kerneldoc")
    kerneldoc_bin = script
    kerneldoc_srctree = os.path.dirname(here)
    os.environ["srctree"] = os.path.dirname(here)


class HeaderReference(Directive):
    """Stands in for kernel-doc where there is no kernel source."""

    required_arguments = 1
    optional_arguments = 4
    option_spec = {"identifiers": str, "internal": str, "doc": str}

    def run(self):
        text = "See " + self.arguments[0] + "."
        return [nodes.paragraph(text, text)]


def is_new_to_c(record):
    """A struct and a function of one name are two things in C, not to Sphinx 5."""
    return "Duplicate C declaration" not in record.getMessage()


logging.getLogger("sphinx.sphinx.domains.c").addFilter(is_new_to_c)


def setup(app):
    if "kerneldoc" not in extensions:
        app.add_directive("kernel-doc", HeaderReference)
