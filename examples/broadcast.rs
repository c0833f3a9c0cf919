//! A broadcasting server with its page: open <http://127.0.0.1:8181> in two browser windows.

use sansws::server::{Response, Server, ServerError, handler_fn};

#[tokio::main]
async fn main() -> Result<(), ServerError> {
    let chat = handler_fn().on_message(|client, message| client.hub().all().send(message));
    let server = Server::bind("ws://127.0.0.1:8181").await?.route("/chat", chat);
    server.page("/", Response::html(PAGE)).run().await
}

const PAGE: &str = "<!DOCTYPE html><title>broadcast</title><input autofocus><pre></pre><script>
    const input = document.querySelector('input'), log = document.querySelector('pre')
    const ws = new WebSocket(location.href.replace(/^http/, 'ws') + 'chat')
    ws.onmessage = message => log.append(message.data + '\\n')
    input.onchange = () => { ws.send(input.value); input.value = '' }
</script>";
