#!/usr/bin/env python3
"""Writes the seeds of the fuzzers into fuzz/corpus, the same ones every time.

They are the examples of RFC 6455 and frames such as the Autobahn suite sends. The bytes before them
are what fuzz/src/lib.rs describes: switches, and a plan of how the rest is cut. Targets that call
more than one thing have an input of their own, which their file in fuzz/src describes.
"""

import pathlib
import struct
import zlib

ROOT = pathlib.Path(__file__).parent / "corpus"
PLANS = [b"", b"\x00", b"\x02\x41\x84\xc0", b"\x30\x06\xbf", b"\x07\xc3"]
KEY = bytes.fromhex("37fa213d")


def write(target, name, switches, plan, data):
    path = ROOT / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes([switches, len(plan)]) + plan + data)


def write_plain(target, name, data):
    """A seed without switches and a plan, or with others of its own."""
    path = ROOT / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def frame(masked, first, payload=b"", length=None):
    size = len(payload)
    if length is not None:
        head = length
    elif size < 126:
        head = bytes([size])
    elif size < 65536:
        head = b"\x7e" + struct.pack("!H", size)
    else:
        head = b"\x7f" + struct.pack("!Q", size)
    if not masked:
        return bytes([first]) + head + payload
    head = bytes([head[0] | 0x80]) + head[1:]
    payload = bytes(byte ^ KEY[i % 4] for i, byte in enumerate(payload))
    return bytes([first]) + head + KEY + payload


def streams(masked):
    """Pairs of a name and the bytes, as a client (masked) or a server sends them."""

    def f(*args, **kwargs):
        return frame(masked, *args, **kwargs)

    def close(code=None, reason=b""):
        return f(0x88, b"" if code is None else struct.pack("!H", code) + reason)

    text = "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!".encode()
    # RFC 6455 5.7
    yield "hello", f(0x81, b"Hello")
    yield "hello_fragments", f(0x01, b"Hel") + f(0x80, b"lo")
    yield "ping_pong", f(0x89, b"Hello") + f(0x8A, b"Hello")
    yield "binary_256", f(0x82, bytes(range(256)))
    if not masked:
        yield "binary_64k", f(0x82, bytes(range(256)) * 256)
    # Autobahn 1 to 7, 9, 10
    yield "empty_messages", f(0x81) + f(0x82) + f(0x01) + f(0x00) + f(0x80)
    for size in (125, 126, 127, 128):
        yield f"text_{size}", f(0x81, b"*" * size) + close(1000)
    yield "ping_125", f(0x89, b"\xfe" * 125) + f(0x81, b"x")
    yield "ping_126", f(0x89, b"\xfe" * 126)
    yield "ten_pings", b"".join(f(0x89, b"payload-%d" % i) for i in range(10)) + close(1000)
    yield "many_pings", b"".join(f(0x89, b"%d" % i) for i in range(40))
    yield "unsolicited_pong", f(0x8A, b"unsolicited") + f(0x89, b"ping")
    for bits in range(1, 8):
        yield f"rsv_{bits}", f(0x81, b"good") + f(0x81 | bits << 4, b"bad") + f(0x89)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield f"opcode_{opcode}", f(0x81, b"good") + f(0x80 | opcode, b"bad") + f(0x89)
    yield "ping_fragment", f(0x09, b"frag") + f(0x80, b"ment")
    yield "ping_between", f(0x01, b"frag1") + f(0x89, b"ping") + f(0x80, b"frag2") + close(1000)
    yield "pings_between", b"".join(
        f(0x01 if i == 0 else 0x00, b"frag%d" % i) + f(0x89, b"p%d" % i) for i in range(4)
    ) + f(0x80)
    yield "continuation_first", f(0x80, b"non-continuation") + f(0x81, b"Hello")
    yield "message_in_message", f(0x01, b"frag1") + f(0x81, b"frag2")
    yield "text_utf8", f(0x81, text) + close(1000, b"Goodbye")
    yield "text_byte_fragments", b"".join(
        f((0x01 if i == 0 else 0x00) | (0x80 if i == len(text) - 1 else 0), text[i : i + 1])
        for i in range(len(text))
    )
    kosme = bytes.fromhex("cebae1bdb9cf83cebcceb5")
    yield "text_too_large", f(0x01, kosme) + f(0x00, b"\xf4\x90\x80\x80") + f(0x80, b"edited")
    yield "text_surrogate", f(0x81, kosme + b"\xed\xa0\x80edited")
    yield "text_overlong", f(0x81, b"\xc0\xaf\xe0\x80\xaf")
    yield "text_cut", f(0x01, kosme + b"\xf0\x9f") + f(0x89) + f(0x80, b"\x98\x80")
    yield "text_ends_inside", f(0x01, b"\xe2\x82") + f(0x80)
    yield "text_four_bytes", f(0x81, "\U0001f600\U0010ffff\ufffe".encode()) + close(3000)
    yield "close_empty", close() + f(0x81, b"late")
    yield "close_one_byte", f(0x88, b"\x03")
    yield "close_reason", close(1000, b"*" * 123) + f(0x89)
    yield "close_reason_too_long", close(1000, b"*" * 124)
    yield "close_reason_not_utf8", close(1000, kosme + b"\xed\xa0\x80")
    yield "close_twice", close(1001, b"away") + close(1001)
    yield "close_in_message", f(0x01, b"frag1") + close(1000) + f(0x80, b"frag2")
    for code in (0, 999, 1004, 1005, 1006, 1011, 1014, 1015, 1016, 2999, 3999, 4999, 5000, 65535):
        yield f"close_{code}", close(code)
    yield "length_not_minimal_16", f(0x82, b"\0" * 125, length=b"\x7e\x00\x7d")
    yield "length_not_minimal_64", f(0x82, b"\0" * 20, length=b"\x7f" + struct.pack("!Q", 65535))
    yield "length_63", f(0x82, b"", length=b"\x7f" + struct.pack("!Q", 1 << 63))
    yield "length_62", f(0x82, b"abc", length=b"\x7f" + struct.pack("!Q", 1 << 62))
    yield "length_sum", f(0x02, b"abc") + f(0x80, b"", length=b"\x7f" + struct.pack("!Q", 2**63 - 1))
    yield "empty_fragments", f(0x01) + f(0x00) * 20 + f(0x80, b"end")
    yield "sixty_bytes", f(0x02, b"*" * 40) + f(0x80, b"*" * 20) + f(0x02, b"*" * 61)
    yield "wrong_role", frame(not masked, 0x81, b"Hello")
    yield "echo", f(0x81, b"one") + f(0x82, b"two" * 100) + f(0x89, b"3") + f(0x81, text * 8)


