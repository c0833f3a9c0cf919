//! `Sec-WebSocket-Extensions` (RFC 6455 §9.1) and the parameters of permessage-deflate (RFC 7692
//! §7.1) once more, as plainly as can be and with nothing of the crate.

use super::second_opinion::is_token;

/// An extension as it is offered or chosen; values without their quotes.
#[derive(Debug, PartialEq)]
pub(super) struct Extension {
    name: String,
    params: Vec<(String, Option<String>)>,
}

/// The parameters of permessage-deflate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Params {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    pub(super) server_max_window_bits: Option<u8>,
    /// In an offer it may stand there without a value.
    pub(super) client_max_window_bits: Option<Option<u8>>,
}

/// What both ends do: whether the server's and the client's messages begin with an empty window,
/// and how large their windows are.
pub(super) type Agreed = (bool, bool, u8, u8);

#[cfg(feature = "deflate")]
pub(super) fn agreed(agreement: Option<sansws::deflate::Agreement>) -> Option<Agreed> {
    let it = agreement?;
    let (server, client) = (it.server_no_context_takeover, it.client_no_context_takeover);
    Some((server, client, it.server_max_window_bits, it.client_max_window_bits))
}

/// What an end is set to, by the switches of an input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    pub(super) server_max_window_bits: u8,
    pub(super) client_max_window_bits: Option<u8>,
    /// The smallest window that a server compresses with.
    pub(super) min_window_bits: u8,
}

impl Settings {
    #[cfg(feature = "deflate")]
    pub(super) fn deflate(&self) -> sansws::deflate::Deflate {
        sansws::deflate::Deflate::new()
            .server_no_context_takeover(self.server_no_context_takeover)
            .client_no_context_takeover(self.client_no_context_takeover)
            .server_max_window_bits(self.server_max_window_bits)
            .client_max_window_bits(self.client_max_window_bits)
            .min_window_bits(self.min_window_bits)
    }
}

/// Reads all lines; `None` if one does not follow the grammar.
pub(super) fn read(lines: &[&[u8]]) -> Option<Vec<Extension>> {
    let mut extensions = Vec::new();
    let mut empty = 0;
    for line in lines {
        let words = words(line)?;
        let items: Vec<_> = words.split(|word| *word == Word::Sign(b',')).collect();
        // what is behind the last comma, or without one, is not an empty element
        empty += items[..items.len() - 1].iter().filter(|item| item.is_empty()).count();
        for item in items.into_iter().filter(|item| !item.is_empty()) {
            extensions.push(extension(item)?);
        }
    }
    // ours: so many mistakes nobody makes (RFC 9110 §5.6.1.2)
    (empty <= 32).then_some(extensions)
}

#[derive(Debug, PartialEq)]
enum Word {
    Token(String),
    Quoted(String),
    Sign(u8),
}

/// RFC 9110 §5.6.2, §5.6.4: what is between the white space.
fn words(mut line: &[u8]) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    while let [first, rest @ ..] = line {
        match first {
            b' ' | b'\t' => line = rest,
            b',' | b';' | b'=' => {
                words.push(Word::Sign(*first));
                line = rest;
            }
            b'"' => {
                let mut text = Vec::new();
                line = rest;
                while !line.starts_with(b"\"") {
                    line = line.strip_prefix(b"\\").unwrap_or(line);
                    let (byte, rest) = line.split_first()?;
                    text.push(*byte);
                    line = rest;
                }
                line = &line[1..];
                // RFC 6455 §9.1: "the value after quoted-string unescaping MUST conform to the
                // 'token' ABNF"
                if !is_token(&text) {
                    return None;
                }
                words.push(Word::Quoted(String::from_utf8(text).ok()?));
            }
            _ => {
                let ends = |it: &u8| !is_token(&[*it]);
                let len = line.iter().position(ends).unwrap_or(line.len());
                if len == 0 {
                    return None;
                }
                words.push(Word::Token(String::from_utf8(line[..len].to_vec()).ok()?));
                line = &line[len..];
            }
        }
    }
    Some(words)
}

/// RFC 6455 §9.1: `extension = extension-token *( ";" extension-param )`.
fn extension(words: &[Word]) -> Option<Extension> {
    let mut parts = words.split(|word| *word == Word::Sign(b';'));
    let Some([Word::Token(name)]) = parts.next() else { return None };
    let mut extension = Extension { name: name.clone(), params: Vec::new() };
    for part in parts {
        let (name, value) = match part {
            [Word::Token(name)] => (name, None),
            [Word::Token(name), Word::Sign(b'='), Word::Token(value) | Word::Quoted(value)] => {
                (name, Some(value.clone()))
            }
            _ => return None,
        };
        extension.params.push((name.clone(), value));
    }
    Some(extension)
}

/// RFC 7692 §7.1; `None` where §7 says to decline an offer: "an extension parameter not defined for
/// use in an offer", one "with an invalid value", or several "with the same name".
fn params(extension: &Extension) -> Option<Params> {
    let mut params = Params::default();
    for (at, (name, value)) in extension.params.iter().enumerate() {
        if extension.params[..at].iter().any(|it| it.0 == *name) {
            return None;
        }
        // §7.1.2.1: "a decimal integer value without leading zeroes between 8 to 15, inclusive"
        let bits = (8..=15).find(|bits: &u8| value.as_ref() == Some(&bits.to_string()));
        match (&**name, value) {
            ("server_no_context_takeover", None) => params.server_no_context_takeover = true,
            ("client_no_context_takeover", None) => params.client_no_context_takeover = true,
            ("server_max_window_bits", _) => params.server_max_window_bits = Some(bits?),
            ("client_max_window_bits", None) => params.client_max_window_bits = Some(None),
            ("client_max_window_bits", _) => params.client_max_window_bits = Some(Some(bits?)),
            _ => return None,
        }
    }
    Some(params)
}

