"""Which cases there are, which of them a run asks for, and the specifications for the suite.

    cases.py DIR [PATTERN...]

writes DIR/part-N.json for every process of the suite that the run takes, and
prints how many those are and how many of the cases are slow ones. A pattern is
a case, or has a `*` for any text.
"""

import fnmatch
import json
import pathlib
import sys

EXPECTED = pathlib.Path(__file__).with_name("expected-results.json")

# Compression: minutes instead of seconds, most of them the suite's own.
SLOW = ("12.*", "13.*")


def expected_results():
    """What every case of the suite must come to: behavior, behavior at the close, close code."""
    return {case: tuple(result) for case, result in json.loads(EXPECTED.read_text()).items()}


def matches(case, patterns):
    return any(fnmatch.fnmatchcase(case, pattern) for pattern in patterns)


def select(patterns):
    """The cases that match, in the suite's order; without patterns all but the slow ones."""
    cases = list(expected_results())
    for pattern in patterns:
        if not any(matches(case, [pattern]) for case in cases):
            raise SystemExit(f"no case matches {pattern}")
    if not patterns:
        return [case for case in cases if not matches(case, SLOW)]
    return [case for case in cases if matches(case, patterns)]


def split(cases):
    """Two halves that take about as long where there are slow cases: the suite has one thread."""
    slow = [case for case in cases if matches(case, SLOW)]
    fast = [case for case in cases if not matches(case, SLOW)]
    return [part for part in (fast + slow[0::2], slow[1::2]) if part]


def main():
    directory, selected = pathlib.Path(sys.argv[1]), select(sys.argv[2:])
    parts = split(selected)
    for number, part in enumerate(parts, start=1):
        spec = {"outdir": str(directory / f"part-{number}"), "cases": part}
        (directory / f"part-{number}.json").write_text(json.dumps(spec))
    print(len(parts), sum(matches(case, SLOW) for case in selected))


if __name__ == "__main__":
    main()