NEEDED = [
    b"Host: server.example.com",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
]


def request(*lines, needed=NEEDED, first=b"GET /chat HTTP/1.1"):
    return b"\r\n".join([first, *needed, *lines]) + b"\r\n\r\n"


def requests():
    frames = frame(True, 0x81, b"Hello")
    yield "golden", request(
        b"Origin: http://example.com", b"Sec-WebSocket-Protocol: chat, superchat"
    )
    yield "frames_behind", request() + frames
    yield "empty_lines", b"\r\n\r\n" + request() + frames
    yield "key_of_4_1", request(
        b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==", needed=NEEDED[:3] + NEEDED[4:]
    )
    yield "firefox", request(
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:1.0) Gecko/20100101 Firefox/1.0",
        b"Accept: */*",
        b"Accept-Language: en-US,en;q=0.5",
        b"Accept-Encoding: gzip, deflate, br",
        b"Sec-WebSocket-Extensions: permessage-deflate",
        b"Origin: null",
        b"connection: keep-alive, Upgrade",
        b"Cookie: a=b; c=\xe9",
        b"Pragma: no-cache",
    )
    yield "extensions", request(
        b'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x; y="1\\0"',
        b"Sec-WebSocket-Extensions: foo; bar=baz,, qux",
    )
    yield "bad_extensions", request(b'Sec-WebSocket-Extensions: a; b="c d"')
    yield "lists", request(
        b"Connection: , Upgrade,, ", b"Upgrade: h2c, WebSocket\t", needed=[NEEDED[0], *NEEDED[3:]]
    )
    yield "absolute", request(first=b"GET http://h:80/chat?x=1 HTTP/1.1")
    yield "query", request(first=b"GET /a%20b/?x=%23&y=[] HTTP/1.1")
    yield "http_1_0", request(first=b"GET / HTTP/1.0")
    yield "http_1_2", request(first=b"GET / HTTP/1.2")
    yield "http_2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "tls", bytes.fromhex("16030100f5010000f10303")
    yield "post", request(b"Content-Length: 5", first=b"POST / HTTP/1.1") + b"hello"
    yield "options", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"
    yield "head", b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"
    yield "plain_get", b"GET / HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n"
    yield "odd_target", b"GET ? HTTP/1.1\r\nHost: h\r\n\r\n"
    yield "body", request(b"Content-Length: 5") + b"hello"
    yield "no_body", request(b"Content-Length: 0, 0", b"content-length: 00")
    yield "chunked", request(b"Transfer-Encoding: chunked") + b"0\r\n\r\n"
    yield "ambiguous", request(b"Content-Length: 1", b"Content-Length: 2")
    yield "expect", request(b"Expect: 100-continue") + frames
    yield "folded", request(b"Sec-WebSocket-Protocol: a,\r\n b")
    yield "space_before_colon", request(b"X : y")
    yield "space_first", b"GET / HTTP/1.1\r\n Host: h\r\n\r\n"
    yield "bare_lf", request().replace(b"\r\n", b"\n")
    yield "bare_cr", request(b"X: a\rb")
    yield "octets", request(b"X: a\x85Evil: 1", b"Y: \x80\xff\tz", b"Z: \x0b")
    yield "two_hosts", request(b"Host: h")
    yield "bad_host", request(needed=[b"Host: a b", *NEEDED[1:]])
    yield "ipv6", request(needed=[b"Host: [::1]:9000", *NEEDED[1:]])
    yield "two_keys", request(NEEDED[3])
    yield "short_key", request(b"Sec-WebSocket-Key: AAAA", needed=NEEDED[:3] + NEEDED[4:])
    yield "version_8", request(b"Sec-WebSocket-Version: 8", needed=NEEDED[:4])
    yield "version_list", request(b"Sec-WebSocket-Version: 13, 8", needed=NEEDED[:4])
    yield "two_versions", request(NEEDED[4])
    yield "no_upgrade", request(needed=[NEEDED[0], *NEEDED[2:]])
    yield "subprotocols_twice", request(b"Sec-WebSocket-Protocol: a, a")
    yield "many_headers", request(*[b"X-%d: y" % i for i in range(30)])
    yield "long_target", request(first=b"GET /" + b"a" * 300 + b" HTTP/1.1")
    yield "long_head", request(b"X: " + b"a" * 4100)
    yield "long_method", b"A" * 40 + b" / HTTP/1.1\r\n\r\n"
    yield "cut", request()[:100]


