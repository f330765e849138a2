#!/usr/bin/env bash
# The tree is formatted as rustfmt.toml says, nothing stands at its top that does not belong there, such as what a tool has left behind, and no file
# has more than LINES_MAX lines of code unless ci/large-files.txt says why.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo fmt --all --check

shopt -s nullglob
for entry in *; do
    case $entry in
        Cargo.toml | Cargo.lock | LICENSE | README.md | rust-toolchain.toml | rustfmt.toml) ;;
        engine | storage | bench | tools | docs | ci | target) ;;
        *)
            echo "$entry: what is it doing at the top of the tree?" >&2
            exit 1
            ;;
    esac
done

LINES_MAX=400
# Lines before the tests of a file; files of tests, examples and fuzz targets are not counted.
large=$(find bench engine storage tools -name '*.rs' -not -path '*/target/*' | grep -vE '/tests/|tests\.rs$|_tests/|/examples/|^tools/fuzz/' | while read -r file; do
    lines=$(awk '/^#\[cfg\((all\()?test/ { exit } { n++ } END { print n + 0 }' "$file")
    if ((lines > LINES_MAX)); then echo "$file"; fi
done | sort)
known=$(sed -e '/^#/d' -e 's/ .*//' ci/large-files.txt | sort)
if ! diff <(echo "$known") <(echo "$large"); then
    echo "files of more than $LINES_MAX lines (>) without a reason in ci/large-files.txt, or reasons (<) without such a file" >&2
    exit 1
fi
