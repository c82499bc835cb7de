#!/bin/sh
# Installs the peers that come from the system's packages. Says what it cannot install; the tables name what was missing.
set -u
missing=""
for pair in softflowd:softflowd nfpcapd:nfdump argus:argus-server tshark:tshark mawk:mawk pigz:pigz suricata:suricata; do
    PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -z "$missing" ] && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    for package in $missing; do
        apt-get install -qq -y --no-install-recommends "$package" >/dev/null 2>&1 || echo "not installed: $package" >&2
    done
    exit 0
fi
echo "not installed:$missing" >&2
