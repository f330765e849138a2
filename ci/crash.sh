#!/usr/bin/env bash
# The real program, killed at random moments under load: every record that it acknowledged counts once, with each durability and on each
# driver. A failure prints its seed and keeps what it found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --profile unlinked --locked --package pelton-tools --bin pelton

crash() { target/unlinked/pelton selftest crash --seconds-max 20 "$@"; }

if python3 -B ci/io_uring.py >/dev/null; then
    crash --driver glommio --cycles 20
else
    echo "without the glommio driver: io_uring is $(python3 -B ci/io_uring.py || true)"
fi
# No two share an inlet: each is in order, and no record may be late.
crash --driver threads --cycles 5 --producers 2
