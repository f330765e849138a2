#!/usr/bin/env bash
# The tests, by the command that README.md gives: unit, integration and documentation tests of every crate.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo test