/// The parameters of each permessage-deflate in a list.
fn all(extensions: &[Extension]) -> impl Iterator<Item = Option<Params>> {
    extensions.iter().filter(|it| it.name == "permessage-deflate").map(params)
}

/// Fails if `answer` is not how a server with these settings answers the offers, or says something
/// else than `agreed`.
pub(super) fn check_answer(
    settings: Option<&Settings>,
    offers: &[Extension],
    answer: &[Extension],
    agreed: Option<Agreed>,
) {
    // ours: the first one that can be accepted, as the order is that of preference
    let offer = settings.and_then(|settings| {
        let is_acceptable = |it: &Params| {
            it.server_max_window_bits.is_none_or(|bits| bits >= settings.min_window_bits)
        };
        all(offers).flatten().find(is_acceptable)
    });
    let (Some(settings), Some(offer)) = (settings, offer) else {
        assert_eq!((answer, agreed), (&[][..], None), "an answer to nothing");
        return;
    };
    let mut answers = all(answer);
    let (Some(Some(params)), 1) = (answers.next(), answer.len()) else {
        panic!("{answer:?} to {offer:?}")
    };
    let note = format!("{params:?} to {offer:?} by {settings:?}");
    // §7.1.1.1: "by including" it; §7.1.1.2: a hint, which we take
    let server = offer.server_no_context_takeover || settings.server_no_context_takeover;
    let client = offer.client_no_context_takeover || settings.client_no_context_takeover;
    assert_eq!(params.server_no_context_takeover, server, "{note}");
    assert_eq!(params.client_no_context_takeover, client, "{note}");
    // §7.1.2.1: "with the same or smaller value as the offer"
    assert!(offer.server_max_window_bits.is_none() || params.server_max_window_bits.is_some());
    let server_bits = params.server_max_window_bits.unwrap_or(15);
    assert!(server_bits <= offer.server_max_window_bits.unwrap_or(15), "{note}");
    assert!(server_bits <= settings.server_max_window_bits, "{note}");
    // §7.1.2.2: it "MUST NOT include" what was not offered
    let client_bits = match (params.client_max_window_bits, offer.client_max_window_bits) {
        (None, _) => 15,
        (Some(Some(bits)), Some(most)) => {
            assert!(bits <= most.unwrap_or(15), "{note}");
            bits
        }
        _ => panic!("{note}"),
    };
    if let (Some(_), Some(wanted)) = (offer.client_max_window_bits, settings.client_max_window_bits)
    {
        assert!(client_bits <= wanted, "{note}");
    }
    assert_eq!(agreed, Some((server, client, server_bits, client_bits)), "{note}");
}

/// The offer of a client with these settings; fails if it is another one.
pub(super) fn check_offer(settings: Option<&Settings>, offers: &[Extension]) -> Option<Params> {
    let Some(settings) = settings else {
        assert_eq!(offers, [], "an offer that nobody has asked for");
        return None;
    };
    let mut all = all(offers);
    let (Some(Some(offer)), 1) = (all.next(), offers.len()) else { panic!("{offers:?}") };
    let limit = |bits| if bits < 15 { Some(bits) } else { None };
    let expected = Params {
        server_no_context_takeover: settings.server_no_context_takeover,
        client_no_context_takeover: settings.client_no_context_takeover,
        server_max_window_bits: limit(settings.server_max_window_bits),
        client_max_window_bits: settings.client_max_window_bits.map(limit),
    };
    assert_eq!(offer, expected);
    Some(offer)
}

/// What is agreed on by an answer to an offer; an error if it is no answer to that (RFC 7692 §7).
pub(super) fn confirm(
    offer: Option<&Params>,
    answer: &[Extension],
) -> Result<Option<Agreed>, &'static str> {
    if answer.is_empty() {
        return Ok(None);
    }
    let (Some(offer), [Some(params)]) = (offer, &all(answer).collect::<Vec<_>>()[..]) else {
        return Err("none was offered, or it is wrong");
    };
    if answer.len() > 1 {
        return Err("something else was not offered");
    }
    if offer.server_no_context_takeover && !params.server_no_context_takeover {
        return Err("§7.1.1.1: it has to be in the answer");
    }
    let server_bits = params.server_max_window_bits.unwrap_or(15);
    if server_bits > offer.server_max_window_bits.unwrap_or(15) {
        return Err("§7.1.2.1: the same or a smaller value");
    }
    // §7.1.2.2
    let client_bits = match (params.client_max_window_bits, offer.client_max_window_bits) {
        (None, hint) => hint.flatten().unwrap_or(15),
        (Some(Some(bits)), Some(hint)) => bits.min(hint.unwrap_or(15)),
        _ => return Err("§7.1.2.2: it was not offered, or has no value"),
    };
    let client = params.client_no_context_takeover || offer.client_no_context_takeover;
    Ok(Some((params.server_no_context_takeover, client, server_bits, client_bits)))
}
