"""What the site shows beside docs/: documents from elsewhere in the checkout, and the reference.

A hook of mkdocs. Links are written as they work in the checkout (`docs/pairs.md` in the README,
`../CONTRIBUTING.md` in docs/); here each becomes the link to the page of that file, and one to a
file that has no page is refused, as is a page that would fetch anything from elsewhere.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "overpaint"
# Documents that lie elsewhere -> the page that shows them.
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "NOTICE": "notice.md",
    "benchmarks/README.md": "benchmarks.md",
    "src/overpaint/models/nano/README.md": "nano-card.md",
}
SOURCE_OF = {page: source for source, page in ELSEWHERE.items()}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(?=[)#])")
FETCHED = re.compile(
    r"<(?:script|img|iframe|link rel=.?stylesheet)\b[^>]*(?:src|href)=.?(?:https?:)?//"
)
FENCE = re.compile(r"^(```.*?^```[^\n]*\n?)", re.M | re.S)
INTRODUCTION = """\
# Python API

Two names are the front door, `from overpaint import Editor, UserError`: [Editor][overpaint.editing.Editor]
edits pictures, and [UserError][overpaint.errors.UserError] is what every mistake of the user's raises. All
else is reached by its module, and may change between minor versions before 1.0.

## Packages

"""


def rooms() -> list[str]:
    """The packages directly below overpaint, without that of the commands."""
    found = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    return sorted(set(found) - {"cli"})


def modules() -> list[str]:
    """The modules directly below overpaint, on which the packages stand."""
    return sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("_"))


def on_config(config: Any) -> Any:
    """List the pages of the reference in the navigation."""
    reference: list[dict[str, str]] = [{"Overview": "api/index.md"}]
    reference += [{room: f"api/{room}.md"} for room in rooms()]
    reference.append({"ground modules": "api/ground.md"})
    for entry in config.nav:
        if "Python API" in entry:
            entry["Python API"] = reference
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add the documents from elsewhere, and a page of the reference for each package."""
    for source, page in ELSEWHERE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if not source.endswith(".md"):
            text = f"# {source.title()}\n\n```text\n{text}```\n"
        files.append(File.generated(config, page, content=text))
    listed = "".join(f"- [overpaint.{room}]({room}.md)\n" for room in rooms())
    listed += "- [ground modules](ground.md), on which all of these stand\n"
    files.append(File.generated(config, "api/index.md", content=INTRODUCTION + listed))
    for room in rooms():
        files.append(
            File.generated(
                config,
                f"api/{room}.md",
                content=f"::: overpaint.{room}\n    options: {{heading_level: 1}}\n",
            )
        )
    ground = "".join(f"::: overpaint.{name}\n" for name in modules())
    files.append(File.generated(config, "api/ground.md", content=f"# Ground modules\n\n{ground}"))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Turn each link to a file of the checkout into one to its page."""
    if page.file.src_uri.startswith("api/"):
        return markdown
    source = SOURCE_OF.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    parts = FENCE.split(markdown)  # every second part is a block of code
    parts[::2] = [LINK.sub(lambda found: _page_of(found[1], source), text) for text in parts[::2]]
    return "".join(parts)


def on_post_page(output: str, *, page: Any, config: Any) -> str:
    """Refuse a page that needs a network to be shown."""
    if found := FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri} fetches from elsewhere: {found[0]}")
    return output


def _page_of(link: str, source: str) -> str:
    """The link, seen from the page of `source`, which lies at the top of the site."""
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if not (ROOT / file).exists():
        raise PluginError(f"{source} links to {link}, which does not exist")
    if file in ELSEWHERE:
        return ELSEWHERE[file]
    if file.startswith("docs/"):
        return file.removeprefix("docs/")
    raise PluginError(
        f"{source} links to {link}, which has no page on the site (tools/site_pages.py)"
    )
