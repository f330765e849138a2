#!/usr/bin/env bash
# The API documentation builds without a warning: no broken link, no public item left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
