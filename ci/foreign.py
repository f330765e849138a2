"""Checks that no file under the folder given declares a foreign function or holds assembler: the core calls only Rust."""

import sys
from pathlib import Path

import rust_source


def main(folder):
    faults = [
        f"{path}:{number}: a foreign function or assembler"
        for path in sorted(Path(folder).rglob("*.rs"))
        for number in rust_source.lines_with(r"\bextern\b(?!\s+crate\b)|\blink\s*\(|_?asm\s*!", path.read_text())
    ]
    for fault in faults:
        print(f"purity: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
