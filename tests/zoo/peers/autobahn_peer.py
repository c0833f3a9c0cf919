"""autobahn on asyncio, both roles."""

import asyncio

import autobahn
from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)

import told


class Obedient:
    def onMessage(self, payload, isBinary):
        match payload:
            case b"zoo:burst":
                for text in told.BURST:
                    self.sendMessage(text.encode())
            case b"zoo:fragments":
                text = "".join(piece for piece, _ in told.FRAGMENTS)
                self.sendMessage(text.encode(), fragmentSize=len(told.PIECE))
            case b"zoo:ping":
                self.sendPing(b"zoo")
            case b"zoo:close":
                self.sendClose(*told.CLOSE)
            case _:
                self.sendMessage(payload, isBinary)

    def onPong(self, payload):
        self.sendMessage(b"zoo:pong " + payload)

    def onClose(self, wasClean, code, reason):
        told.closed(self.remoteCloseCode or code, self.remoteCloseReason or reason)
        if self.factory.ended:
            self.factory.ended.set_result(None)


class Client(Obedient, WebSocketClientProtocol):
    pass


class Server(Obedient, WebSocketServerProtocol):
    pass


async def client(url):
    loop = asyncio.get_running_loop()
    factory = WebSocketClientFactory(url)
    factory.protocol = Client
    factory.ended = loop.create_future()
    factory.setProtocolOptions(
        perMessageCompressionOffers=[PerMessageDeflateOffer()],
        perMessageCompressionAccept=lambda response: PerMessageDeflateResponseAccept(response)
        if isinstance(response, PerMessageDeflateResponse)
        else None,
    )
    await loop.create_connection(factory, factory.host, factory.port)
    await factory.ended


async def server():
    loop = asyncio.get_running_loop()
    factory = WebSocketServerFactory()
    factory.protocol = Server
    factory.ended = None
    factory.setProtocolOptions(
        perMessageCompressionAccept=lambda offers: next(
            PerMessageDeflateOfferAccept(
                offer,
                # what the client asks of this end is asked of the client
                request_no_context_takeover=offer.request_no_context_takeover,
            )
            for offer in offers
            if isinstance(offer, PerMessageDeflateOffer)
        )
        if offers
        else None,
    )
    listener = await loop.create_server(factory, "127.0.0.1", 0)
    told.listening(listener.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


told.main(autobahn.__version__, client, server)
