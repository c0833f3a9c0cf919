// Boost.Beast, blocking, both roles.

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <iostream>
#include <string>

namespace beast = boost::beast;
namespace websocket = beast::websocket;
using boost::asio::ip::tcp;
using Stream = websocket::stream<tcp::socket>;

static void prepare(Stream &ws) {
    websocket::permessage_deflate deflate;
    deflate.client_enable = true;
    deflate.server_enable = true;
    ws.set_option(deflate);
    ws.auto_fragment(false);
    ws.next_layer().set_option(tcp::no_delay(true));
    ws.control_callback([&ws](websocket::frame_type kind, beast::string_view payload) {
        if (kind != websocket::frame_type::pong) return;
        std::string text = "zoo:pong " + std::string(payload);
        ws.text(true);
        ws.write(boost::asio::buffer(text));
    });
}

static void send(Stream &ws, const std::string &message, bool text) {
    ws.text(text);
    ws.write(boost::asio::buffer(message));
}

static void talk(Stream &ws) {
    try {
        for (;;) {
            beast::flat_buffer buffer;
            ws.read(buffer);
            bool text = ws.got_text();
            std::string message = beast::buffers_to_string(buffer.data());
            if (message == "zoo:burst") {
                for (int number = 0; number < 500; number++)
                    send(ws, "burst " + std::to_string(number), true);
            } else if (message == "zoo:fragments") {
                std::string piece;
                for (int number = 0; number < 500; number++) piece += "0123456789";
                ws.text(true);
                for (int number = 0; number < 10; number++)
                    ws.write_some(number == 9, boost::asio::buffer(piece));
            } else if (message == "zoo:ping") {
                ws.ping("zoo");
            } else if (message == "zoo:close") {
                auto code = static_cast<websocket::close_code>(4001);
                ws.close(websocket::close_reason(code, "the zoo says bye \xc3\xbc"));
                break;
            } else {
                send(ws, message, text);
            }
        }
    } catch (const beast::system_error &error) {
        if (error.code() != websocket::error::closed) {
            std::cout << "closed 1006 " << error.what() << std::endl;
            return;
        }
    }
    std::cout << "closed " << ws.reason().code << " " << ws.reason().reason << std::endl;
}

int main(int argc, char **argv) {
    std::string mode = argc > 1 ? argv[1] : "";
    boost::asio::io_context io;
    if (mode == "server") {
        tcp::acceptor acceptor(io, {boost::asio::ip::make_address("127.0.0.1"), 0});
        std::cout << "port " << acceptor.local_endpoint().port() << std::endl;
        for (;;) {
            Stream ws(io);
            acceptor.accept(ws.next_layer());
            prepare(ws);
            ws.accept();
            talk(ws);
        }
    }
    for (int at = 2; at < argc; at++) {
        std::string url = argv[at]; // ws://127.0.0.1:PORT/PATH
        std::size_t colon = url.rfind(':'), slash = url.find('/', colon);
        tcp::endpoint address(boost::asio::ip::make_address("127.0.0.1"),
                              std::stoi(url.substr(colon + 1)));
        Stream ws(io);
        ws.next_layer().connect(address);
        prepare(ws);
        ws.handshake(url.substr(5, slash - 5), url.substr(slash));
        talk(ws);
    }
}
