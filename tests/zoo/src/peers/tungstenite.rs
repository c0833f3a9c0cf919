//! tungstenite, blocking; without compression.

use std::io::{Read, Write};
use std::net::TcpListener;

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Error, Message, WebSocket};

use super::{CLOSE, Order, Outcome, burst, closed, fragments, pong_text};

pub fn run(args: &[&str]) -> Outcome {
    match args {
        ["client", urls @ ..] => {
            for url in urls {
                let (ws, _) = tungstenite::connect(*url)?;
                talk(ws);
            }
            Ok(())
        }
        ["server"] => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            println!("port {}", listener.local_addr()?.port());
            for stream in listener.incoming() {
                match tungstenite::accept(stream?) {
                    Ok(ws) => talk(ws),
                    Err(error) => closed(1006, &error.to_string()),
                }
            }
            Ok(())
        }
        _ => Err("client URL… or server".into()),
    }
}

fn talk<S: Read + Write>(mut ws: WebSocket<S>) {
    let mut end = (1005, String::new());
    loop {
        let result = match ws.read() {
            Ok(message) => obey(&mut ws, message, &mut end),
            Err(Error::ConnectionClosed) => break closed(end.0, &end.1),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            return closed(1006, &error.to_string());
        }
    }
}

fn obey<S: Read + Write>(
    ws: &mut WebSocket<S>,
    message: Message,
    end: &mut (u16, String),
) -> Result<(), Error> {
    match &message {
        Message::Text(text) => match Order::of(text.as_bytes()) {
            Order::Burst => burst().try_for_each(|text| ws.send(text.into())),
            Order::Fragments => fragments().enumerate().try_for_each(|(number, (piece, last))| {
                let kind = if number == 0 { Data::Text } else { Data::Continue };
                ws.send(Message::Frame(Frame::message(piece, OpCode::Data(kind), last)))
            }),
            Order::Ping => ws.send(Message::Ping("zoo".into())),
            Order::Close => {
                ws.close(Some(CloseFrame { code: CLOSE.0.into(), reason: CLOSE.1.into() }))
            }
            Order::Echo => ws.send(message),
        },
        Message::Binary(_) => ws.send(message),
        Message::Pong(payload) => ws.send(pong_text(payload).into()),
        Message::Close(Some(frame)) => {
            *end = (frame.code.into(), frame.reason.to_string());
            Ok(())
        }
        _ => Ok(()),
    }
}
