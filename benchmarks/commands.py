"""What a command costs before it does anything: its CPU time beside that of a bare interpreter.

`python -m benchmarks.commands` writes the section of RESULTS.md. All take turns in one run, so
that what the machine does meanwhile hits all of them; the median of each counts. The listener that
`healthcheck` asks is a process of its own, whose time does not count.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.results import machine, table, verdict, write

TURNS = 20
BARE = (sys.executable, "-c", "pass")
EXPORTER = str(Path(sys.executable).parent / "helpscout-exporter")
LISTENER = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"healthy\\n")
    def log_message(self, *_):
        pass
server = HTTPServer(("127.0.0.1", 0), Answer)
print(server.server_port, flush=True)
server.serve_forever()
"""
COMMANDS: dict[str, tuple[tuple[str, ...], float | None]] = {
    "healthcheck": (("healthcheck",), 12),
    "healthcheck, with a file": (("healthcheck", "--config", "config.yml"), 12),
    "--version": (("--version",), 22),
    "--help": (("--help",), 22),
    "backfill --help": (("backfill", "--help"), None),
    "plan": (("plan",), None),
    "serve, to a configuration that is refused": (("serve", "--config", "missing.yml"), None),
}


def cpu_seconds(command: tuple[str, ...], folder: str, environ: dict[str, str]) -> float:
    """Return the user and system time that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and write."""
    listener = subprocess.Popen([sys.executable, "-c", LISTENER], stdout=subprocess.PIPE, text=True)
    with tempfile.TemporaryDirectory() as folder, listener:
        assert listener.stdout
        address = f"127.0.0.1:{listener.stdout.readline().strip()}"
        (Path(folder) / "config.yml").write_text(f'web: {{listen: "{address}"}}\n')
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HELPSCOUT_")}
        environ = kept | {"HELPSCOUT_API_KEY": "a", "HELPSCOUT_WEB__LISTEN": address}
        ours = {name: (EXPORTER, *words) for name, (words, _) in COMMANDS.items()}
        times: dict[str, list[float]] = {name: [] for name in ("bare", *ours)}
        for _ in range(TURNS):
            for name, command in {"bare": BARE, **ours}.items():
                times[name].append(cpu_seconds(command, folder, environ))
        listener.terminate()
    medians = {name: statistics.median(values) for name, values in times.items()}
    bare = medians.pop("bare")
    rows = [("python -c pass", f"{bare * 1000:.0f} ms", "1.0 x", "", "")]
    for name, seconds in medians.items():
        ratio, target = seconds / bare, COMMANDS[name][1]
        said = ("", "") if target is None else (f"{target:g} x", verdict(ratio, target))
        rows.append((name, f"{seconds * 1000:.0f} ms", f"{ratio:.1f} x", *said))
    text = f"{machine('typer', 'pydantic', 'PyYAML')}\n\nCPU time, median of {TURNS}.\n\n"
    write("Commands", text + table(("command", "CPU", "beside bare", "at most", ""), rows))


if __name__ == "__main__":
    main()