def offers():
    """Offers of permessage-deflate, right and wrong ones (RFC 7692 7.1)."""
    deflate = b"permessage-deflate"
    yield "alone", deflate
    yield "window", deflate + b"; client_max_window_bits"
    yield "all", deflate + (
        b"; server_no_context_takeover; client_no_context_takeover"
        b"; server_max_window_bits=9; client_max_window_bits=13"
    )
    yield "fallback", deflate + b"; server_max_window_bits=8, " + deflate + b";client_max_window_bits"
    yield "quoted", deflate + b'; server_max_window_bits="1\\0" , x'
    yield "wrong_bits", b", ".join(
        deflate + b"; server_max_window_bits=" + bits for bits in (b"7", b"16", b"08", b"x")
    )
    yield "no_bits", deflate + b"; server_max_window_bits"
    yield "value", deflate + b"; server_no_context_takeover=1"
    yield "twice", deflate + b"; client_max_window_bits; client_max_window_bits=10"
    yield "unknown", deflate + b"; x, other; server_max_window_bits=10"
    yield "grammar", deflate + b"; client_max_window_bits="
    yield "empty_value", deflate + b'; client_max_window_bits=""'


SWITCHING = [
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
]


def response(*lines, needed=SWITCHING, first=b"HTTP/1.1 101 Switching Protocols"):
    return b"\r\n".join([first, *needed, *lines]) + b"\r\n\r\n"


