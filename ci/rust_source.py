"""Reads Rust source just far enough to tell code from comments and literals, for the checks beside this file."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# In this order: a raw string may hold quotes, a string may hold `//`, a comment may hold anything.
_NOT_CODE = re.compile(
    r"""
      r(?P<hashes>\#*)"(?:.|\n)*?"(?P=hashes)     # raw string
    | "(?:\\(?:.|\n)|[^"\\])*"                    # string
    | '(?:\\.[^']*|[^'\\])'                       # character, but not a lifetime
    | //[^\n]*                                    # line comment, documentation included
    | /\*(?:.|\n)*?\*/                            # block comment
    """,
    re.VERBOSE,
)


def code(text):
    """The text with comments and literals blanked; lines keep their numbers."""
    return _NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def examples(text):
    """The code of the examples in documentation."""
    found, inside = [], False
    for line in re.findall(r"^\s*//[/!] ?(.*)$", text, re.MULTILINE):
        if line.startswith("```"):
            inside = not inside
        elif inside:
            found.append(line)
    return "\n".join(found)


def files(folder="."):
    """Every Rust file under `folder`, as paths relative to the root, in order."""
    found = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.rs"))
    return sorted(path for path in found if path.parts[0] not in ("target", ".git"))


def lines_with(pattern, text):
    """The numbers of the lines of code, counted from 1, on which the pattern occurs."""
    return [number for number, line in enumerate(code(text).splitlines(), 1) if re.search(pattern, line)]
