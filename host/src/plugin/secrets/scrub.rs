//! Finds secrets in what a plugin gets to see, and puts `[secret NAME]` in their place.
//!
//! A secret is searched for as it is, in hexadecimal and in base64 at each of the three
//! positions that it can have within a longer encoded text (as in a Basic pair), in the
//! text as it stands, without its line breaks, and without the escapes of addresses, of JSON
//! and of HTML.
//! This keeps secrets out of answers that happen to repeat a request. It cannot keep one
//! from a server that hides it on purpose: who is sent a secret, has it.

use std::borrow::Cow;
use std::fmt;

use aho_corasick::automaton::Automaton as _;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::Secret;

mod escapes;

use escapes::{HTML, JSON, Origin, PERCENT, Unescaped, plain, unbroken};

/// Searches for one plugin's secrets.
#[derive(Default)]
pub(super) struct Scrubber {
    /// None without secrets.
    search: Option<Search>,
    /// What stands in the place of each secret.
    markers: Vec<String>,
}

struct Search {
    automaton: NFA,
    patterns: Vec<Pattern>,
    /// How many bytes back a match, or the character before it, may begin.
    reach: usize,
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

/// What may still belong to the last match.
#[derive(Clone, Copy)]
enum Tail {
    Nothing,
    /// The character of base64 that holds the secret's last bits.
    SharedCharacter,
    /// So many `=`.
    Padding(u8),
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
        if texts.is_empty() {
            return Self::default();
        }
        let automaton = NFA::builder()
            .match_kind(MatchKind::Standard)
            .build(&texts)
            .expect("the configuration bounds secrets far below two billion states");
        let reach = automaton.max_pattern_len() + 1;
        let search = Search {
            automaton,
            patterns,
            reach,
        };
        Self {
            search: Some(search),
            markers,
        }
    }

    /// The text with a marker in place of each secret.
    pub(super) fn scrub<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let spans = match &self.search {
            Some(search) => search.spans(text),
            None => Vec::new(),
        };
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
}

impl Search {
    /// Where secrets stand in a text, in order, apart from each other.
    fn spans(&self, text: &[u8]) -> Vec<Span> {
        let (mut found, _) = self.pass(plain(text), 0);
        if text.contains(&b'\n') {
            found.extend(self.pass(unbroken(text), 0).0);
        }
        for syntax in [PERCENT, JSON, HTML] {
            if !text.contains(&syntax.mark) {
                continue;
            }
            // What was escaped twice still has marks after the first time: JSON within
            // JSON, an address within an address. Three times is as far as this goes.
            let once = || Unescaped::new(plain(text), syntax);
            let (spans, has_more) = self.pass(once(), syntax.mark);
            found.extend(spans);
            if !has_more {
                continue;
            }
            let twice = || Unescaped::new(once(), syntax);
            let (spans, has_more) = self.pass(twice(), syntax.mark);
            found.extend(spans);
            if has_more {
                found.extend(self.pass(Unescaped::new(twice(), syntax), syntax.mark).0);
            }
        }
        found.sort_unstable_by_key(|span| (span.start, span.end));
        let mut apart = Vec::with_capacity(found.len());
        for span in found {
            join(&mut apart, span);
        }
        apart
    }

    /// Searches bytes from their first to their last; also says whether `mark` is among them.
    fn pass(&self, bytes: impl Iterator<Item = Origin>, mark: u8) -> (Vec<Span>, bool) {
        let start = self.automaton.start_state(Anchored::No);
        let mut state = start.expect("this automaton searches from anywhere");
        // Matches come in the order of their ends, so that each touches only the last ones.
        let (mut apart, mut tail, mut has_mark) = (Vec::new(), Tail::Nothing, false);
        let mut recent = Recent::of(self.reach);
        for origin in bytes {
            has_mark |= origin.byte == mark;
            tail = tail.after(origin, &mut apart);
            recent.push(origin);
            state = self.automaton.next_state(Anchored::No, state, origin.byte);
            if !self.automaton.is_match(state) {
                continue;
            }
            for index in 0..self.automaton.match_len(state) {
                let id = self.automaton.match_pattern(state, index);
                let pattern = &self.patterns[id.as_usize()];
                let length = self.automaton.pattern_len(id);
                let before = recent.back(length).filter(|before| in_base64(before.byte));
                let first = match before.filter(|_| pattern.shares_before) {
                    Some(before) => before,
                    None => recent.back(length - 1).unwrap_or(origin),
                };
                let (start, end, secret) = (first.start, origin.end, pattern.secret);
                join(&mut apart, Span { start, end, secret });
                if pattern.shares_behind {
                    tail = Tail::SharedCharacter;
                }
            }
        }
        (apart, has_mark)
    }
}

/// The last few bytes of a search.
struct Recent {
    ring: Vec<Origin>,
    size: usize,
    /// Where the next one goes: a remainder for each byte would cost more than the search.
    next: usize,
}

impl Recent {
    fn of(size: usize) -> Self {
        Self {
            ring: Vec::new(),
            size,
            next: 0,
        }
    }

    fn push(&mut self, origin: Origin) {
        match self.ring.get_mut(self.next) {
            Some(oldest) => *oldest = origin,
            None => self.ring.push(origin),
        }
        self.next += 1;
        if self.next == self.size {
            self.next = 0;
        }
    }

    /// The byte that came `n` before the last one, if it is not too long ago.
    fn back(&self, n: usize) -> Option<Origin> {
        if n >= self.ring.len() {
            return None;
        }
        let index = (self.next + self.size - 1 - n) % self.size;
        self.ring.get(index).copied()
    }
}

impl Tail {
    /// Lengthens the last match by this byte if it belongs there; says what may follow.
    fn after(self, origin: Origin, apart: &mut [Span]) -> Self {
        let (belongs, next) = match self {
            Self::Nothing => return Self::Nothing,
            Self::SharedCharacter => (in_base64(origin.byte), Self::Padding(2)),
            Self::Padding(0) => (false, Self::Nothing),
            Self::Padding(n) => (origin.byte == b'=', Self::Padding(n - 1)),
        };
        match apart.last_mut() {
            Some(last) if belongs => {
                last.end = origin.end;
                next
            }
            Some(_) | None => Self::Nothing,
        }
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

#[cfg(test)]
mod tests;
