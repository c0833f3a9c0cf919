"""C zlib, by way of Python's standard library, at the other end of permessage-deflate.

Reads lines on standard input, each a command with arguments, and answers each with one line:

    inflate BITS TAKEOVER HEX...   the payloads of compressed messages in their order; answers with
                                   the messages, in hex
    deflate BITS TAKEOVER LEVEL MEM STRATEGY HEX...
                                   messages; answers with the payloads

BITS is the window that was agreed, TAKEOVER is 1 if a message may refer to earlier ones. `-` stands for
no bytes. A payload that zlib does not take ends the program with a traceback.
"""

import sys
import zlib

TAIL = b"\x00\x00\xff\xff"


def inflate(bits, takeover, payloads):
    engine = None
    for payload in payloads:
        if engine is None or not takeover:
            engine = zlib.decompressobj(-bits)
        message = engine.decompress(payload + TAIL)
        assert not engine.unconsumed_tail and not engine.unused_data and not engine.eof
        yield message


def deflate(bits, takeover, level, mem_level, strategy, messages):
    engine = None
    for message in messages:
        if engine is None or not takeover:
            engine = zlib.compressobj(level, zlib.DEFLATED, -bits, mem_level, strategy)
        # in pieces now and then, as fragments and flushes make them
        cut = len(message) // 3
        payload = engine.compress(message[:cut])
        if cut % 2:
            payload += engine.flush(zlib.Z_SYNC_FLUSH)
        payload += engine.compress(message[cut:]) + engine.flush(zlib.Z_SYNC_FLUSH)
        if not payload:
            payload = b"\x00" + TAIL  # zlib does not repeat an empty block
        assert payload.endswith(TAIL), payload
        yield payload[: -len(TAIL)]


def from_hex(word):
    return b"" if word == "-" else bytes.fromhex(word)


for line in sys.stdin:
    command, *words = line.split()
    if command == "inflate":
        bits, takeover, *payloads = words
        answers = inflate(int(bits), takeover == "1", map(from_hex, payloads))
    else:
        bits, takeover, level, mem_level, strategy, *messages = words
        numbers = [int(word) for word in (level, mem_level, strategy)]
        answers = deflate(int(bits), takeover == "1", *numbers, map(from_hex, messages))
    print(*(answer.hex() or "-" for answer in answers), flush=True)
