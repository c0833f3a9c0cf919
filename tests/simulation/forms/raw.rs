//! A peer that speaks in bytes, and keeps all the rules: it sends fragments and pings as no adapter
//! does.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::end::End;
use crate::oracles::{Ending, Info};
use crate::payload::Item;
use crate::rng::Rng;
use crate::scenario::{Running, User, pause};
use sansws_test::wire::{self, Frame};

pub fn user(user: User) -> Running {
    Box::pin(talk(user))
}

async fn talk(mut user: User) -> Ending {
    let mut raw = Raw::new(user.take_end(), user.is_server);
    let mut ending = Ending::default();
    let mut items: VecDeque<Item> = std::mem::take(&mut user.says).into();
    let (mut heard_bye, mut message) = (false, Vec::new());
    let mut text = false;
    let mut closing = (None, None);
    let result = loop {
        if closing.0.is_none()
            && raw.out.len() < 64 * 1024
            && let Some(item) = items.pop_front()
        {
            user.story.sends(user.side, item);
            raw.say(&mut user.rng, item);
            user.story.accepted(user.side, item);
        }
        if closing.0.is_none() && user.is_done(items.is_empty(), heard_bye) {
            let code = 4000 + user.side as u16;
            raw.put(wire::CLOSE, &wire::close_payload(code, "done"));
            closing.0 = Some(code);
        }
        pause(&mut user.rng, user.pause).await;
        user.doing("reading and writing");
        // the other may be quiet for as long as that once
        match timeout(2 * user.patience, raw.turn()).await {
            Err(_) => break Err(io::ErrorKind::TimedOut.into()),
            Ok(Err(error)) => break Err(error),
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => break Ok(()),
        }
        for frame in raw.frames() {
            match frame.opcode {
                // RFC 6455 §5.5.1: "The application MUST NOT send any more data frames"
                wire::PONG => {}
                _ if closing.1.is_some() => {
                    user.story.fault(format!("RAW: {frame:?} behind a Close frame"));
                }
                wire::PING if closing.0.is_none() => raw.put(wire::PONG, &frame.payload),
                wire::PING => {}
                wire::CLOSE => {
                    let code = frame.close_code().unwrap_or(1005);
                    closing.1 = Some(code);
                    if closing.0.is_none() {
                        raw.put(wire::CLOSE, &frame.payload);
                        closing.0 = Some(code);
                        ending.info =
                            Some(Info { peer_began: true, codes: (code, code), clean: true });
                    }
                }
                opcode => {
                    if opcode != wire::CONTINUATION {
                        text = opcode == wire::TEXT;
                    }
                    message.extend_from_slice(&frame.payload);
                    if frame.fin {
                        heard_bye |= user.hear(text, &std::mem::take(&mut message));
                    }
                }
            }
        }
        if closing.0.is_some() && closing.1.is_some() && raw.out.is_empty() && user.is_server {
            raw.shut_down().await;
        }
    };
    user.doing(&format!("over, {result:?}"));
    if let (Some(sent), Some(came)) = closing
        && raw.out.is_empty()
    {
        let peer_began = ending.info.is_some();
        ending.info = Some(Info { peer_began, codes: (came, sent), clean: true });
    } else {
        ending.error = Some(format!("{result:?}"));
    }
    ending
}

struct Raw {
    end: End,
    is_server: bool,
    out: Vec<u8>,
    inn: Vec<u8>,
    flushed: bool,
    shut: bool,
}

impl Raw {
    fn new(end: End, is_server: bool) -> Self {
        Self { end, is_server, out: Vec::new(), inn: Vec::new(), flushed: true, shut: false }
    }

    fn put(&mut self, opcode: u8, payload: &[u8]) {
        self.put_frame(true, opcode, payload);
    }

    fn put_frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) {
        let mask = (!self.is_server).then_some([0x37, 0xfa, 0x21, 0x3d]);
        self.out.extend(wire::encode(fin, opcode, mask, payload));
        self.flushed = false;
    }

    /// A message in some fragments, with pings between them.
    fn say(&mut self, rng: &mut Rng, item: Item) {
        let payload = item.bytes();
        let mut rest = &payload[..];
        let mut opcode = if item.text { wire::TEXT } else { wire::BINARY };
        let most = if rng.chance(50) { u64::MAX } else { rng.magnitude(1, 1 << 20) };
        let most = most.max(rest.len() as u64 / 50);
        loop {
            let n = rest.len().min(most as usize);
            let fin = n == rest.len() && rng.chance(80);
            self.put_frame(fin, opcode, &rest[..n]);
            if rng.chance(20) {
                self.put(wire::PING, &payload[..payload.len().min(125)]);
            }
            rest = &rest[n..];
            opcode = wire::CONTINUATION;
            if fin {
                return;
            }
        }
    }

    /// Writes and reads what goes. `false` at the end of file.
    async fn turn(&mut self) -> io::Result<bool> {
        let Self { end, out, inn, flushed, shut, .. } = self;
        let mut buf = [0; 16 * 1024];
        poll_fn(|cx| {
            let mut moved = false;
            let mut written = 0;
            while written < out.len() && !*shut {
                match Pin::new(&mut *end).poll_write(cx, &out[written..]) {
                    Poll::Ready(Ok(n)) => written += n,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                }
            }
            out.drain(..written);
            if out.is_empty() && !*flushed && !*shut {
                match Pin::new(&mut *end).poll_flush(cx) {
                    Poll::Ready(Ok(())) => (*flushed, moved) = (true, true),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
            }
            let mut buf = ReadBuf::new(&mut buf);
            match Pin::new(&mut *end).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) => {
                    inn.extend_from_slice(buf.filled());
                    return Poll::Ready(Ok(!buf.filled().is_empty()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
            if moved { Poll::Ready(Ok(true)) } else { Poll::Pending }
        })
        .await
    }

    fn frames(&mut self) -> Vec<Frame> {
        let (frames, used) = wire::frames_in(&self.inn);
        self.inn.drain(..used);
        frames
    }

    async fn shut_down(&mut self) {
        if !self.shut {
            self.shut = true;
            let _ = poll_fn(|cx| Pin::new(&mut self.end).poll_shutdown(cx)).await;
        }
    }
}
