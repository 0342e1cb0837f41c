//! Where signatures stand in a request, and how several of them are written.

use crate::ingest::verify::{Rejection, Request};
use crate::json::Pointer;

use super::selector::HeaderNames;
use super::template::json_value;

/// Longest header with signatures that is looked at; real ones have under 400 bytes.
const HEADER_BYTES_MAX: usize = 4096;
/// Most signatures that are looked at; a sender gives as many as it has secrets.
const CANDIDATES_MAX: usize = 128;

/// Where signatures stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignaturePlace {
    /// In each of these headers that is there.
    Header(HeaderNames),
    /// In these headers, however often they are there: one for each of the sender's secrets.
    Headers(HeaderNames),
    /// In the JSON body, or in each of its items.
    Body(Pointer),
    /// In a parameter of the address.
    Query(String),
}

/// How signatures are written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notation {
    /// One, alone.
    Plain,
    /// A list of tagged entries, such as `t=17,v1=ab,v1=cd`. Entries with other tags are
    /// passed over, so that a sender can add some.
    Tagged {
        /// What stands between two entries. A space at its end may be missing.
        separator: String,
        /// What stands between a tag and its value.
        delimiter: String,
        /// The tag of a signature.
        tag: String,
        /// The tag of the time of signing, where it stands here.
        timestamp_tag: Option<String>,
        /// Whether an entry without a tag is a signature too.
        takes_untagged: bool,
    },
    /// A list of which the first entry is the time of signing: `17,ab,cd`.
    Positional {
        /// What stands between two entries.
        separator: String,
    },
}

/// What was found at the place.
#[derive(Debug, Default)]
pub struct Candidates<'a> {
    /// Signatures, any of which may be the right one; without their prefix.
    pub signatures: Vec<&'a str>,
    /// The time of signing that stands beside them.
    pub timestamp: Option<&'a str>,
}

impl SignaturePlace {
    /// What the place is called in a rejection.
    pub fn name(&self) -> String {
        match self {
            Self::Header(names) | Self::Headers(names) => format!("header `{names}`"),
            Self::Body(pointer) => format!("`{pointer}` in the body"),
            Self::Query(name) => format!("query `{name}`"),
        }
    }

    /// The texts at the place; `json` is what pointers look into.
    ///
    /// # Errors
    /// There is none, or one where it must not be twice.
    pub fn texts(&self, request: &Request<'_>, json: &[u8]) -> Result<Vec<String>, Rejection> {
        let missing = || Rejection::MissingSignature(self.name());
        let malformed = || Rejection::MalformedSignature(self.name());
        match self {
            Self::Header(names) | Self::Headers(names) => {
                let values = match self {
                    Self::Headers(_) => names.all_values(request.headers),
                    _ => names.each(request.headers)?,
                };
                if values.is_empty() {
                    return Err(missing());
                }
                let text = |value: &[u8]| {
                    let text = std::str::from_utf8(value).ok();
                    let short = text.filter(|text| text.len() <= HEADER_BYTES_MAX);
                    short.map(str::to_owned).ok_or_else(malformed)
                };
                values.into_iter().map(text).collect()
            }
            Self::Body(pointer) => {
                let text = json_value(json, pointer)?.ok_or_else(missing)?;
                Ok(vec![text])
            }
            Self::Query(name) => {
                let text = request.query_once(name)?.ok_or_else(missing)?;
                Ok(vec![text])
            }
        }
    }
}

impl Notation {
    /// The signatures in the texts, without `prefix`, and the time beside them.
    ///
    /// # Errors
    /// No text holds a signature, or several hold a time; `place` is what it is called.
    pub fn read<'a>(
        &'a self,
        texts: &'a [String],
        prefix: &str,
        place: impl Fn() -> String,
    ) -> Result<Candidates<'a>, Rejection> {
        let mut found = Candidates::default();
        let mut n_times = 0;
        for text in texts {
            for entry in self.entries(text).into_iter().take(CANDIDATES_MAX) {
                match entry {
                    Entry::Signature(text) => found.signatures.extend(text.strip_prefix(prefix)),
                    Entry::Timestamp(text) => {
                        n_times += 1;
                        found.timestamp = Some(text);
                    }
                    Entry::Other => {}
                }
            }
        }
        found.signatures.retain(|signature| !signature.is_empty());
        found.signatures.truncate(CANDIDATES_MAX);
        if n_times > 1 {
            return Err(Rejection::Repeated(format!("the time in {}", place())));
        }
        if found.signatures.is_empty() {
            return Err(Rejection::MalformedSignature(place()));
        }
        Ok(found)
    }

    /// Whether the time of signing stands here.
    pub fn has_timestamp(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tagged { timestamp_tag, .. } => timestamp_tag.is_some(),
            Self::Positional { .. } => true,
        }
    }

    /// The text of one signature, as the sender writes it.
    pub fn write(&self, signature: &str, timestamp: &str) -> String {
        match self {
            Self::Plain => signature.to_owned(),
            Self::Tagged {
                separator,
                delimiter,
                tag,
                timestamp_tag,
                takes_untagged: _,
            } => {
                let time = timestamp_tag
                    .as_ref()
                    .map(|tag| format!("{tag}{delimiter}{timestamp}{separator}"));
                format!("{}{tag}{delimiter}{signature}", time.unwrap_or_default())
            }
            Self::Positional { separator } => format!("{timestamp}{separator}{signature}"),
        }
    }

    fn entries<'a>(&'a self, text: &'a str) -> Vec<Entry<'a>> {
        match self {
            Self::Plain => vec![Entry::Signature(text)],
            Self::Tagged { separator, .. } => split(text, separator)
                .map(|entry| self.entry(entry))
                .collect(),
            Self::Positional { separator } => {
                let mut entries = split(text, separator);
                let time = entries.next().map(Entry::Timestamp);
                time.into_iter()
                    .chain(entries.map(Entry::Signature))
                    .collect()
            }
        }
    }

    /// One entry of a tagged list.
    fn entry<'a>(&self, text: &'a str) -> Entry<'a> {
        let Self::Tagged {
            delimiter,
            tag,
            timestamp_tag,
            takes_untagged,
            separator: _,
        } = self
        else {
            return Entry::Other;
        };
        match text.split_once(delimiter.as_str()) {
            Some((name, value)) if name == tag => Entry::Signature(value),
            Some((name, value)) if Some(name) == timestamp_tag.as_deref() => {
                Entry::Timestamp(value)
            }
            None if *takes_untagged => Entry::Signature(text),
            Some(_) | None => Entry::Other,
        }
    }
}

