"""The peers of the zoo: how each is started, and what is known not to work, and why."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

PEERS_DIR = Path(__file__).resolve().parent / "peers"

NO_COMPRESSION = "It has no permessage-deflate."
NO_PING = "It has no way to send a Ping (the API of browsers)."
NO_FRAGMENTS = "It has no way to send a message in fragments."


ALONE = "It compresses each message on its own, although it may keep a context: its choice."
PLAIN_ANSWER = (
    "Its fault: asked for `server_no_context_takeover`, it answers `permessage-deflate` without a"
    " parameter, and as a client keeps the context that the answer forbids (RFC 7692 §7.1.1)."
)
NO_PARAMETERS = PLAIN_ANSWER + (
    " `_parse_header` of its `httputil` drops parameters that have no value."
)
FORGETS = (
    "Its fault: a Ping between the fragments of a compressed message (RFC 6455 §5.4) makes it take the"
    " message as one that is not compressed. `_receive_frame` of its `websocket` looks at RSV1 of"
    " every frame that is not a continuation."
)
GORILLA = "It insists on both `no_context_takeover`, so `alone` is all there is."
HINT = "Its offer has `client_no_context_takeover`, and our server takes it up: as `alone`."
BOM = "Its fault: it takes a byte order mark from the beginning of a text. Browsers leave it."
ONE_WAY = "It inflates what comes, and compresses nothing that it sends."
LWS = (
    "Its faults: version 4.1.6 as a client calls back for ever with a message that came without"
    " compression where compression was agreed on (its issue 2794), which RFC 7692 §6 allows, and in"
    " both roles aborts in its own compressor, `want to trim out length 0`, at"
    " extension-permessage-deflate.c:471, when it has an empty message to compress."
)


class NotThere(Exception):
    """Why a peer cannot be run here."""


@dataclass
class Peer:
    name: str
    title: str
    roles: tuple
    start: list  # a command; TARGET stands for the folder of what is installed
    quick: bool = False
    known: dict = field(default_factory=dict)  # "role case" or "case": why it does not work
    build: list | None = None  # a command that makes the program
    package: str | None = None  # the Debian package that has the version; else the peer says it
    needs: str | None = None  # a program beside the one that starts
    env: dict = field(default_factory=dict)
    command: list = field(default_factory=list)
    version: str = "?"

    def prepare(self, target):
        """Finds or compiles the program, or raises `NotThere`."""

        def place(words):
            return [word.replace("TARGET", str(target)) for word in words]

        if self.package:
            query = ["dpkg-query", "-W", "-f", "${Version}", self.package]
            if not shutil.which(query[0]):
                raise NotThere("which comes from Debian")
            found = subprocess.run(query, capture_output=True, text=True)
            if found.returncode or not found.stdout:
                raise NotThere(f"{self.package} is not installed")
            self.version = found.stdout.strip()
        self.command = place(self.start)
        self.env = {name: value.replace("TARGET", str(target)) for name, value in self.env.items()}
        if self.build:
            command = place(self.build)
            if not shutil.which(command[0]):
                raise NotThere(f"there is no {command[0]}")
            env = {**os.environ, **self.env}
            made = subprocess.run(command, capture_output=True, text=True, timeout=180, env=env)
            if made.returncode:
                lines = made.stderr.strip().splitlines()
                raise NotThere(next((l for l in lines if "error" in l), lines[0] if lines else "?"))
        for program in filter(None, [self.command[0], self.needs]):
            if not shutil.which(program):
                raise NotThere(f"there is no {program}")

    def expected(self, role, case):
        return self.known.get(f"{role} {case}") or self.known.get(case)


def known(reason, *cases):
    return dict.fromkeys(cases, reason)


def python(name, script, roles, **rest):
    start = ["TARGET/venv/bin/python", str(PEERS_DIR / script)]
    return Peer(name, f"{name} (Python)", roles, start, quick=True, **rest)


def node(name, script, roles, **rest):
    env = {"ZOO_NODE": "TARGET"}
    start = ["node", str(PEERS_DIR / script)]
    return Peer(name, f"{name} (Node)", roles, start, quick=True, env=env, **rest)


def rust(name):
    start = ["TARGET/build/debug/zoo", "peer", name]
    return Peer(name, f"{name} (Rust)", BOTH, start, quick=True, known=PLAIN)


def browser(program, title):
    start = ["python3", str(PEERS_DIR / "browser.py"), program]
    cannot = known(NO_PING, "their-ping") | WHOLE
    return Peer(title.lower(), title, CLIENT, start, needs=program, known=cannot)


def go(name, title, package, **rest):
    env = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": "TARGET/go-cache"}
    build = ["go", "build", "-o", f"TARGET/{name}", f"{PEERS_DIR}/{name}/main.go"]
    start = [f"TARGET/{name}"]
    return Peer(name, title, BOTH, start, build=build, package=package, env=env, **rest)


BOTH = ("client", "server")
CLIENT = ("client",)
PLAIN = known(NO_COMPRESSION, "takeover", "alone", "compressed-fragments")
WHOLE = known(NO_FRAGMENTS, "their-fragments")

PEERS = [
    python("websocket-client", "websocket_client.py", CLIENT, known=PLAIN),
    python("aiohttp", "aiohttp_peer.py", BOTH, known=WHOLE),
    python(
        "tornado",
        "tornado_peer.py",
        BOTH,
        known=known(NO_PARAMETERS, "alone") | known(FORGETS, "compressed-fragments") | WHOLE,
    ),
    python("autobahn", "autobahn_peer.py", BOTH, known=known(HINT, "client takeover")),
    python("picows", "picows_peer.py", BOTH, known=PLAIN),
    node("WebSocket-Node", "websocket_node.mjs", BOTH, known=PLAIN),
    node("faye-websocket", "faye.mjs", BOTH, known=WHOLE),
    node(
        "undici",
        "undici.mjs",
        CLIENT,
        known=known(NO_PING, "their-ping")
        | WHOLE
        | known(BOM, "text")
        | known(ONE_WAY, "takeover", "alone"),
    ),
    Peer(
        "java.net.http",
        "java.net.http (JDK)",
        CLIENT,
        ["java", "-cp", "TARGET/java", "Jdk"],
        quick=True,
        known=PLAIN,
        build=["javac", "-d", "TARGET/java", str(PEERS_DIR / "Jdk.java")],
    ),
    rust("tungstenite"),
    rust("tokio-tungstenite"),
    rust("fastwebsockets"),
    rust("tokio-websockets"),
    browser("firefox-esr", "Firefox"),
    browser("chromium", "Chromium"),
    go(
        "gorilla",
        "gorilla/websocket (Go)",
        "golang-github-gorilla-websocket-dev",
        known=known(GORILLA, "takeover"),
    ),
    go("nhooyr", "nhooyr.io/websocket (Go)", "golang-nhooyr-websocket-dev"),
    Peer(
        "libwebsockets",
        "libwebsockets (C)",
        BOTH,
        ["TARGET/libwebsockets"],
        build=["cc", "-o", "TARGET/libwebsockets", f"{PEERS_DIR}/libwebsockets.c", "-lwebsockets"],
        package="libwebsockets-dev",
        known=known(LWS, "takeover", "alone", "compressed-fragments"),
    ),
    Peer(
        "beast",
        "Boost.Beast (C++)",
        BOTH,
        ["TARGET/beast"],
        build=["c++", "-O1", "-o", "TARGET/beast", f"{PEERS_DIR}/beast.cpp", "-lpthread"],
        package="libboost-dev",
        known=known(ALONE, "takeover"),
    ),
    Peer(
        "faye.rb",
        "faye-websocket (Ruby)",
        BOTH,
        ["ruby", f"{PEERS_DIR}/faye.rb"],
        package="ruby-faye-websocket",
        known=PLAIN | WHOLE,
    ),
    Peer(
        "mojolicious",
        "Mojolicious (Perl)",
        BOTH,
        ["perl", f"{PEERS_DIR}/mojolicious.pl"],
        package="libmojolicious-perl",
        known=known(PLAIN_ANSWER, "alone"),
    ),
]
