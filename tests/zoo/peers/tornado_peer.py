"""tornado, both roles."""

import asyncio

import tornado
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

import told


def obey(ws, message):
    match message:
        case "zoo:burst":
            for text in told.BURST:
                ws.write_message(text)
        case "zoo:fragments":
            ws.write_message("zoo:cannot")
        case "zoo:ping":
            ws.ping(b"zoo")
        case "zoo:close":
            ws.close(*told.CLOSE)
        case _:
            ws.write_message(message, binary=isinstance(message, bytes))


async def client(url):
    ws = await websocket_connect(url, compression_options={}, max_message_size=1 << 24)
    # a connection of a client has no hook for pongs
    ws.on_pong = lambda data: ws.write_message("zoo:pong " + data.decode())
    while (message := await ws.read_message()) is not None:
        obey(ws, message)
    told.closed(ws.close_code, ws.close_reason)


class Echo(WebSocketHandler):
    def get_compression_options(self):
        return {}

    def check_origin(self, origin):
        return True

    def on_message(self, message):
        obey(self, message)

    def on_pong(self, data):
        self.write_message("zoo:pong " + data.decode())

    def on_close(self):
        told.closed(self.close_code, self.close_reason)


async def server():
    sockets = bind_sockets(0, "127.0.0.1")
    app = Application([("/.*", Echo)], websocket_max_message_size=1 << 24)
    HTTPServer(app).add_sockets(sockets)
    told.listening(sockets[0].getsockname()[1])
    await asyncio.Event().wait()


told.main(tornado.version, client, server)
