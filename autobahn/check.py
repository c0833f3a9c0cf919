"""Says whether a run of the Autobahn test suite fell short of anything.

    check.py DIR AGENT [PATTERN...]     reads DIR/part-*/, as run.sh leaves them
    check.py --self-test                shows that bad reports do not pass

Exits with 0 only if every case that the run asked for is in the report and came
to what expected-results.json says, and if the details of each case bear it out.
"""

import collections
import copy
import json
import pathlib
import sys
import tempfile

import cases

# The suite has no opinion on these: its own verdict is INFORMATIONAL for everybody.
NO_VERDICT = {"7.1.6", "7.13.1", "7.13.2"}

# The suite sends a Close without a code, and the reply has none either.
NO_CODE = {"7.3.1"}

TIMED_OUT = (
    "wasOpenHandshakeTimeout",
    "wasCloseHandshakeTimeout",
    "wasServerConnectionDropTimeout",
)

# What the report and the details of a case both say.
IN_BOTH = ("agent", "behavior", "behaviorClose", "remoteCloseCode")

SHOWN_SLOWEST = 5


def shortfalls(case, expected, row, detail):
    """Every reason why this case does not pass, as text."""
    behavior, behavior_close, code = expected
    if row["behavior"] != behavior:
        yield f"behavior {row['behavior']}: {detail.get('result')}"
    if row["behaviorClose"] != behavior_close:
        yield f"behaviorClose {row['behaviorClose']}: {detail.get('resultClose')}"
    if row["remoteCloseCode"] != code:
        yield f"close code {row['remoteCloseCode']}, not {code}"
    for key, value in {"id": case, **{key: row[key] for key in IN_BOTH}}.items():
        if detail.get(key) != value:
            yield f"{key} is {value} in the report, {detail.get(key)} in the details"
    if case in NO_VERDICT:
        return
    # From here on stricter than the suite, which is content with a peer that only drops TCP.
    allowed = detail.get("expectedClose", {}).get("closeCode", [])
    if code not in allowed and case not in NO_CODE:
        yield f"expected is close code {code}, which is not one of {allowed}"
    if detail.get("wasClean") is not True:
        yield f"not clean: {detail.get('wasNotCleanReason')}"
    for timeout in TIMED_OUT:
        if detail.get(timeout) is not False:
            yield timeout


def read_report(directory, agent):
    """The rows of all parts by case, each with the place of its details; and what is wrong."""
    rows = {}
    problems = []
    indexes = sorted(directory.glob("part-*/index.json"))
    if not indexes:
        problems.append(f"there is no report in {directory}")
    for index in indexes:
        try:
            report = json.loads(index.read_text())
        except ValueError as error:
            problems.append(f"{index}: {error}")
            continue
        if list(report) != [agent]:
            problems.append(f"{index}: about {list(report)}, not {agent}")
        for case, row in report.get(agent, {}).items():
            if case in rows:
                problems.append(f"{index}: {case} is in another part too")
            rows[case] = dict(row, agent=agent, path=index.parent / row.get("reportfile", ""))
    return rows, problems


