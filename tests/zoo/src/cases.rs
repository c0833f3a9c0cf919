//! What is asked of a peer, whichever end it is. All of them send back what they get, apart from
//! texts that begin with `zoo:`, which tell them to do something.

use sansws::deflate::Deflate;
use sansws::proto::{CloseInfo, Initiator, MessageRef};
use sansws::{CloseCode, Config, Message};

use crate::end::{End, Incoming};

/// The names of the cases, in the order of the table. Each has a connection of its own.
pub const CASES: [&str; 13] = [
    "text",
    "binary",
    "sizes",
    "pipelined",
    "fragments",
    "their-fragments",
    "ping",
    "their-ping",
    "close",
    "their-close",
    "takeover",
    "alone",
    "compressed-fragments",
];

const SIZES: [usize; 6] = [0, 125, 126, 65_535, 65_536, 1 << 20];

/// How many messages are sent before any answer is looked at.
const PIPELINED: usize = 500;

/// What a peer has to find in our Close frame, and puts into its own. `run.py` has them too.
const OUR_CLOSE: (u16, &str) = (4002, "sansws says bye ü");
const THEIR_CLOSE: (u16, &str) = (4001, "the zoo says bye ü");

/// Compression of a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Takeover {
    Off,
    Allowed,
    Forbidden,
}

impl Takeover {
    pub fn of(case: &str) -> Self {
        match case {
            "takeover" | "compressed-fragments" => Self::Allowed,
            "alone" => Self::Forbidden,
            _ => Self::Off,
        }
    }

    pub fn config(self) -> Config {
        let config = Config::new();
        if self == Self::Off {
            return config;
        }
        let alone = self == Self::Forbidden;
        let deflate = Deflate::new().threshold(0);
        config.deflate(deflate.server_no_context_takeover(alone).client_no_context_takeover(alone))
    }
}

/// One case; what is wrong with the peer, or with us.
pub async fn run(case: &str, end: &mut End) -> Result<(), String> {
    match case {
        "text" => texts(end).await?,
        "binary" => binaries(end).await?,
        "sizes" => sizes(end).await?,
        "pipelined" => pipelined(end).await?,
        "fragments" => fragments(end).await?,
        "their-fragments" => their_fragments(end).await?,
        "ping" => pings(end).await?,
        "their-ping" => their_ping(end).await?,
        "close" => return close(end).await,
        "their-close" => return their_close(end).await,
        "takeover" | "alone" => compressed(end, Takeover::of(case)).await?,
        "compressed-fragments" => compressed_fragments(end).await?,
        _ => return Err(format!("there is no case {case}")),
    }
    end.close(CloseCode::NORMAL, "").await?;
    closed(end).await.map(drop)
}

async fn message(end: &mut End) -> Result<Message, String> {
    match end.next().await? {
        Incoming::Message(message) => Ok(message),
        other => Err(format!("{other:?} in place of a message")),
    }
}

async fn echoed(end: &mut End, sent: &Message) -> Result<(), String> {
    let came = message(end).await?;
    if came == *sent { Ok(()) } else { Err(different(sent, &came)) }
}

async fn echo(end: &mut End, sent: Message) -> Result<(), String> {
    end.send(&sent).await?;
    echoed(end, &sent).await
}

fn different(sent: &Message, came: &Message) -> String {
    let kind = |message: &Message| if message.as_text().is_some() { "text" } else { "binary" };
    let at = sent.as_bytes().iter().zip(came.as_bytes()).position(|(a, b)| a != b);
    format!(
        "{} of {} bytes came back as {} of {}, different at {at:?}",
        kind(sent),
        sent.len(),
        kind(came),
        came.len()
    )
}

async fn texts(end: &mut End) -> Result<(), String> {
    for text in ["hello", "ö", "日本語", "🦀 \u{10ffff}", "\0\u{7f}\r\n\t\"\\", "\u{feff}bom", "{}"]
    {
        echo(end, text.into()).await?;
    }
    let long: String = ('\u{1}'..'\u{d7ff}').step_by(7).collect();
    echo(end, long.into()).await
}

async fn binaries(end: &mut End) -> Result<(), String> {
    for bytes in [vec![0], vec![0xff, 0xfe, 0xc0, 0x80], (0..=255).collect(), noise(3000)] {
        echo(end, bytes.into()).await?;
    }
    Ok(())
}

async fn sizes(end: &mut End) -> Result<(), String> {
    for len in SIZES {
        echo(end, "x".repeat(len).into()).await?;
        echo(end, noise(len).into()).await?;
    }
    Ok(())
}

/// All of ours before the first answer, and as many of theirs at once.
async fn pipelined(end: &mut End) -> Result<(), String> {
    let number = |n: usize| -> Message {
        if n.is_multiple_of(2) { format!("message {n}").into() } else { noise(n).into() }
    };
    for n in 0..PIPELINED {
        end.feed(number(n))?;
    }
    for n in 0..PIPELINED {
        echoed(end, &number(n)).await.map_err(|fault| format!("message {n}: {fault}"))?;
    }
    end.send("zoo:burst").await?;
    for n in 0..PIPELINED {
        echoed(end, &format!("burst {n}").into()).await?;
    }
    Ok(())
}