def responses():
    """Triples of a name, the switches and the bytes."""
    frames = frame(False, 0x81, b"Hello")
    chat = b"Sec-WebSocket-Protocol: chat"
    yield "golden", 2, response(chat)
    yield "frames_behind", 0, response() + frames
    yield "required", 6, response(chat) + frames
    yield "required_missing", 6, response()
    yield "unoffered_subprotocol", 2, response(b"Sec-WebSocket-Protocol: other")
    yield "subprotocol_unasked", 0, response(chat)
    yield "two_subprotocols", 2, response(chat, chat)
    yield "empty_subprotocol", 2, response(b"Sec-WebSocket-Protocol:")
    yield "extension", 0, response(b"Sec-WebSocket-Extensions: permessage-deflate")
    yield "bad_extension", 0, response(b"Sec-WebSocket-Extensions: a;;")
    yield "empty_extension", 0, response(b"Sec-WebSocket-Extensions: ,")
    yield "lists", 0, response(
        b"connection: keep-alive, UPGRADE", b"upgrade:\tWebSocket ", needed=SWITCHING[2:]
    )
    yield "space_around_accept", 0, response(
        b"Sec-WebSocket-Accept: \t s3pPLMBiTxaQ9kYGzzhZRbK+xOo= ", needed=SWITCHING[:2]
    )
    yield "wrong_accept", 0, response(
        b"Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=", needed=SWITCHING[:2]
    )
    yield "two_accepts", 0, response(SWITCHING[2])
    yield "no_accept", 0, response(needed=SWITCHING[:2])
    yield "h2c", 0, response(b"Upgrade: h2c", needed=SWITCHING[1:])
    yield "interim", 0, b"HTTP/1.1 100 Continue\r\n\r\n" + (
        b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n" + response() + frames
    )
    yield "too_many_interim", 0, b"HTTP/1.1 100 \r\n\r\n" * 9 + response()
    yield "no_reason", 0, response(first=b"HTTP/1.1 101")
    yield "empty_reason", 0, response(first=b"HTTP/1.1 101 ")
    yield "http_1_0", 0, response(first=b"HTTP/1.0 101 Switching Protocols")
    yield "status_1010", 0, response(first=b"HTTP/1.1 1010 X")
    yield "status_099", 0, response(first=b"HTTP/1.1 099 X")
    yield "icy", 0, b"ICY 101 OK\r\n\r\n"
    yield "folded", 0, response(b"Server: x\r\n y\r\n\tz")
    yield "folded_connection", 0, response(
        b"Connection: keep-alive,\r\n Upgrade", needed=[SWITCHING[0], SWITCHING[2]]
    )
    yield "folded_first", 0, b"HTTP/1.1 101 \r\n Upgrade: websocket\r\n\r\n"
    yield "length_on_101", 0, response(b"Content-Length: 0", b"Set-Cookie: a=b") + frames
    yield "bare_lf", 0, response().replace(b"\r\n", b"\n")
    yield "not_found", 0, b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone and more"
    yield "unauthorized", 1, (
        b'HTTP/1.1 401 \r\nWWW-Authenticate: Basic realm="\xff"\r\nContent-Length: 20\r\n\r\n'
        b"\x1b[31mwho are you?"
    )
    yield "redirect", 0, b"HTTP/1.1 302 Found\r\nLocation: ws://other/\r\n\r\nuntil the end"
    yield "chunked", 0, (
        b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\nRetry-After: 1\r\n\r\n"
        b"5;x=y\r\nlater\r\n00a\r\n0123456789\r\n0\r\nT: x\r\n\r\n"
    )
    yield "bad_chunks", 0, (
        b"HTTP/1.1 500 E\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
        b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n"
    )
    yield "upgrade_required", 0, b"HTTP/1.1 426 \r\nSec-WebSocket-Version: 8, 7\r\n\r\n"
    yield "ambiguous_length", 0, b"HTTP/1.1 400 \r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
    yield "not_modified", 0, b"HTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n"
    yield "many_headers", 0, response(*[b"X-%d: y" % i for i in range(30)])
    yield "long_head", 0, response(b"X: " + b"a" * 4100)
    yield "cut", 0, b"HTTP/1.1 10"
    yield "interim_http_1_0", 0, b"HTTP/1.0 103 Early Hints\r\n\r\n" + response() + frames


def texts():
    yield "kosme", bytes.fromhex("cebae1bdb9cf83cebcceb5")
    yield "mixed", "a\u00e9\u20ac\U00010348\ufeff\ufffe\U0010ffff\0z".encode()
    yield "first_of_length", "\0\u0080\u0800\U00010000".encode()
    yield "last_of_length", "\x7f\u07ff\uffff\U0010ffff".encode()
    yield "around_surrogates", "\ud7ff\ue000".encode()
    yield "surrogate", b"ok\xed\xa0\x80ok"
    yield "surrogates", bytes.fromhex("eda080edb080")
    yield "too_large", b"ok\xf4\x90\x80\x80"
    yield "lone_continuation", b"ok\x80"
    yield "missing_continuation", b"\xe2\x82A"
    yield "overlong_2", b"\xc0\xaf\xc1\xbf"
    yield "overlong_3", b"\xe0\x80\xaf"
    yield "overlong_4", b"\xf0\x80\x80\xaf"
    yield "five_bytes", b"\xf8\x88\x80\x80\x80"
    yield "impossible", b"\xfe\xff"
    yield "cut_2", b"ok\xc2"
    yield "cut_3", b"ok\xe2\x82"
    yield "cut_4", b"ok\xf0\x9f\x98"
    yield "long", ("plain ASCII, " * 10 + "und Umlaute \u00e4\u00f6\u00fc " * 8).encode()
    # blocks of 64 bytes, with what is wrong before, on and behind their edges
    for at in (61, 62, 63, 64, 65, 127, 128):
        yield f"block_{at}", b"a" * at + "\u20ac\U0001f600".encode() + b"b" * 100 + b"\xff"
    yield "block_cut", b"a" * 126 + b"\xe2\x82"


