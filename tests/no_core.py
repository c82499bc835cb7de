"""Run where the package was installed without a Rust toolchain: it must say so once, and still find the upload. Prints `1 passed, 0 failed`."""

import json
import subprocess
import sys
from importlib.util import find_spec


def main() -> int:
    if find_spec("netexfil._core") is not None:
        print("the core is installed: this does not show what it should")
        return 1
    words = [sys.executable, "-m", "netexfil", "pcaps/test1-rclone-sftp.pcap", "--join", "pcaps/endpoint/test1-rclone-sftp.jsonl", "--format", "jsonl"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    print(done.stderr, end="")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    good = (
        done.returncode == 0
        and done.stderr.count("portable") == 1
        and any(f["severity"] in ("medium", "high", "critical") and f["destination"]["ips"] == ["192.0.2.1"] for f in found)
    )
    print("1 passed, 0 failed" if good else f"0 passed, 1 failed: exit {done.returncode}, {len(found)} findings")
    return 0 if good else 1


sys.exit(main())
