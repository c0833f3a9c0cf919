"""Starts the Autobahn test suite: Python 2.7, inside the suite's own environment.

    suite.py version                 says which suite this is and how many cases it has
    suite.py client SPEC AGENT URL   runs the cases of SPEC against a server
    suite.py server SPEC             prints where it listens, runs them against any client

`wstest` could do most of this. It would also listen on every interface of the
machine, on a port fixed beforehand, and take any case it does not know for none.
"""

import json
import sys

from autobahntestsuite import choosereactor  # before anything else imports a reactor

import wsaccel  # without it, section 9 measures the suite and not the peer
import autobahntestsuite
from autobahntestsuite import fuzzing
from twisted.internet import reactor

assert choosereactor and wsaccel


def known_cases():
    cases = fuzzing.CaseSet(
        fuzzing.CaseSetname,
        fuzzing.CaseBasename,
        fuzzing.Cases,
        fuzzing.CaseCategories,
        fuzzing.CaseSubCategories,
    )
    return set(cases.CasesIndices)


def version():
    print("AutobahnTestSuite %s, %d cases" % (autobahntestsuite.version, len(known_cases())))


def load(path):
    with open(path) as file:
        spec = json.load(file)
    unknown = set(spec["cases"]) - known_cases()
    if unknown or not spec["cases"]:
        sys.exit("no such cases: %s" % " ".join(sorted(unknown)))
    return spec


def client(path, agent, url):
    fuzzing.startClient(dict(load(path), servers=[{"agent": agent, "url": url}]))  # stops the reactor after the last case
    reactor.run()


def server(path):
    spec = load(path)
    factory = fuzzing.FuzzingServerFactory(dict(spec, url="ws://127.0.0.1:1"))
    port = reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port
    url = "ws://127.0.0.1:%d" % port
    factory.setSessionParameters(url=url)
    print("listening on %s" % url)
    sys.stdout.flush()
    reactor.run()


if __name__ == "__main__":
    {"version": version, "client": client, "server": server}[sys.argv[1]](*sys.argv[2:])
