#!/bin/sh
# Installs what the tests call besides Python and Rust: second opinions and a browser. Says what it cannot install.
set -u
missing=""
for pair in tshark:tshark zstd:zstd pigz:pigz chromium:chromium java:default-jre-headless; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -z "$missing" ] && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null && exit 0
fi
echo "not installed:$missing (tests that need them are skipped, each with its reason)" >&2