def compressed():
    """Pairs of a name and payloads of compressed messages, those of RFC 7692 7.2.3 first."""
    hello = bytes.fromhex("f248cdc9c90700")
    again = bytes.fromhex("f200110000")
    final = bytes.fromhex("f348cdc9c9070000")
    yield "hello", [hello, hello]
    yield "takeover", [hello, again, again]
    yield "stored", [bytes.fromhex("000500faff48656c6c6f00"), again]
    yield "two_blocks", [bytes.fromhex("f24805000000ffffcac9c90700"), again]
    yield "final_block", [final, again, final, again]
    yield "many_final_blocks", [bytes.fromhex("0300") * 16 + b"\0"]
    yield "too_many_final_blocks", [bytes.fromhex("0300") * 20 + b"\0"]
    yield "empty", [b"\0", b"", hello]
    yield "truncated", [hello[:3]]
    yield "block_type_3", [b"\xff"]
    yield "no_such_distance", [again]
    yield "empty_blocks", [bytes.fromhex("000000ffff") * 40 + b"\0"]
    for level in (1, 6, 9):
        for size in (100, 2000, 99_999, 100_000, 100_001):
            deflate = zlib.compressobj(level, wbits=-15)
            text = b"".join(b"%d bottles of beer, " % i for i in range(size))[:size]
            text = text if size < 5000 else b"a" * size
            data = deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH)
            yield f"level_{level}_of_{size}", [data[:-4]]


