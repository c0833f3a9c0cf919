"""What the peers in Python share: their command line, and what they say."""

import asyncio
import inspect
import sys

CLOSE = (4001, "the zoo says bye ü")
PIECE = "0123456789" * 500
FRAGMENTS = [(PIECE, number == 9) for number in range(10)]  # and whether it is the last
BURST = [f"burst {number}" for number in range(500)]


def closed(code, reason):
    """Says how a connection ended."""
    print("closed", code, reason or "", flush=True)


def listening(port):
    print("port", port, flush=True)


def main(version, client, server=None):
    """Runs `version`, `client URL...` or `server`; either may be a coroutine function."""

    def run(function, *arguments):
        if inspect.iscoroutinefunction(function):
            asyncio.run(function(*arguments))
        else:
            function(*arguments)

    match sys.argv[1:]:
        case ["version"]:
            print(version)
        case ["client", *urls]:
            for url in urls:
                run(client, url)
        case ["server"] if server:
            run(server)
        case arguments:
            sys.exit(f"{sys.argv[0]} does not know {arguments}")
