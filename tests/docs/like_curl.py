"""The little of curl that the documents use, for machines that have none: -sS, --fail-with-body, -H, -X, -d, --data-binary."""

from __future__ import annotations

import argparse
import sys

import httpx2


def main() -> int:
    """Make one request and print its answer."""
    parser = argparse.ArgumentParser(prog="curl")
    parser.add_argument("url")
    parser.add_argument("-sS", action="store_true")
    parser.add_argument("--fail-with-body", action="store_true")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-X", dest="method")
    parser.add_argument("-d", "--data-binary", dest="data")
    asked = parser.parse_args()
    body = sys.stdin.buffer.read() if asked.data == "@-" else asked.data
    headers = dict(line.split(": ", 1) for line in asked.headers)
    method = asked.method or ("GET" if body is None else "POST")
    answer = httpx2.request(method, asked.url, content=body, headers=headers, timeout=30, trust_env=False)
    sys.stdout.write(answer.text)
    return 22 if asked.fail_with_body and answer.status_code >= 400 else 0


if __name__ == "__main__":
    sys.exit(main())