enum Entry<'a> {
    Signature(&'a str),
    Timestamp(&'a str),
    Other,
}

/// The entries of a list. Where the separator ends in a space, that may be missing.
fn split<'a>(text: &'a str, separator: &'a str) -> impl Iterator<Item = &'a str> {
    let firm = match separator.trim_end_matches(' ') {
        "" => separator,
        firm => firm,
    };
    let may_have_spaces = firm.len() < separator.len();
    text.split(firm).map(move |entry| {
        if may_have_spaces {
            entry.trim_start_matches(' ')
        } else {
            entry
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Candidates, Notation, Rejection};

    fn tagged(separator: &str, tag: &str, timestamp_tag: Option<&str>) -> Notation {
        Notation::Tagged {
            separator: separator.into(),
            delimiter: "=".into(),
            tag: tag.into(),
            timestamp_tag: timestamp_tag.map(str::to_owned),
            takes_untagged: false,
        }
    }

    /// Signatures with commas between, then `@` and the time; or the code of the rejection.
    fn read(notation: &Notation, prefix: &str, texts: &[&str]) -> String {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let found: Result<Candidates<'_>, Rejection> =
            notation.read(&texts, prefix, || "header `s`".to_owned());
        match found {
            Ok(found) => {
                let time = found.timestamp.map(|time| format!("@{time}"));
                format!("{}{}", found.signatures.join(","), time.unwrap_or_default())
            }
            Err(rejection) => rejection.code().to_owned(),
        }
    }

    #[test]
    fn each_notation_is_read() {
        let untagged = Notation::Tagged {
            separator: " ".into(),
            delimiter: ",".into(),
            tag: "v1".into(),
            timestamp_tag: None,
            takes_untagged: true,
        };
        let positional = Notation::Positional {
            separator: ",".into(),
        };
        let stripe = tagged(",", "v1", Some("t"));
        for (notation, prefix, texts, expected) in [
            (&Notation::Plain, "", vec!["ab"], "ab"),
            (&Notation::Plain, "sha256=", vec!["sha256=ab", "ab"], "ab"),
            (
                &Notation::Plain,
                "sha256=",
                vec!["ab"],
                "malformed_signature",
            ),
            (&Notation::Plain, "", vec![""], "malformed_signature"),
            (&stripe, "", vec!["t=17,v1=ab,v0=xx,v1=cd,junk"], "ab,cd@17"),
            (&stripe, "", vec!["t=17, v1=ab"], "malformed_signature"),
            (&stripe, "", vec!["v1=ab"], "ab"),
            (&stripe, "", vec!["t=17,t=18,v1=ab"], "repeated_field"),
            (&stripe, "", vec!["T=17,V1=ab"], "malformed_signature"),
            (
                &tagged(", ", "v1", Some("t")),
                "",
                vec!["t=17, v1=ab,v1=cd"],
                "ab,cd@17",
            ),
            (
                &tagged(";", "h1", Some("ts")),
                "",
                vec!["ts=17;h1=a=="],
                "a==@17",
            ),
            (&untagged, "", vec!["v1,ab v1a,xx cd v2,zz"], "ab,cd"),
            (&positional, "", vec!["17,ab,cd"], "ab,cd@17"),
            (&positional, "", vec!["17"], "malformed_signature"),
        ] {
            assert_eq!(read(notation, prefix, &texts), expected, "{texts:?}");
        }
        let many = format!("t=17,{}", "v1=ab,".repeat(1000));
        assert!(read(&stripe, "", &[&many]).len() <= 128 * 3 + 3);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for notation in [
            tagged(", ", "v1", Some("t")),
            Notation::Positional {
                separator: ",".into(),
            },
        ] {
            let written = notation.write("ab", "17");
            assert_eq!(read(&notation, "", &[&written]), "ab@17");
            assert!(notation.has_timestamp());
        }
        assert_eq!(Notation::Plain.write("ab", "17"), "ab");
    }
}
