"""Sphinx: the documents as pages that fetch nothing from elsewhere (`make docs`)."""

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "lus"
extensions = ["myst_parser"]
# Links stand as they do in the repository, so the documents at its top belong to the pages too.
root_doc = "docs/index"
include_patterns = ["docs/*.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"]
source_suffix = {".md": "markdown"}
html_theme = "alabaster"
html_theme_options = {
    "description": "A model registry project for lung-ultrasound video classification",
    "page_width": "1100px",
}
html_copy_source = False
html_show_sphinx = False
highlight_language = "none"
myst_heading_anchors = 3


def setup(app: Sphinx) -> None:
    """Show Mermaid's drawings as the text that they are: its script would have to be fetched."""
    app.add_lexer("mermaid", TextLexer)