def chunk_of(data):
    """A piece of what the peer sends, as the fuzzers of an endpoint read it."""
    return b"".join(
        bytes([0, len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255)
    )


def calls(masked):
    """Pairs of a name and the calls of an endpoint: fuzz/src/endpoint.rs says which they are."""
    text = frame(masked, 0x81, b"Hello")
    close = frame(masked, 0x88, struct.pack("!H", 1000))
    ping = frame(masked, 0x89, b"ping")
    opened = chunk_of(text) + b"\x05"
    yield "message", 1, opened
    yield "small_writes", 1, b"\x46\x05" + chunk_of(ping * 5)
    yield "close", 1, opened + chunk_of(close)
    yield "we_close", 1, b"\x06\x05\x0b\x00\x06" + chunk_of(close) + b"\x0e"
    yield "echo", 1, b"\x06\x05" + (chunk_of(text) + b"\x18\x05\x06") * 3 + chunk_of(close)
    yield "full", 3, b"\x06\x05" + b"\x08\x20\x1e" * 3 + chunk_of(ping * 10) + b"\x06"
    yield "keep_alive", 5, b"\x06\x05" + b"\x0c\x0c" * 30
    yield "fragments", 1, b"\x06\x05\x19\x1a\x1a\x08\x05\x0a\x06"
    yield "chunks", 9, b"\x06\x05" + chunk_of(frame(masked, 0x02, b"a" * 300)[:200]) + b"\x06"
    yield "broken", 1, b"\x06\x05" + chunk_of(b"\xff" * 3) + chunk_of(text)
    yield "end_of_file", 1, opened + b"\x0e\x06"
    yield "write_fails", 1, opened + b"\x08\x09\x0f\x06" + chunk_of(close)
    yield "slow", 0, b"\x0c\xff\x06"
    yield "nothing", 0, b"\x0e\x06"
    # time brings the end, with a transport that takes bytes and with one that does not
    yield "silent", 65, b"\x06\x05" + chunk_of(text)
    yield "silent_closed", 65, b"\x06\x05" + chunk_of(close)
    yield "silent_behind_much", 65, b"\x06\x05" + b"\x08\xff\x06" * 14
    yield "stuck", 193, b"\x06\x05" + b"\x08\x20" * 3
    yield "stuck_closed", 199, b"\x06\x05" + b"\x08\xff" + chunk_of(close)
    yield "silent_handshake", 64, b"\x06"
    hello = frame(masked, 0xC1, bytes.fromhex("f248cdc9c90700"))
    long = zlib.compressobj(6, wbits=-15)
    long = long.compress(b"a" * 1500) + long.flush(zlib.Z_SYNC_FLUSH)
    yield "deflate", 17, b"\x06\x05" + chunk_of(hello) + b"\x18\xff\x06" + chunk_of(close)
    yield "deflate_in_steps", 49, b"\x06\x05" + b"\x08\x20" + (
        chunk_of(frame(masked, 0xC2, long[:-4]) + hello) + b"\x06" + chunk_of(close)
    )
    yield "deflate_in_chunks", 57, b"\x06\x05" + chunk_of(frame(masked, 0xC2, long[:-4]) + hello)
    yield "too_big", 1, b"\x06\x05" + chunk_of(frame(masked, 0x82, b"", length=b"\x7e\xff\xff"))
    if masked:
        yield "refused", 1, b"\x06\x00\x06\x0c\xff\x06"
        yield "refused_with_500", 1, b"\x06\x01\x06" + chunk_of(text) + b"\x0e"
        yield "request_in_pieces", 0, chunk_of(request())[:100] + chunk_of(request())
        yield "no_request", 0, chunk_of(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") + b"\x05\x06"
    else:
        yield "forbidden", 0, chunk_of(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
        yield "response_with_frames", 0, chunk_of(response() + text + close)
        yield "no_http", 0, chunk_of(b"ICY 200\r\n\r\n")


def operations():
    """Calls of two ends: fuzz/src/operations.rs says which they are."""

    def op(kind, end=0, high=0):
        return bytes([high | kind << 1 | end])

    def carry(end):
        return op(12, end, 64) + b"\xff" + op(14, 1 - end)

    for name, first, second in (
        ("plain", 0, 0),
        ("chunks", 3, 0),
        ("deflate", 4, 0),
        ("deflate_whole_windows", 0xE4, 0xE0),
        ("deflate_no_takeover", 0xFC, 0xF0),
        ("deflate_chunks", 0xE7, 0xE0),
        ("low_limits", 0, 4),
        ("keep_alive", 0, 8),
    ):
        for end in (0, 1):
            body = b"".join(
                op(0, end, high) + b"\x40\x01\x02" + carry(end) for high in (0, 64, 128, 192)
            )
            body += op(3, end, 192) + b"\xd0\x03\x05" + carry(end)
            body += op(4, end, 64) + (op(5, end, 64) + b"\x30\x02\x01") * 3 + op(7, end, 64) + b"\x05"
            body += op(5, end) + b"\x10\x00\x00" + carry(end) + carry(1 - end)
            body += op(0, end) + b"\xfb\x01\x03" + op(13, end) + b"\xe0" + op(14, 1 - end)
            body += op(9, end) + b"\x04" + carry(end) + carry(1 - end)
            body += op(8, end, 192) + b"\x00" + carry(end) + carry(1 - end)
            yield f"{name}_{end}", bytes([first, second]) + body
    # compressed and inflated in steps, with control frames before what is under way
    ping, pong, step = op(7, 0, 64) + b"\x07", op(7, 0) + b"\x03", op(15, 0, 128)
    body = op(15, 0, 64) + op(15, 1, 64)
    for high in (64, 192):
        body += op(0, 0, high) + b"\xe0\x01\x02" + step + ping + step + pong + carry(0) + carry(1)
    body += op(0, 0, 64) + b"\xe0\x03\x02" + step + op(8, 0, 192) + b"\x01" + carry(0) + carry(1)
    for name, first in (("event", 4), ("chunk", 7), ("whole_window", 0xE4)):
        yield f"steps_{name}", bytes([first, 0xE0]) + body
    # both close at once, one without a code, with messages and pings before that on their way
    body = b"".join(
        op(0, end, 64) + b"\x20\x01\x02" + op(7, end, 64) + b"\x08" + op(8, end, 192) + code
        for end, code in ((0, b"\x0b"), (1, b"\x04"))
    )
    yield "close_at_once", b"\x00\x00" + body + carry(0) + carry(1)


def deflate_streams():
    """What is put together: fuzz/src/deflate_streams.rs says how."""
    literals = b"\x01\x00\x05\x41\x42\x43\x44\x45"
    stored = b"\x01\x01\x20"
    both = b"\x02\x01\x20\x00\x02\x65\x00\x00"
    around = b"\x01\x00\x04\x41\x42\xc0\x00\x00\x80\x00\x01"
    window = b"\x04\x03\xff\x00\x03\x91\x00\x01\xd0\x00\x00\x41\x03\xff\x08\x01\x42"
    final = b"\x03\x08\x02\x41\x42\x08\x01\xa0\x00\x01\x00\x01\x43"
    for name, body in (
        ("literals", literals),
        ("stored", stored),
        ("both", both),
        ("around", around),
        ("window", window),
        ("final", final),
    ):
        for switches in (0x00, 0x01, 0xE1, 0xE3):
            yield f"{name}_{switches}", bytes([switches]) + (body + b"\x80\x05") * 4


def envelopes():
    def envelope(kind, opcode, payload, version=1, node=0x0102030405060708, client=9):
        return struct.pack("!BBBBQQ", 0xFF, version, kind, opcode, node, client) + payload

    name = struct.pack("!H", 5) + b"lobby"
    head = struct.pack("!QQI", 1, 2, 3000)
    yield "text", envelope(1, 1, b"hello")
    yield "binary", envelope(1, 0x82, b"\x00\xff")
    yield "ping", envelope(1, 9, b"ping")
    yield "numbered", envelope(1, 0x41, struct.pack("!IQ", 7, 8) + b"hello")
    yield "no_number", envelope(1, 0x41, b"short")
    yield "close", envelope(2, 8, struct.pack("!H", 1012) + b"soon")
    yield "change", envelope(3, 0, head + name + struct.pack("!I", 4))
    yield "state", envelope(4, 0, head + b"\x01" + name + name + name + struct.pack("!I", 4))
    yield "ask", envelope(5, 0, b"")
    yield "goodbye", envelope(6, 0, b"")
    yield "question", envelope(7, 0, struct.pack("!QB", 1, 1) + b"lobby")
    yield "answer", envelope(8, 0, struct.pack("!QBI", 1, 1, 0) + struct.pack("!QQ", 5, 6))
    yield "later_version", envelope(1, 1, b"hello", version=2)
    yield "plain_text", b"hello"
    yield "plain_binary", b"\xfe\x00"
    yield "empty", b""


def routes():
    common = ["/chat/{room}", "/chat/lobby", "/{a}/lobby", "/{a}", "/{*all}", "/", "/f/{*rest}"]
    for i, path in enumerate(
        ["/", "/chat/lobby", "/chat/a%2Fb", "/x/lobby", "/x", "/x/y", "/f/", "/f/a/b%20c/", "/chat/%ff"]
        + ["*", "", "//", "/chat/%4"]
    ):
        yield f"path_{i}", "\n".join([path, *common])
    yield "wrong", "/a\n/a{b}\n/{}\n/{a}/{a}\n/{*a}/b\n/a b\n/a?b\n/\u00e9\na\n/{a}\n/{b}"


def forwarded():
    for i, lines in enumerate(
        [
            "",
            "X-Forwarded-For: 6.6.6.6, 192.0.2.1",
            "X-Forwarded-For: 6.6.6.6\nx-forwarded-for: [2001:db8::1]:80",
            "X-Forwarded-For: unknown,\nX-Forwarded-Host: a b\nX-Forwarded-Proto: gopher",
            'Forwarded: for="[2001:db8::1]:80";proto=http, for=unknown',
            'Forwarded: for="6.6.6.6',
            'Forwarded: for="6.6.6.6\\", for=1.2.3.4',
            "Forwarded: ;;=,",
            "X-Forwarded-For:\nX-Forwarded-Host: ,\nForwarded:",
            "X-Forwarded-For: fe80::1%eth0, ::ffff:192.0.2.1, 1.2.3.4:5",
            "X-Forwarded-Host: evil\nX-Forwarded-Proto: https, http",
        ]
    ):
        for switches in (0x10, 0x21):
            yield f"lines_{i}_{switches}", bytes([switches]) + lines.encode("latin-1")


def urls():
    for i, url in enumerate(
        [
            "ws://h",
            "wss://h:443/a/b?c=%20",
            "WS://server.example.com:80?q",
            "ws://[::1]:9000/",
            "ws://[fe80::1%25eth0]/",
            "ws://u:p@h/",
            "ws://h/a#b",
            "ws://h/\r\nX: y",
            "ws://h:0",
            "ws://h:65536",
            "ws://b\u00fccher.example",
            "http://h",
        ]
    ):
        yield f"url_{i}", url
    for i, rest in enumerate(
        ["X-Y: z", "X: a\r\nEvil: 1", "Host: other", "\x1e\x1e\x1e\x1echat\x1evalue", ": x", "X:\u00e9"]
    ):
        yield f"header_{i}", "ws://h/\x1e" + rest


def parts():
    for i, (target, origin, host, *headers) in enumerate(
        [
            ("/chat?x=1", "http://h", "h"),
            ("/", "https://example.com:443", "EXAMPLE.com"),
            ("/", "http://[::1]:80", "[::1]"),
            ("/", "null", "h:80"),
            ("/", "chrome-extension://abc", "abc"),
            ("/", "http://a@b", "b"),
            ("http://h/x", "http://h:8080", "h:8080"),
            ("*", "", ""),
            ("/", "http://h", "h", "Sec-WebSocket-Protocol:chat, chat"),
            ("/", "http://h", "h", "Sec-WebSocket-Extensions:permessage-deflate; x"),
            ("/", "http://h", "h", "X: a\rb"),
            ("/", "http://h", "h", "Content-Length: 5", "Transfer-Encoding: chunked"),
        ]
    ):
        yield f"parts_{i}", "\n".join([target, origin, host, *headers])


def bodies():
    """Triples of a name, the switches and the bytes behind the head."""
    yield "until_the_end", 0, b"no, and here is why"
    yield "until_the_end_cut", 4, b"no, and here is why"
    yield "length", 2 | 2 << 3, b"0123456789abcdef and more"
    yield "length_short", 2 | 31 << 3, b"0123"
    yield "no_length", 2, b"nothing of this"
    yield "two_lengths", 3, b"ab"
    yield "chunks", 1, b"5\r\nlater\r\n00a;x=y\r\n0123456789\r\n0\r\nT: x\r\n\r\n"
    yield "chunks_cut", 5, b"5\r\nlater\r\n00a;x=y\r\n0123456789\r\n0\r\n\r\n"
    yield "chunks_bare", 1, b"3\nabc\n2 \nde\r\r\n1\t;\r\nf"
    yield "chunk_too_long", 1, b"ffffffffffffffff1\r\nabc"
    yield "chunk_of_nothing", 1, b"\r\nabc"
    yield "chunk_broken", 1, b"3\r\nabcX2\r\nde"


def main():
    for target, masked in (("frame_stream_server", True), ("frame_stream_client", False)):
        for i, (name, data) in enumerate(streams(masked)):
            # a different manner for each, and whole messages without limits for the longest
            switches = 0 if len(data) > 60_000 else (i * 7) % 64
            write(target, name, switches, PLANS[i % len(PLANS)] or b"\x3f", data)
        # small reads, which make the buffer move what it holds between a look and the taking
        data = frame(masked, 0x01, b"begun") + b"".join(
            frame(masked, 0x89, bytes([i]) * 100) + frame(masked, 0x00, b"on") for i in range(12)
        )
        for step in (0x0B, 0x1F, 0x29):
            write(target, f"small_reads_{step + 1}", 32, bytes([step]), data)
        for i, (name, payloads) in enumerate(compressed()):
            first = 0x41 + i % 2
            data = b"".join(
                frame(masked, first, it[: len(it) // 2])
                + frame(masked, 0x89, b"between")
                + frame(masked, 0x80, it[len(it) // 2 :])
                for it in payloads
            )
            # the model inflates all of it anew with each byte
            if len(data) < 400 and not name.endswith(("99", "000", "001")):
                switches = 0xC0 if i % 3 else 0x40
                write(target, f"deflate_{name}", switches | i * 5 % 64, PLANS[i % len(PLANS)], data)
    for i, (name, data) in enumerate(requests()):
        write("handshake_request", name, 0, PLANS[i % len(PLANS)], data)
    for i, (name, switches, data) in enumerate(responses()):
        write("handshake_response", name, switches, PLANS[i % len(PLANS)], data)
    for i, (name, extensions) in enumerate(offers()):
        line = b"Sec-WebSocket-Extensions: " + extensions
        for switches in (0x04, 0xFC):
            data = request(line)
            write("handshake_request", f"offer_{name}_{switches}", switches, PLANS[i % 5], data)
        for switches in (0x08, 0x58, 0xF8):
            data = response(line)
            write("handshake_response", f"offer_{name}_{switches}", switches, PLANS[i % 5], data)
    for i, (name, data) in enumerate(texts()):
        write("utf8", name, 0, PLANS[i % len(PLANS)], data)
    for i, (name, payloads) in enumerate(compressed()):
        *first, last = payloads
        data = b"".join(bytes([len(it)]) + it for it in first) + b"\xff" + last
        for switches in (0xE0, 0x07):
            write("compressed_messages", f"{name}_{switches}", switches, PLANS[i % len(PLANS)], data)
    for i, (name, switches, data) in enumerate(bodies()):
        write("refusal_body", name, switches, PLANS[i % len(PLANS)], data)
    for i, (name, data) in enumerate(streams(True)):
        if i % 3 == 0 and len(data) < 1000:
            write("byte_stream", f"server_{name}", i * 14 & 0xFE | 1, PLANS[i % len(PLANS)], data)
    for i, (name, data) in enumerate(streams(False)):
        if i % 3 == 1 and len(data) < 1000:
            write("byte_stream", f"client_{name}", i * 14 & 0xFE, PLANS[i % len(PLANS)], data)
    for target, masked in (("endpoint_server", True), ("endpoint_client", False)):
        for name, switches, data in calls(masked):
            write_plain(target, name, bytes([switches]) + data)
    for target, seeds in (
        ("operations", operations()),
        ("deflate_streams", deflate_streams()),
        ("backplane_envelope", envelopes()),
        ("forwarded_headers", forwarded()),
        ("server_routes", routes()),
        ("client_url", urls()),
        ("request_parts", parts()),
    ):
        for name, data in seeds:
            write_plain(target, name, data if isinstance(data, bytes) else data.encode())


if __name__ == "__main__":
    main()
