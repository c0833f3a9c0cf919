"""Lines of the core in a file of lcov: report.py FILE PERCENT. Tests inside a module do not count."""

import collections
import os
import sys

CORE = ["wire", "buf", "deflate", "proto", "handshake", "endpoint", "config.rs"]


def tests_begin(lines):
    """The number of the line at which the tests of a module begin, which are its last part."""
    for number, line in enumerate(lines, 1):
        if line == "#[cfg(test)]" and lines[number].startswith("mod ") and "{" in lines[number]:
            return number
    return len(lines) + 1


def main():
    lcov, floor = sys.argv[1], float(sys.argv[2])
    counts = collections.defaultdict(dict)
    for line in open(lcov):
        kind, _, value = line.strip().partition(":")
        if kind == "SF":
            path = os.path.relpath(value)
        elif kind == "DA":
            number, count = value.split(",")[:2]
            counts[path][int(number)] = int(count)

    total = reached = 0
    for part in CORE:
        all_of_part = reached_of_part = 0
        for path in sorted(counts):
            if path != f"src/{part}" and not path.startswith(f"src/{part}/"):
                continue
            lines = open(path).read().splitlines()
            end = tests_begin(lines)
            of_file = {number: count for number, count in counts[path].items() if number < end}
            all_of_part += len(of_file)
            reached_of_part += sum(count > 0 for count in of_file.values())
            for number in sorted(of_file):
                if of_file[number] == 0:
                    print(f"{path}:{number}: {lines[number - 1].strip()}")
        print(f"{part}: {reached_of_part} of {all_of_part} lines")
        total += all_of_part
        reached += reached_of_part
    percent = 100 * reached / total
    print(f"the core: {reached} of {total} lines, {percent:.2f} %; at least {floor} % are wanted")
    return percent < floor


sys.exit(main())
