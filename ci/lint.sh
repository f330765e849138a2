#!/usr/bin/env bash
# No lint of the workspace's one table (Cargo.toml) fires anywhere: libraries, tests, examples, benches.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo clippy --locked --workspace --all-targets -- -D warnings
