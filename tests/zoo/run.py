#!/usr/bin/env python3
"""Clients and servers that others wrote, against ours: one table of what works.

    run.py [--quick] [--write] [NAME...]

Runs the peers of `zoo_peers.py` that this machine has, or those that are named; with --quick only
those that pip, npm and cargo install, and the JDK. Installs into target/zoo (or
$CARGO_TARGET_DIR/zoo). Prints the table, with --write also into README.md.

The exit code is 1 if a cell is not as it is expected to be: a fault, or a fault less. A peer that
is not there is named as NOT RUN, and in target/zoo/not-run.txt.
"""

import datetime
import filecmp
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target")).resolve() / "zoo"
CASES = (
    "text binary sizes pipelined fragments their-fragments ping their-ping close their-close"
    " takeover alone compressed-fragments"
).split()
SOCKET_ONLY = {"fragments"}  # the event server has no call that sends them
PORT_OF = {  # the others are without compression
    "takeover": "Allowed",
    "alone": "Forbidden",
    "compressed-fragments": "Allowed",
}
OUR_CLOSE = "closed 4002 sansws says bye ü"
PATIENCE = 40  # seconds that a peer may take for all cases

os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # for the peers; and for this program:
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))
import zoo_peers  # noqa: E402


class Process:
    """A child whose lines can be waited for."""

    def __init__(self, command, env=None):
        self.child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **(env or {})},
            cwd=TARGET,
        )
        self.lines, self.errors, self.fresh = [], [], queue.Queue()
        self.threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=lambda: self.errors.extend(self.child.stderr), daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.append(line.rstrip("\n"))
            self.fresh.put(line)

    def wait_for(self, wanted, seconds):
        """The first line that `wanted` is true of, or None."""
        until = time.monotonic() + seconds
        while True:
            found = next((line for line in list(self.lines) if wanted(line)), None)
            if found is not None or time.monotonic() > until:
                return found
            if self.child.poll() is not None and not self.threads[0].is_alive():
                return next((line for line in self.lines if wanted(line)), None)
            try:
                self.fresh.get(timeout=0.1)
            except queue.Empty:
                pass

    def finish(self, seconds):
        """Waits until it ends, or ends it; says whether it did by itself."""
        try:
            self.child.wait(seconds)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
            self.child.kill()
            self.child.wait()
        for thread in self.threads:
            thread.join(5)
        return ended

    def complaint(self):
        lines = [line.strip() for line in self.errors if line.strip()]
        return lines[-1][:200] if lines else "no word why"


