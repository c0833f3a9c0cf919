"""websocket-client: blocking, a client only, without compression."""

import websocket

import told


def client(url):
    ws = websocket.create_connection(url, timeout=60)
    while True:
        opcode, data = ws.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            # `recv_data` has answered already
            told.closed(int.from_bytes(data[:2], "big") if data else 1005, data[2:].decode())
            ws.shutdown()
            return
        if opcode == websocket.ABNF.OPCODE_PONG:
            ws.send("zoo:pong " + data.decode())
        elif opcode == websocket.ABNF.OPCODE_TEXT and data.startswith(b"zoo:"):
            match data.decode():
                case "zoo:burst":
                    for text in told.BURST:
                        ws.send(text)
                case "zoo:fragments":
                    for number, (piece, last) in enumerate(told.FRAGMENTS):
                        kind = websocket.ABNF.OPCODE_CONT if number else opcode
                        ws.send_frame(websocket.ABNF.create_frame(piece, kind, int(last)))
                case "zoo:ping":
                    ws.ping("zoo")
                case "zoo:close":
                    code, reason = told.CLOSE
                    ws.send_close(code, reason.encode())
        elif opcode in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY):
            ws.send(data, opcode)


told.main(websocket.__version__, client)
