"""Checks that `unsafe` stands only in the files that ci/unsafe-files.txt names."""

import sys

import rust_source

LIST = rust_source.ROOT / "ci/unsafe-files.txt"


def check(sources, named):
    """`sources`: path -> text; `named`: path -> reason. Every fault, as one line of text each."""
    for path, text in sources.items():
        lines = rust_source.lines_with(r"\bunsafe\b", text)
        if lines and path not in named:
            yield f"{path}:{lines[0]}: unsafe in a file that ci/unsafe-files.txt does not name"
        if path in named and not lines:
            yield f"{path}: named in ci/unsafe-files.txt, but there is no unsafe in it any more"
    for path, reason in named.items():
        if path not in sources:
            yield f"{path}: named in ci/unsafe-files.txt, but there is no such file"
        if not reason:
            yield f"{path}: ci/unsafe-files.txt gives no reason"


def canary():
    """Must fail for each of these, and pass for the last."""
    block = "fn f() { unsafe { g() } }"
    talk = '// unsafe\n/* unsafe */ fn f<\'a>(x: &\'a str) -> bool { x == "unsafe" && x != r#"un"safe unsafe"# && \'"\' == q }'
    return [
        not list(check({"a.rs": block}, {})),
        not list(check({"a.rs": talk}, {"a.rs": "why"})),
        not list(check({}, {"a.rs": "why"})),
        not list(check({"a.rs": block}, {"a.rs": ""})),
        bool(list(check({"a.rs": block, "b.rs": talk}, {"a.rs": "why"}))),
    ]


def main():
    named = {}
    for line in LIST.read_text().splitlines():
        if line and not line.startswith("#"):
            path, _, reason = line.partition(" ")
            named[path] = reason.strip()
    sources = {str(path): (rust_source.ROOT / path).read_text() for path in rust_source.files()}
    faults = list(check(sources, named))
    for fault in faults:
        print(f"unsafe: {fault}", file=sys.stderr)
    broken = canary()
    if any(broken):
        print(f"unsafe: the check itself is broken: canary {broken.index(True)} went wrong", file=sys.stderr)
    print(f"unsafe in {len(named)} of {len(sources)} files")
    return 1 if faults or any(broken) else 0


if __name__ == "__main__":
    sys.exit(main())