/// Messages of ours in fragments, of which one is empty and one ends inside a character, with a
/// Ping behind the first.
async fn fragments(end: &mut End) -> Result<(), String> {
    let text = "0123456789ö".repeat(5000);
    for (message, cuts) in [
        (Message::from("öä"), vec![1, 1]),
        (Message::from(text), vec![126, 11, 40_000]),
        (noise(70_000).into(), vec![0, 1, 65_536]),
    ] {
        end.send_in_fragments(&message, &cuts).await?;
        match end.next().await? {
            Incoming::Pong(pong) if pong == b"between" => {}
            other => return Err(format!("{other:?} in place of a pong")),
        }
        echoed(end, &message).await?;
    }
    echo(end, "after the fragments".into()).await
}

/// A message of theirs in fragments, by its bytes: in more than one frame.
async fn their_fragments(end: &mut End) -> Result<(), String> {
    let before = end.received();
    let len = fragmented(end).await?.ok_or("it cannot send fragments")?;
    // one frame of so much has a header of 4 bytes, or of 8 with the mask of a client
    match end.received() - before - len {
        ..=8 => Err("it came in one frame".into()),
        _ => Ok(()),
    }
}

/// Has them send a message in fragments, if they can, and says how long it is.
async fn fragmented(end: &mut End) -> Result<Option<usize>, String> {
    end.send("zoo:fragments").await?;
    let came = message(end).await?;
    if came.as_text() == Some("zoo:cannot") {
        return Ok(None);
    }
    let sent: Message = "0123456789".repeat(5000).into();
    if came == sent { Ok(Some(sent.len())) } else { Err(different(&sent, &came)) }
}

async fn pings(end: &mut End) -> Result<(), String> {
    for payload in [vec![], b"ping".to_vec(), noise(125)] {
        end.send(MessageRef::ping(&payload)).await?;
        match end.next().await? {
            Incoming::Pong(pong) if pong == payload => {}
            other => return Err(format!("{other:?} in place of a pong")),
        }
    }
    echo(end, "after the pings".into()).await
}

async fn their_ping(end: &mut End) -> Result<(), String> {
    end.send("zoo:ping").await?;
    match message(end).await?.as_text() {
        Some("zoo:pong zoo") => Ok(()),
        Some("zoo:cannot") => Err("it cannot ping".into()),
        other => Err(format!("{other:?} in place of what the pong has")),
    }
}

/// The end of the connection, of which both have to be told.
async fn closed(end: &mut End) -> Result<CloseInfo<'static>, String> {
    match end.next().await? {
        Incoming::Closed(info) if info.clean => Ok(info),
        other => Err(format!("{other:?} in place of a clean end")),
    }
}

async fn close(end: &mut End) -> Result<(), String> {
    echo(end, "before the end".into()).await?;
    end.close(CloseCode::new(OUR_CLOSE.0).expect("ours to use"), OUR_CLOSE.1).await?;
    let info = closed(end).await?;
    // a code is "typically" sent back (RFC 6455 §5.5.1); some say that all is well
    if [OUR_CLOSE.0, 1000].contains(&info.code) {
        Ok(())
    } else {
        Err(format!("answered with {}", info.code))
    }
}

async fn their_close(end: &mut End) -> Result<(), String> {
    end.send("zoo:close").await?;
    let info = closed(end).await?;
    let right = (info.code, &*info.reason) == THEIR_CLOSE && info.initiator == Initiator::Peer;
    if right { Ok(()) } else { Err(format!("closed with {info:?}")) }
}

/// Whether it works, and whether what comes is compressed, by what was said about the context.
async fn compressed(end: &mut End, takeover: Takeover) -> Result<(), String> {
    if let Some(agreed) = end.deflate() {
        let agreed = agreed.ok_or("no compression was agreed on")?;
        let alone = agreed.server_no_context_takeover && agreed.client_no_context_takeover;
        if (takeover == Takeover::Forbidden) != alone {
            return Err(format!("agreed on {agreed:?}"));
        }
    }
    let before = end.received();
    echo(end, "compress me ".repeat(5000).into()).await?;
    let took = end.received() - before;
    if took > 20_000 {
        return Err(format!("60000 bytes that are easily compressed came as {took}"));
    }
    texts(end).await?;
    binaries(end).await?;
    sizes(end).await?;
    pipelined(end).await?;
    let again: Message = noise(4096).into();
    echo(end, again.clone()).await?;
    let before = end.received();
    echo(end, again).await?;
    let took = end.received() - before;
    match takeover {
        Takeover::Allowed if took > 1000 => Err(format!("no context: a repetition took {took}")),
        Takeover::Forbidden if took < 4096 => Err(format!("a context: a repetition took {took}")),
        _ => Ok(()),
    }
}

async fn compressed_fragments(end: &mut End) -> Result<(), String> {
    if let Some(agreed) = end.deflate() {
        agreed.ok_or("no compression was agreed on")?;
        fragments(end).await?;
    }
    fragmented(end).await?;
    Ok(())
}

/// Bytes that no compressor makes shorter, the same ones each time.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ len as u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
