#!/usr/bin/env bash
# The tree is formatted as rustfmt.toml says, and nothing stands at its top that does not belong there, such as what a tool has left behind.
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
