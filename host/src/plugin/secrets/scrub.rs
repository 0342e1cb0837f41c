//! Finds secrets in what a plugin gets to see, and puts `[secret NAME]` in their place.
//!
//! A secret is searched for as it is, in hexadecimal and in base64 at each of the three
//! positions that it can have within a longer encoded text (as in a Basic pair), in the
//! text as it stands and in the text without percent encoding and without JSON's escapes.
//! This keeps secrets out of answers that happen to repeat a request. It cannot keep one
//! from a server that hides it on purpose: who is sent a secret, has it.

use std::borrow::Cow;
use std::fmt;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::Secret;

/// How many times over an escaped text is unescaped: JSON within JSON, and once more.
const DEPTH: usize = 3;

/// Searches for one plugin's secrets.
pub(super) struct Scrubber {
    /// None without secrets.
    search: Option<AhoCorasick>,
    patterns: Vec<Pattern>,
    /// What stands in the place of each secret.
    markers: Vec<String>,
}

/// What one pattern of the search is.
struct Pattern {
    /// Which secret.
    secret: usize,
    /// Whether the character of base64 before it holds some bits of the secret.
    shares_before: bool,
    /// The same of the one behind it.
    shares_behind: bool,
}

/// A place in a text where a secret stands.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    secret: usize,
}

/// A text without its escapes, and where each byte of it comes from.
struct Unescaped {
    bytes: Vec<u8>,
    /// Of each byte, where its escape (or itself) begins; then the text's length.
    starts: Vec<usize>,
}

/// One escape, read.
struct Escape {
    utf8: [u8; 4],
    len: usize,
    /// How long it is in the text.
    consumed: usize,
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scrubber").field(&self.markers).finish()
    }
}

impl Scrubber {
    /// Prepares the search for these secrets, by name.
    pub(super) fn new<'a>(secrets: impl Iterator<Item = (&'a str, &'a Secret)>) -> Self {
        let (mut patterns, mut texts, mut markers) = (Vec::new(), Vec::new(), Vec::new());
        for (name, secret) in secrets {
            for (text, shares_before, shares_behind) in forms(secret.expose()) {
                texts.push(text);
                patterns.push(Pattern {
                    secret: markers.len(),
                    shares_before,
                    shares_behind,
                });
            }
            markers.push(format!("[secret {name}]"));
        }
        // Of the automata this one is small, whatever the patterns are.
        let search = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&texts)
            .expect("the configuration bounds secrets far below two billion states");
        Self {
            search: (!patterns.is_empty()).then_some(search),
            patterns,
            markers,
        }
    }

    /// The text with a marker in place of each secret.
    pub(super) fn scrub<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let spans = self.spans(text);
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut scrubbed = Vec::with_capacity(text.len());
        let mut from = 0;
        for span in spans {
            scrubbed.extend_from_slice(&text[from..span.start]);
            scrubbed.extend_from_slice(self.markers[span.secret].as_bytes());
            from = span.end;
        }
        scrubbed.extend_from_slice(&text[from..]);
        Cow::Owned(scrubbed)
    }

    /// Where secrets stand in a text, in order, apart from each other.
    fn spans(&self, text: &[u8]) -> Vec<Span> {
        let Some(search) = &self.search else {
            return Vec::new();
        };
        let mut found = self.plain_spans(search, text);
        for (mark, read) in [(b'%', percent as fn(&[u8]) -> _), (b'\\', json as _)] {
            let mut next = unescaped(text, mark, read);
            for _ in 0..DEPTH {
                let Some(now) = next else { break };
                let spans = self.plain_spans(search, &now.bytes);
                found.extend(spans.into_iter().map(|span| now.origin(span)));
                next = unescaped(&now.bytes, mark, read).map(|deeper| deeper.within(&now));
            }
        }
        found.sort_unstable_by_key(|span| (span.start, span.end));
        let mut apart = Vec::with_capacity(found.len());
        for span in found {
            join(&mut apart, span);
        }
        apart
    }

    /// Where secrets stand in a text as it is.
    fn plain_spans(&self, search: &AhoCorasick, text: &[u8]) -> Vec<Span> {
        let mut apart = Vec::new();
        // Matches come in the order of their ends, so that each touches only the last ones.
        for found in search.find_overlapping_iter(text) {
            let pattern = &self.patterns[found.pattern().as_usize()];
            let (mut start, mut end) = (found.start(), found.end());
            let is_base64 = |at: usize| text.get(at).copied().is_some_and(in_base64);
            if pattern.shares_before && start > 0 && is_base64(start - 1) {
                start -= 1;
            }
            if pattern.shares_behind && is_base64(end) {
                end += 1;
                end += text[end..]
                    .iter()
                    .take(2)
                    .take_while(|byte| **byte == b'=')
                    .count();
            }
            let secret = pattern.secret;
            join(&mut apart, Span { start, end, secret });
        }
        apart
    }
}

