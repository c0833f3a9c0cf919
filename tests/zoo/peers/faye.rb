# Ruby on EventMachine: faye-websocket as a client, and as a server what is below it,
# websocket-driver. Without compression, for which Debian has no package.

require "eventmachine"
require "faye/websocket"
require "websocket/driver"

CLOSE = [4001, "the zoo says bye ü"].freeze
$stdout.sync = true

def closed(code, reason)
  puts "closed #{code} #{reason}"
end

# `ws` is either of the two, whose methods differ for bytes.
def obey(ws, message, &bytes)
  case message
  when "zoo:burst" then 500.times { |number| yield ws, "burst #{number}" }
  when "zoo:fragments" then yield ws, "zoo:cannot"
  when "zoo:ping" then ws.ping("zoo") { yield ws, "zoo:pong zoo" }
  when "zoo:close"
    ws.is_a?(Faye::WebSocket::API) ? ws.close(*CLOSE) : ws.close(*CLOSE.reverse)
  else yield ws, message
  end
end

def client(urls)
  return EM.stop if urls.empty?

  ws = Faye::WebSocket::Client.new(urls.first)
  ws.on(:message) { |event| obey(ws, event.data) { |to, data| to.send(data) } }
  ws.on(:close) do |event|
    closed(event.code, event.reason)
    client(urls.drop(1))
  end
end

class Server < EM::Connection
  def post_init
    @driver = WebSocket::Driver.server(self, max_length: 1 << 24)
    @driver.on(:connect) { @driver.start }
    @driver.on(:message) do |event|
      obey(@driver, event.data) { |to, data| data.is_a?(Array) ? to.binary(data) : to.text(data) }
    end
    @driver.on(:close) do |event|
      closed(event.code, event.reason)
      close_connection_after_writing
    end
  end

  def receive_data(data)
    @driver.parse(data)
  end

  def write(data)
    send_data(data)
  end
end

EM.run do
  case ARGV.shift
  when "client" then client(ARGV)
  when "server"
    signature = EM.start_server("127.0.0.1", 0, Server)
    puts "port #{Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first}"
  end
end
