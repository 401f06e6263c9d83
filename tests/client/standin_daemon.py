"""`python -m standin_daemon start`: what a daemon does at its start, as far as a client sees it.

It takes the home's lock, answers /healthz and writes daemon.json; every start is noted in the file
`starts`. How it misbehaves: --die (an error document, exit 2), --mute (lives, never answers).
"""

import fcntl
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # noqa: N802
        body = b'{"status":"ok","version":"9.9.9"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def main() -> None:
    home = Path(os.environ["TAU_HOME"])
    with open(home / "starts", "a", encoding="ascii") as starts:
        starts.write(f"{os.getpid()} {' '.join(sys.argv[1:])} {os.getcwd()}\n")
    if "--die" in sys.argv:
        print("a line before")  # noqa: T201
        print(json.dumps({"error": {"code": "config.invalid", "message": "Port 1 is taken."}}))  # noqa: T201
        sys.exit(2)
    if "--mute" in sys.argv:
        time.sleep(60)
    lock = open(home / "daemon.lock", "w", encoding="ascii")  # noqa: SIM115
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    server = HTTPServer(("127.0.0.1", 0), _Health)
    port = server.server_address[1]
    facts = {"pid": os.getpid(), "host": "127.0.0.1", "port": port}
    facts |= {"url": f"http://127.0.0.1:{port}", "version": "9.9.9", "started_at": "2026-11-20"}
    (home / "daemon.json.new").write_text(json.dumps(facts), encoding="ascii")
    (home / "daemon.json.new").rename(home / "daemon.json")
    server.serve_forever()


if __name__ == "__main__":
    main()
