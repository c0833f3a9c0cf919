// java.net.http of the JDK, a client only, without compression. Messages come in pieces, and only
// one may be on its way out.

import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.Supplier;

public class Jdk implements WebSocket.Listener {
    private final StringBuilder text = new StringBuilder();
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    private final CompletableFuture<String> closed = new CompletableFuture<>();
    private CompletableFuture<?> sent = CompletableFuture.completedFuture(null);

    private synchronized void queue(Supplier<CompletableFuture<?>> send) {
        sent = sent.thenCompose(before -> send.get());
    }

    private void send(WebSocket ws, String text) {
        queue(() -> ws.sendText(text, true));
    }

    @Override
    public CompletionStage<?> onText(WebSocket ws, CharSequence data, boolean last) {
        text.append(data);
        ws.request(1);
        if (!last) return null;
        String message = text.toString();
        text.setLength(0);
        switch (message) {
            case "zoo:burst" -> {
                for (int number = 0; number < 500; number++) send(ws, "burst " + number);
            }
            case "zoo:fragments" -> {
                String piece = "0123456789".repeat(500);
                for (int number = 0; number < 10; number++) {
                    boolean end = number == 9;
                    queue(() -> ws.sendText(piece, end));
                }
            }
            case "zoo:ping" -> queue(() -> ws.sendPing(ByteBuffer.wrap("zoo".getBytes())));
            case "zoo:close" -> queue(() -> ws.sendClose(4001, "the zoo says bye \u00fc"));
            default -> send(ws, message);
        }
        return null;
    }

    @Override
    public CompletionStage<?> onBinary(WebSocket ws, ByteBuffer data, boolean last) {
        byte[] piece = new byte[data.remaining()];
        data.get(piece);
        bytes.writeBytes(piece);
        ws.request(1);
        if (last) {
            ByteBuffer message = ByteBuffer.wrap(bytes.toByteArray());
            bytes.reset();
            queue(() -> ws.sendBinary(message, true));
        }
        return null;
    }

    @Override
    public CompletionStage<?> onPong(WebSocket ws, ByteBuffer data) {
        ws.request(1);
        send(ws, "zoo:pong " + StandardCharsets.UTF_8.decode(data));
        return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket ws, int code, String reason) {
        closed.complete("closed " + code + " " + reason);
        return null;
    }

    @Override
    public void onError(WebSocket ws, Throwable error) {
        error.printStackTrace();
        closed.complete("closed 1006 " + error);
    }

    public static void main(String[] args) throws Exception {
        if (args[0].equals("version")) {
            System.out.println(System.getProperty("java.version"));
            return;
        }
        System.setOut(new java.io.PrintStream(System.out, true, StandardCharsets.UTF_8));
        HttpClient client = HttpClient.newHttpClient();
        for (int at = 1; at < args.length; at++) {
            Jdk peer = new Jdk();
            URI uri = URI.create(args[at]);
            WebSocket ws = client.newWebSocketBuilder().buildAsync(uri, peer).join();
            System.out.println(peer.closed.get());
            while (!ws.isOutputClosed()) Thread.sleep(1); // its answer to a Close
        }
        System.exit(0);
    }
}