def install():
    """What pip and npm install, and our program. A copy of the pins is the last thing written."""
    TARGET.mkdir(parents=True, exist_ok=True)
    venv, modules = TARGET / "venv", TARGET / "node_modules"
    if not same(HERE / "requirements.txt", venv / "installed.txt"):
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [venv / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", HERE / "requirements.txt"], check=True, timeout=300)
        shutil.copy(HERE / "requirements.txt", venv / "installed.txt")
    if not same(HERE / "package.json", modules / "installed.json"):
        shutil.rmtree(modules, ignore_errors=True)
        shutil.copy(HERE / "package.json", TARGET / "package.json")
        options = ["--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(
            ["npm", "install", "--prefix", TARGET, *options], check=True, timeout=300
        )
        shutil.copy(HERE / "package.json", modules / "installed.json")
    cargo = ["cargo", "build", "--quiet", "--manifest-path", HERE / "Cargo.toml"]
    subprocess.run([*cargo, "--target-dir", TARGET / "build"], check=True)


def same(one, other):
    return other.exists() and filecmp.cmp(one, other, shallow=False)


class Ours:
    """Our servers, each on its port, and what they say about connections."""

    def __init__(self, program):
        self.process = Process([program, "serve"])
        if not self.process.wait_for(lambda line: line == "ready", 20):
            raise SystemExit(f"our servers do not start: {self.process.complaint()}")
        self.ports = {}
        for line in self.process.lines:
            if line.startswith("port\t"):
                _, end, takeover, port = line.split("\t")
                self.ports[end, takeover] = port

    def url(self, end, peer, case):
        port = self.ports[end, PORT_OF.get(case, "Off")]
        return f"ws://127.0.0.1:{port}/{peer}/{case}"

    def result(self, end, peer, case, seconds):
        start = f"{end}\t{peer}\t{case}\t"
        line = self.process.wait_for(lambda line: line.startswith(start), seconds)
        return line and line[len(start) :]


def as_client(peer, ours, end):
    """Every case; one that ends the peer early leaves the rest for the peer started again."""
    results, left = {}, [case for case in CASES if end == "socket" or case not in SOCKET_ONLY]
    while left:
        urls = [ours.url(end, peer.name, case) for case in left]
        process = Process([*peer.command, "client", *urls], peer.env)
        ended = process.finish(PATIENCE)
        while left:
            case = left.pop(0)
            # the last results may come after the end of the peer
            result = ours.result(end, peer.name, case, 3)
            if result is None:
                why = process.complaint() if ended else f"not finished after {PATIENCE} s"
                results[case] = f"it did not get that far: {why}"
                break
            if result == "ok" and case == "close" and OUR_CLOSE not in process.lines:
                said = [line for line in process.lines if line.startswith("closed")]
                result = f"it did not see our code and reason: {said}"
            results[case] = result
    return results


def as_server(peer, program):
    process = Process([*peer.command, "server"], peer.env)
    try:
        line = process.wait_for(lambda line: line.startswith("port "), 20)
        if not line:
            return {case: f"it does not start: {process.complaint()}" for case in CASES}
        call = Process([program, "call", f"ws://127.0.0.1:{line.split()[1]}"])
        call.finish(PATIENCE)
        results = {case: "our client did not get that far" for case in CASES}
        for line in call.lines:
            _, _, case, result = line.split("\t")
            results[case] = result
        if results["close"] == "ok" and not process.wait_for(lambda line: line == OUR_CLOSE, 5):
            said = [line for line in process.lines if line.startswith("closed")]
            results["close"] = f"it did not see our code and reason: {said}"
        return results
    finally:
        process.child.kill()
        process.finish(5)


def run(peer, ours, program):
    """The results of each role, or why there are none."""
    try:
        peer.prepare(TARGET)
        if not peer.package:
            version = Process([*peer.command, "version"], peer.env)
            version.finish(60)
            if version.child.returncode or not version.lines:
                raise zoo_peers.NotThere(version.complaint())
            peer.version = version.lines[-1].strip()
        roles = {}
        if "client" in peer.roles:
            both = {end: as_client(peer, ours, end) for end in ("events", "socket")}
            roles["client"] = {case: both_ends(both, case) for case in CASES}
        if "server" in peer.roles:
            roles["server"] = as_server(peer, program)
        return roles
    except zoo_peers.NotThere as reason:
        return str(reason)


def both_ends(both, case):
    said = {end: results.get(case, "ok") for end, results in both.items()}
    faults = {end: fault for end, fault in said.items() if fault != "ok"}
    ends = 1 if case in SOCKET_ONLY else len(both)
    if len(set(faults.values())) == 1 and len(faults) == ends:
        return next(iter(faults.values()))
    return "; ".join(f"{end}: {fault}" for end, fault in faults.items()) or "ok"


def table(done):
    """The table in Markdown, and what is not as expected."""
    lines = ["| peer | version | as | " + " | ".join(CASES) + " |"]
    lines.append("|---" * (3 + len(CASES)) + "|")
    notes, surprises = [], []
    for peer, roles in done:
        for role, results in roles.items():
            cells = []
            for case in CASES:
                expected = peer.expected(role, case)
                fault = None if results[case] == "ok" else results[case]
                if fault and not expected:
                    surprises.append(f"{peer.name} as {role}, {case}: {fault}")
                    cells.append("**FAIL**")
                elif expected and not fault:
                    surprises.append(f"{peer.name} as {role}, {case}: works, expected: {expected}")
                    cells.append("**works**")
                elif fault:
                    print(f"expected: {peer.name} as {role}, {case}: {fault}")
                    if expected not in notes:
                        notes.append(expected)
                    cells.append(f"[{notes.index(expected) + 1}]")
                else:
                    cells.append("yes")
            lines.append(f"| {peer.title} | {peer.version} | {role} | " + " | ".join(cells) + " |")
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1))]
    return "\n".join(lines), surprises


def write(text, absent):
    readme = HERE / "README.md"
    start, end = "<!-- written by run.py --write -->", "<!-- until here -->"
    before, rest = readme.read_text().split(start)
    after = rest.split(end)[1]
    date = datetime.date.today().strftime("%-d %B %Y")
    machine = f"{os.uname().sysname}, {os.cpu_count()} cores"
    head = f"Run on {date} ({machine})."
    if absent:
        head += " Not run: " + "; ".join(absent) + "."
    readme.write_text(f"{before}{start}\n{head}\n\n{text}\n{end}{after}")


def main(arguments):
    names = [name for name in arguments if not name.startswith("-")]
    quick, writes = "--quick" in arguments, "--write" in arguments
    peers = zoo_peers.PEERS
    if unknown := set(names) - {peer.name for peer in peers}:
        raise SystemExit(f"there is no peer {', '.join(unknown)}")
    peers = [p for p in peers if (p.name in names if names else p.quick or not quick)]
    install()
    program = TARGET / "build/debug/zoo"
    ours = Ours(program)
    try:
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda peer: run(peer, ours, program), peers))
    finally:
        ours.process.child.kill()
        ours.process.finish(5)
    both = list(zip(peers, outcomes))
    absent = [f"{peer.name} ({reason})" for peer, reason in both if isinstance(reason, str)]
    done = [(peer, roles) for peer, roles in both if isinstance(roles, dict)]
    text, surprises = table(done)
    print(text)
    for peer in absent:
        print(f"NOT RUN: {peer}")
    (TARGET / "not-run.txt").write_text("".join(f"{peer}\n" for peer in absent))
    if writes:
        write(text, absent)
    for surprise in surprises:
        print(f"NOT AS EXPECTED: {surprise}")
    return 1 if surprises or not done else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