/// Adds a span behind others, made one with those that it overlaps.
fn join(apart: &mut Vec<Span>, mut span: Span) {
    while let Some(last) = apart.pop_if(|last| last.end > span.start) {
        if last.start <= span.start {
            span.secret = last.secret;
        }
        span.start = span.start.min(last.start);
        span.end = span.end.max(last.end);
    }
    apart.push(span);
}

/// The forms that a secret is searched for in, and whether their neighbours share bits.
fn forms(secret: &[u8]) -> Vec<(Vec<u8>, bool, bool)> {
    if secret.is_empty() {
        return Vec::new();
    }
    let mut forms = vec![
        (secret.to_vec(), false, false),
        (hex::encode(secret).into_bytes(), false, false),
        (hex::encode_upper(secret).into_bytes(), false, false),
    ];
    if secret.contains(&b' ') {
        // As HTML forms write it.
        let plus = secret.iter().map(|byte| match byte {
            b' ' => b'+',
            other => *other,
        });
        forms.push((plus.collect(), false, false));
    }
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for shift in 0..3 {
            forms.push(base64_at(&engine, shift, secret));
        }
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// The characters that are the secret's alone when it begins `shift` bytes into a group of
/// three: character `i` holds bits `6i` to `6i + 6`.
fn base64_at(engine: &impl Engine, shift: usize, secret: &[u8]) -> (Vec<u8>, bool, bool) {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(secret);
    let (first_bit, last_bit) = (shift * 8, bytes.len() * 8);
    let own = first_bit.div_ceil(6)..last_bit / 6;
    let text = engine.encode(&bytes).into_bytes();
    let own = text.get(own).unwrap_or_default().to_vec();
    (own, first_bit % 6 != 0, last_bit % 6 != 0)
}

fn in_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// The text without the escapes that begin with `mark`; none if it has no such escape.
fn unescaped(text: &[u8], mark: u8, read: fn(&[u8]) -> Option<Escape>) -> Option<Unescaped> {
    if !text.contains(&mark) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut starts = Vec::with_capacity(text.len() + 1);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let escape = if *byte == mark {
            read(&text[at..])
        } else {
            None
        };
        match escape {
            Some(escape) => {
                bytes.extend_from_slice(&escape.utf8[..escape.len]);
                starts.resize(bytes.len(), at);
                at += escape.consumed;
            }
            None => {
                bytes.push(*byte);
                starts.push(at);
                at += 1;
            }
        }
    }
    starts.push(text.len());
    (bytes.len() < text.len()).then_some(Unescaped { bytes, starts })
}

/// `%2F` (RFC 3986, section 2.1).
fn percent(text: &[u8]) -> Option<Escape> {
    let mut byte = [0];
    hex::decode_to_slice(text.get(1..3)?, &mut byte).ok()?;
    Some(Escape {
        utf8: [byte[0], 0, 0, 0],
        len: 1,
        consumed: 3,
    })
}

/// `\n`, `\/`, `\u00e9` (RFC 8259, section 7).
fn json(text: &[u8]) -> Option<Escape> {
    let (char, consumed) = match text.get(1)? {
        b'b' => ('\u{8}', 2),
        b'f' => ('\u{c}', 2),
        b'n' => ('\n', 2),
        b'r' => ('\r', 2),
        b't' => ('\t', 2),
        b'u' => json_unicode(text)?,
        plain @ (b'"' | b'\\' | b'/') => (char::from(*plain), 2),
        _ => return None,
    };
    let mut utf8 = [0; 4];
    let len = char.encode_utf8(&mut utf8).len();
    Some(Escape {
        utf8,
        len,
        consumed,
    })
}

/// A character written as one or, outside the basic plane, two `\uXXXX`.
fn json_unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        let mut unit = [0; 2];
        hex::decode_to_slice(digits, &mut unit).ok()?;
        Some(u16::from_be_bytes(unit))
    };
    let first = unit(0)?;
    match char::from_u32(u32::from(first)) {
        Some(char) => Some((char, 6)),
        None => {
            let pair = [first, unit(6)?];
            let char = char::decode_utf16(pair).next()?.ok()?;
            Some((char, 12))
        }
    }
}

impl Unescaped {
    /// Where a span of it stands in the text that it was made from.
    fn origin(&self, span: Span) -> Span {
        let start = self.starts[span.start];
        // A span may end within a character: the escape goes with it.
        let last = self.starts[span.end - 1];
        let beyond = self.starts[span.end..].iter().find(|start| **start > last);
        Span {
            start,
            end: beyond.copied().unwrap_or(last),
            secret: span.secret,
        }
    }

    /// The same, of what `outer` was made from.
    fn within(self, outer: &Self) -> Self {
        let origin = |start: usize| outer.starts[start];
        Self {
            starts: self.starts.into_iter().map(origin).collect(),
            bytes: self.bytes,
        }
    }
}

#[cfg(test)]
mod tests;
