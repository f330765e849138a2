"""Checks the links of every Markdown page: each relative one leads to a file that is there, and each #anchor to a heading of that page.

Anchors are made as GitHub makes them: the heading's text in lower case, without what is neither a letter, a digit, a blank, `-` nor `_`, blanks
as `-`, and `-1`, `-2` behind one that stands on the page already. Links to other sites are not looked at, and nothing within code is a link.
"""

import re
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"\s*(?:>\s*)*(`{3,}|~{3,})")
CODE = re.compile(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)")
HEADING = re.compile(r" {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
INLINE = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(\s*<?([^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)*)>?(?:\s+[\"'(][^)]*)?\s*\)")
DEFINITION = re.compile(r" {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)")
HTML = re.compile(r"<a\s[^>]*?\b(?:id|name)=[\"']([^\"']+)[\"']")


def plain_lines(text):
    """Each line with its number, without blocks of code and comments; lines of a paragraph that a link is broken over are not joined."""
    fence = None
    text = re.sub(r"<!--.*?-->", lambda comment: "\n" * comment.group().count("\n"), text, flags=re.DOTALL)
    for number, line in enumerate(text.splitlines(), 1):
        mark = FENCE.match(line)
        if fence is None and mark:
            fence = mark.group(1)
        elif fence is not None:
            if mark and mark.group(1).startswith(fence) and not line.strip().strip(fence[0]):
                fence = None
        else:
            yield number, line


def anchor(heading):
    """The name that GitHub gives a heading."""
    # What a link or code is shown as is part of the name, how it is made is not.
    text = re.sub(r"!?\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\([^)]*\)", r"\1", heading)
    text = re.sub(r"(?<!\\)[`*]", "", text).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(text):
    """All names that a link to the page may have behind the `#`."""
    names = set()
    for _, line in plain_lines(text):
        names.update(HTML.findall(line))
        if heading := HEADING.match(line):
            name, number = anchor(heading.group(1)), 0
            unique = name
            while unique in names:
                number += 1
                unique = f"{name}-{number}"
            names.add(unique)
    return names


def links(text):
    """Each link of the page, with the number of its line. A link may be broken over two lines: it counts on the first."""
    lines = list(plain_lines(text))
    joined, starts = "", []
    for number, line in lines:
        starts.append((len(joined), number))
        joined += line + "\n"
        if definition := DEFINITION.match(line):
            yield number, definition.group(1)
    joined = CODE.sub(lambda code: "`" + "x" * (len(code.group()) - 2) + "`", joined)
    for link in INLINE.finditer(joined):
        yield max(number for start, number in starts if start <= link.start()), link.group(1)


def check(pages, is_there):
    """`pages`: path -> text; `is_there`: whether a path of the repository exists. Every broken link, as one line of text each."""
    known = {}
    for path, text in pages.items():
        for number, link in links(text):
            if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//", link):
                continue
            target, _, name = link.partition("#")
            target, name = unquote(target), unquote(name)
            to = normal(Path(target.lstrip("/")) if target.startswith("/") else Path(path).parent / target) if target else path
            if to is None:
                yield f"{path}:{number}: {link} leads out of the repository"
            elif not is_there(to):
                yield f"{path}:{number}: {link}: there is no {to}"
            elif name and to in pages:
                if to not in known:
                    known[to] = anchors(pages[to])
                if name not in known[to]:
                    yield f"{path}:{number}: {link}: {to} has no heading #{name}"


def normal(path):
    """The path without `.` and `..`; none if it leads out of the repository."""
    parts = []
    for part in path.parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts) or "."


def canary():
    """Must find one fault in each of these, and none in the last."""
    page = "# Two words: `a_b`, and\n## More\n## More\n"
    bad = [
        "[a](gone.md)",
        "[a](b.md#gone)",
        "[a](#gone)",
        "[a](../../b.md)",
        "[a]: gone.md",
        "`[` [a\nb](gone.md)",
        "[a](b.md#more-2)",
        "```\n```\n[a](gone.md)",
    ]
    good = "\n".join(
        [
            "# Here",
            "[a](b.md) [a](b.md#two-words-a_b-and) [a](b.md#more-1) [a](#here) [a](https://gone) [a](/d/b.md) [`a`](b.md 'title')",
            "`[a](gone.md)` <!-- [a](gone.md) -->",
            "```text",
            "[a](gone.md)",
            "```",
        ]
    )
    there = {"d/a.md", "d/b.md"}.__contains__
    return [
        *(len(list(check({"d/a.md": text, "d/b.md": page}, there))) != 1 for text in bad),
        bool(list(check({"d/a.md": good, "d/b.md": page}, there))),
    ]


def main():
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    paths = sorted(str(path) for path in found if not {"target", ".git"} & set(path.parts))
    pages = {path: (ROOT / path).read_text() for path in paths}
    faults = list(check(pages, lambda path: (ROOT / path).exists()))
    for fault in faults:
        print(fault, file=sys.stderr)
    broken = canary()
    if any(broken):
        print(f"links: the check itself is broken: canary {broken.index(True)} went wrong", file=sys.stderr)
    print(f"{sum(len(list(links(text))) for text in pages.values())} links in {len(pages)} pages")
    return 1 if faults or any(broken) else 0


if __name__ == "__main__":
    sys.exit(main())
