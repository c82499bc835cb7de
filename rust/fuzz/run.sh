#!/bin/sh
# Fuzz every target for its share of SECONDS (default 60), starting from the seeds; non-zero on a crash.
# Usage: rust/fuzz/run.sh [SECONDS] [TARGET…]
# One stable toolchain is enough: RUSTC_BOOTSTRAP lets it take the flags that cargo-fuzz needs.
set -eu
cd "$(dirname "$0")"
seconds=${1:-60}
[ $# -gt 0 ] && shift
export RUSTC_BOOTSTRAP=1
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
targets=${*:-$(cargo fuzz list)}
share=$((seconds / $(echo "$targets" | wc -w)))
[ "$share" -gt 0 ] || share=1
# Everything is safe Rust: the overflow checks and assertions that stay on find what there is to find.
cargo fuzz build --sanitizer none >/dev/null
for target in $targets; do
    mkdir -p "corpus/$target"
    cargo fuzz run --sanitizer none "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$share" -max_len=8192 -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 2>&1 |
        grep -E 'stat::number_of_executed_units|ERROR|panicked|Test unit written' || true
    if [ -n "$(ls "artifacts/$target" 2>/dev/null)" ]; then
        echo "$target: crash in $(pwd)/artifacts/$target" >&2
        exit 1
    fi
done
