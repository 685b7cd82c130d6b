"""Text in Markdown."""

import re


def plain(text: str) -> str:
    """Text that Markdown and HTML leave as it is: names and errors come from files."""
    escaped = re.sub(r"([\\`*_\[\]|#!])", r"\\\1", text)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")