def read_detail(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def check(directory, agent, wanted):
    """Prints the result; the number of cases that passed and of those that did not."""
    expected = cases.expected_results()
    rows, problems = read_report(directory, agent)
    problems += [f"{case} was not asked for" for case in rows if case not in wanted]
    if not wanted:
        problems.append("no case was asked for")
    failed = {}
    for case in wanted:
        detail = read_detail(rows[case]["path"]) if case in rows else None
        if case not in rows:
            reasons = ["not in the report"]
        elif detail is None:
            reasons = ["has no details that could be read"]
        else:
            reasons = list(shortfalls(case, expected[case], rows[case], detail))
        if reasons:
            failed[case] = reasons

    print(f"\n{agent}: {len(rows)} of {len(wanted)} cases are in the report")
    counts = collections.Counter((row["behavior"], row["behaviorClose"]) for row in rows.values())
    print(f"  {'behavior':<16}{'at the close':<18}cases")
    for (behavior, behavior_close), count in counts.most_common():
        print(f"  {behavior:<16}{behavior_close:<18}{count:5}")
    slowest = sorted(rows, key=lambda case: rows[case]["duration"], reverse=True)[:SHOWN_SLOWEST]
    if slowest:
        print("  slowest:", ", ".join(f"{case} {rows[case]['duration']} ms" for case in slowest))
    for case, reasons in failed.items():
        print(f"FAILED {case}: {'; '.join(reasons)}")
        if case in rows:
            print(f"       {rows[case]['path'].with_suffix('.html')}")
    for problem in problems:
        print(f"FAILED {problem}")
    return len(wanted) - len(failed), len(failed) + len(problems)


def self_test():
    """A good report passes, and nothing that is less does."""
    expected = cases.expected_results()
    wanted = cases.select([])
    assert len(expected) == 517 and len(wanted) == 301, "cases are missing"
    assert {case for case in expected if expected[case][:2] != ("OK", "OK")} == NO_VERDICT
    assert {case for case in expected if expected[case][2] is None} == NO_CODE
    parts = cases.split(list(expected))
    assert len(parts) == 2 and sorted(parts[0] + parts[1]) == sorted(expected)
    assert cases.split(wanted) == [wanted]
    assert cases.select(["6.4.*", "7.1.1"]) == ["6.4.1", "6.4.2", "6.4.3", "6.4.4", "7.1.1"]

    rows, details = {}, {}
    for case in wanted:
        behavior, behavior_close, code = expected[case]
        rows[case] = {
            "behavior": behavior,
            "behaviorClose": behavior_close,
            "duration": 1,
            "remoteCloseCode": code,
            "reportfile": f"a_case_{case.replace('.', '_')}.json",
        }
        details[case] = {
            "id": case,
            "agent": "a",
            "behavior": behavior,
            "behaviorClose": behavior_close,
            "remoteCloseCode": code,
            "expectedClose": {"closeCode": [code or 1000]},
            "wasClean": True,
            **dict.fromkeys(TIMED_OUT, False),
        }

    def run(change):
        """Whether the report passes after `change(rows, details, directory)`."""
        changed_rows, changed_details = copy.deepcopy((rows, details))
        with tempfile.TemporaryDirectory() as name:
            part = pathlib.Path(name) / "part-1"
            part.mkdir()
            late = change(changed_rows, changed_details)
            (part / "index.json").write_text(json.dumps({"a": changed_rows}))
            for case, detail in changed_details.items():
                (part / rows[case]["reportfile"]).write_text(json.dumps(detail))
            if late:
                late(part)
            with open("/dev/null", "w") as null:
                stdout, sys.stdout = sys.stdout, null
                try:
                    _, failed = check(part.parent, "a", wanted)
                finally:
                    sys.stdout = stdout
        return failed == 0

    def each(case, **values):
        """Changes a row and its details alike."""

        def change(rows, details):
            rows[case].update((key, values[key]) for key in values if key in rows[case])
            details[case].update(values)

        return change

    def cut(name):
        """Cuts a file in the middle, as a crash would."""

        def late(part):
            path = part / name
            path.write_text(path.read_text()[: path.stat().st_size // 2])

        return lambda rows, details: late

    def without_index(part):
        (part / "index.json").unlink()

    bad = {
        "no report": lambda rows, details: without_index,
        "an empty report": lambda rows, details: rows.clear(),
        "a report cut short": cut("index.json"),
        "details cut short": cut(rows["1.1.1"]["reportfile"]),
        "a case missing": lambda rows, details: rows.pop("9.8.6") and None,
        "details missing": lambda rows, details: details.pop("5.3") and None,
        "details of another case": lambda rows, details: details["5.3"].update(id="5.4"),
        "NON-STRICT": each("6.4.3", behavior="NON-STRICT"),
        "FAILED": each("2.2", behavior="FAILED"),
        "INFORMATIONAL": each("2.2", behavior="INFORMATIONAL"),
        "UNCLEAN": each("7.1.1", behaviorClose="UNCLEAN"),
        "TCP dropped without a Close": each("3.2", remoteCloseCode=None),
        "a wrong close code": each("6.3.1", remoteCloseCode=1002),
        "a code that the case does not allow": each("6.3.1", expectedClose={"closeCode": [1002]}),
        "not clean": each("3.2", wasClean=False),
        "TCP not dropped": each("1.1.1", wasServerConnectionDropTimeout=True),
        "details without a field": lambda rows, details: details["1.1.1"].pop("wasClean") and None,
    }
    assert run(lambda rows, details: None), "a good report does not pass"
    for name, change in bad.items():
        assert not run(change), f"passes: {name}"
    print(f"a good report passes, {len(bad)} bad ones do not")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    directory, agent, *patterns = sys.argv[1:]
    passed, failed = check(pathlib.Path(directory), agent, cases.select(patterns))
    print(f"\n{passed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
