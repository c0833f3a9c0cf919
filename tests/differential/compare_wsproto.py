"""Reads streams and the verdicts of sansws on them from standard input, and compares the verdicts
with those of wsproto. Ends with status 1 at the first disagreement that is not a known one."""

import sys
from collections import Counter

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

# What sansws says and what wsproto says, each as a prefix of the last word of its verdict, and why
# they differ. What came before must be the same. A difference that a long run does not show is not
# true any more and has to go.
KNOWN = [
    ("no limit", "E:1009:MessageTooBig", "",
     "wsproto leaves the length of messages to the application"),
    ("at the first byte", "E:1002:", ".",
     "we fail at the byte that breaks the rule, wsproto when it has two bytes, or some payload"),
    ("close code 1014", "C:1014:", "E:1002",
     "registered after wsproto was written, which takes it for an invalid one"),
    ("close code 1014 and reason", "E:1007:InvalidCloseReason", "E:1002",
     "the same, with a reason that is not UTF-8"),
]

# So many streams show every known difference.
ENOUGH = 5000


def theirs(role, data):
    """wsproto's verdict, as a list of words: see the `Display` of `Verdict` in src/lib.rs."""
    kind = ConnectionType.SERVER if role == "server" else ConnectionType.CLIENT
    connection = Connection(kind)
    connection.receive_data(data)
    words = []
    message = b""
    for event in connection.events():
        if isinstance(event, (TextMessage, BytesMessage)):
            text = isinstance(event, TextMessage)
            message += event.data.encode() if text else bytes(event.data)
            if event.message_finished:
                words.append(("T:" if text else "B:") + message.hex())
                message = b""
        elif isinstance(event, Ping):
            words.append("p:" + bytes(event.payload).hex())
        elif isinstance(event, Pong):
            words.append("P:" + bytes(event.payload).hex())
        elif isinstance(event, CloseConnection):
            if connection.state is ConnectionState.OPEN:
                # no Close came: this is how a violation is reported
                return [*words, f"E:{int(event.code)}"]
            reason = (event.reason or "").encode().hex()
            return [*words, f"C:{int(event.code)}:{reason}"]
    return [*words, "."]


def agree(ours, theirs):
    if ours[-1].startswith("E:") and theirs[-1].startswith("E:"):
        # the name of the violation is ours
        ours = [*ours[:-1], ours[-1].rsplit(":", 1)[0]]
    return ours == theirs


def main():
    agreed = 0
    seen = Counter()
    for line in sys.stdin:
        role, data, verdict = line.rstrip("\n").split("\t")
        ours = verdict.split(" ")
        wsproto = theirs(role, bytes.fromhex(data))
        if agree(ours, wsproto):
            agreed += 1
            continue
        same_start = wsproto[: len(ours) - 1] == ours[:-1]
        for name, we, they, _ in KNOWN:
            if same_start and ours[-1].startswith(we) and wsproto[-1].startswith(they):
                seen[name] += 1
                break
        else:
            sys.exit(
                f"{role} {data}\n{len(ours)} words, the last ones:\n"
                f"sansws:  {' '.join(ours[-2:])}\nwsproto: {' '.join(wsproto[-2:])}"
            )
    print(f"{agreed} streams with the same verdict")
    for name, _, _, why in KNOWN:
        print(f"{seen[name]:8}  disagree: {name} ({why})")
    differed = sum(seen.values())
    gone = [name for name, *_ in KNOWN if not seen[name]]
    if gone and agreed + differed >= ENOUGH:
        sys.exit(f"no disagreement any more: {gone}")
    if agreed < 9 * differed:
        sys.exit(f"{differed} streams with another verdict are too many")


if __name__ == "__main__":
    main()
