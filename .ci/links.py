#!/usr/bin/env python3
"""Checks the relative links and the anchors of the project's documents.

    .ci/links.py        prints each broken link as FILE:LINE, and ends with 1 if there is one

A link leads to a file of the repository; its anchor, if any, to a heading of that file. Two kinds of files must not lead outside: pages
of the guide, since the book holds only its own folder, and the README files of packages without the repository around them.
"""

import pathlib
import re
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs/guide"
# Read on crates.io and docs.rs, where relative links lead nowhere.
ALONE = [ROOT / "console/README.md", ROOT / "derive/README.md"]
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\s{0,3}\[[^\]]+\]:\s+<?(\S+?)>?\s*$")
SOURCE = re.compile(r"<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"]+)\"")


def prose(path):
    """The lines of a document with their numbers, without code."""
    fence = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and (fence is None or mark[1].startswith(fence)):
            fence = mark[1] if fence is None else None
        elif fence is None:
            yield number, line


def anchors(path):
    """The anchors of a document's headings, by the rule that GitHub and mdBook share."""
    found = {}
    for _, line in prose(path):
        heading = re.match(r"#{1,6}\s+(.*?)\s*#*\s*$", line)
        if heading:
            text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            count = found.get(slug, -1) + 1
            found[slug] = count
            yield f"{slug}-{count}" if count else slug


def fault(path, link):
    """What is wrong with a link in a document; None if nothing is."""
    parts = urllib.parse.urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = path if not parts.path else (path.parent / urllib.parse.unquote(parts.path)).resolve()
    if parts.path.startswith("/") or not target.is_relative_to(ROOT):
        return "leads out of the repository"
    if not target.exists():
        return "there is no such file"
    if path in ALONE and target != path:
        return "a relative link leads nowhere where this file is read"
    if path.is_relative_to(GUIDE) and not target.is_relative_to(GUIDE):
        return "leads out of the guide, whose book holds only docs/guide"
    if parts.fragment and target.suffix == ".md" and parts.fragment not in set(anchors(target)):
        return "there is no such heading"
    return None


def main():
    documents = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ALONE})
    links = faults = 0
    for path in documents:
        for number, line in prose(path):
            line = re.sub(r"`[^`]*`", lambda code: "x" * len(code[0]), line)
            for link in [*LINK.findall(line), *SOURCE.findall(line), *REFERENCE.findall(line)]:
                links += 1
                why = fault(path, link)
                if why:
                    faults += 1
                    print(f"{path.relative_to(ROOT)}:{number}: {link}: {why}", file=sys.stderr)
    pages = {page.name for page in GUIDE.glob("*.md")} - {"SUMMARY.md"}
    listed = set(re.findall(r"\]\(([^)]+)\)", (GUIDE / "SUMMARY.md").read_text(encoding="utf-8")))
    for page in sorted(pages ^ listed):
        faults += 1
        print(f"docs/guide/SUMMARY.md and docs/guide differ: {page}", file=sys.stderr)
    print(f"{len(documents)} documents, {links} links, {faults} broken")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
