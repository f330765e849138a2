#!/usr/bin/env bash
# Cargo.lock is up to date, every dependency is listed with its reason and licence, and the layers go one way.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python3 -B ci/dependencies.py
