#!/usr/bin/env bash
# Every workload of the harness, small: the results are exact with any number of shards and on either driver, and the
# benchmarks do not rot. Speed is not judged here: a shared machine has no opinion on it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --release --locked --package pelton-tools --bin pelton

small() { # small OPTION...
    local lines
    lines=$(target/release/pelton bench --events 200000 --rate 20000 --warmup 0.2 --duration 0.5 --json "$@")
    python3 -c '
import json, sys
for line in sys.stdin:
    run = json.loads(line)
    print("{workload:14} {events:>8} events {result_rows:>8} rows  {checksum}".format(**run))
' <<<"$lines"
}

drivers=(threads)
if python3 -B ci/io_uring.py >/dev/null; then
    drivers+=(glommio)
else
    echo "without the glommio driver: io_uring is $(python3 -B ci/io_uring.py || true)"
fi
for driver in "${drivers[@]}"; do
    for shards in 1 3; do
        echo "driver $driver, $shards shards"
        PELTON_DRIVER=$driver small --shards "$shards"
    done
done
