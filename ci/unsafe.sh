#!/usr/bin/env bash
# `unsafe` stands only in the files named in ci/unsafe-files.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python3 -B ci/unsafe.py
