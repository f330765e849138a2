#!/usr/bin/env bash
# No page links to what is not there, and the API documentation builds without a warning: no broken link, no public item left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python3 -B ci/links.py
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
