//! Reads texts without their escapes, byte by byte, and knows where each byte comes from.
//!
//! Nothing is held but the escape that is being read, so that a journal of many megabytes is
//! searched in the memory of a log line.

use std::collections::VecDeque;

/// Longest escape in bytes: a character outside the basic plane as two `\u....`.
const ESCAPE_MAX: usize = 12;

/// A byte of a text without escapes, and where in the text it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) byte: u8,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// How one kind of escape is written.
#[derive(Clone, Copy)]
pub(super) struct Syntax {
    /// What each escape begins with.
    pub(super) mark: u8,
    /// Reads the escape at the beginning of some bytes, if one is there.
    read: fn(&[u8]) -> Option<Escape>,
}

/// One escape, read.
struct Escape {
    bytes: [u8; 4],
    len: usize,
    /// How long it is in the text.
    consumed: usize,
}

/// `%2F` (RFC 3986, section 2.1).
pub(super) const PERCENT: Syntax = Syntax {
    mark: b'%',
    read: percent,
};

/// `\n`, `\/`, `\u00e9` (RFC 8259, section 7).
pub(super) const JSON: Syntax = Syntax {
    mark: b'\\',
    read: json,
};

/// `&amp;`, `&#39;`, `&#x2F;`: what pages make of the text of an error.
pub(super) const HTML: Syntax = Syntax {
    mark: b'&',
    read: html,
};

/// A text as it stands.
pub(super) fn plain(text: &[u8]) -> impl Iterator<Item = Origin> {
    text.iter().enumerate().map(|(start, byte)| Origin {
        byte: *byte,
        start,
        end: start + 1,
    })
}

/// A text as one line: base64 is often broken into several (RFC 2045, RFC 7468).
pub(super) fn unbroken(text: &[u8]) -> impl Iterator<Item = Origin> {
    plain(text).filter(|origin| !matches!(origin.byte, b'\r' | b'\n'))
}

/// A text without the escapes of one kind; what is no whole escape stays as it is.
pub(super) struct Unescaped<I> {
    source: I,
    syntax: Syntax,
    /// What was looked at and is not read yet.
    ahead: VecDeque<Origin>,
    /// What is left of the last escape.
    rest: VecDeque<Origin>,
}

impl<I: Iterator<Item = Origin>> Unescaped<I> {
    pub(super) fn new(source: I, syntax: Syntax) -> Self {
        Self {
            source,
            syntax,
            ahead: VecDeque::with_capacity(ESCAPE_MAX),
            rest: VecDeque::with_capacity(4),
        }
    }

    /// Reads the escape that `first` begins, if it does, and leaves it in `rest`.
    fn read_escape(&mut self, first: Origin) -> Option<()> {
        let missing = ESCAPE_MAX - 1 - self.ahead.len();
        self.ahead.extend(self.source.by_ref().take(missing));
        let mut text = [first.byte; ESCAPE_MAX];
        for (byte, ahead) in text[1..].iter_mut().zip(&self.ahead) {
            *byte = ahead.byte;
        }
        let escape = (self.syntax.read)(&text[..=self.ahead.len()])?;
        let last = self.ahead.drain(..escape.consumed - 1).next_back();
        let bytes = &escape.bytes[..escape.len];
        self.rest.extend(bytes.iter().map(|byte| Origin {
            byte: *byte,
            start: first.start,
            end: last.map_or(first.end, |last| last.end),
        }));
        Some(())
    }
}

impl<I: Iterator<Item = Origin>> Iterator for Unescaped<I> {
    type Item = Origin;

    fn next(&mut self) -> Option<Origin> {
        if let Some(origin) = self.rest.pop_front() {
            return Some(origin);
        }
        let first = self.ahead.pop_front().or_else(|| self.source.next())?;
        if first.byte != self.syntax.mark || self.read_escape(first).is_none() {
            return Some(first);
        }
        self.rest.pop_front()
    }
}

fn percent(text: &[u8]) -> Option<Escape> {
    let mut byte = [0];
    hex::decode_to_slice(text.get(1..3)?, &mut byte).ok()?;
    Some(Escape {
        bytes: [byte[0], 0, 0, 0],
        len: 1,
        consumed: 3,
    })
}

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
    Some(Escape::of(char, consumed))
}

impl Escape {
    fn of(char: char, consumed: usize) -> Self {
        let mut bytes = [0; 4];
        let len = char.encode_utf8(&mut bytes).len();
        Self {
            bytes,
            len,
            consumed,
        }
    }
}

fn html(text: &[u8]) -> Option<Escape> {
    let end = text.iter().position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(text.get(1..end)?).ok()?;
    let number = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
    let char = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => match name.strip_prefix('#')? {
            hexadecimal if hexadecimal.starts_with(['x', 'X']) => number(&hexadecimal[1..], 16)?,
            decimal => number(decimal, 10)?,
        },
    };
    Some(Escape::of(char, end + 1))
}

/// A character written as one `\u....` or, outside the basic plane, as two.
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
