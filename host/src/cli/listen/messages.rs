//! Server-sent events out of the pieces in which they arrive.

/// A longer message is no message of ours.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// What a stream says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// Its sort; empty if it has none.
    pub(super) name: String,
    /// The place behind it.
    pub(super) id: Option<String>,
    /// Its text.
    pub(super) data: String,
}

/// Pieces that have arrived.
#[derive(Debug, Default)]
pub(super) struct Messages(Vec<u8>);

impl Messages {
    /// Takes a piece; false if it has no end.
    pub(super) fn take(&mut self, piece: &[u8]) -> bool {
        self.0.extend_from_slice(piece);
        self.0.len() <= MESSAGE_BYTES_MAX
    }

    /// The next message that is there whole; comments are none.
    pub(super) fn next(&mut self) -> Option<Message> {
        loop {
            let end = self.0.windows(2).position(|pair| pair == b"\n\n")?;
            let rest = self.0.split_off(end + 2);
            let block = std::mem::replace(&mut self.0, rest);
            let message = read(&String::from_utf8_lossy(&block));
            if message != Message::default() {
                return Some(message);
            }
        }
    }
}

fn read(block: &str) -> Message {
    let mut message = Message::default();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut message.name),
            "id" => message.id = Some(value.to_owned()),
            "data" => {
                if !message.data.is_empty() {
                    message.data.push('\n');
                }
                message.data.push_str(value);
            }
            _ => {}
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::{Message, Messages};

    #[test]
    fn messages_come_out_whole_however_they_arrive() {
        let text = ": still here\n\nevent: ready\nid: 7\nretry: 1000\ndata: {}\n\nid: 9\n\nevent: event\nid: 10\ndata: a: b\ndata:c\n\nid: 11";
        let message = |name: &str, id: &str, data: &str| Message {
            name: name.to_owned(),
            id: Some(id.to_owned()),
            data: data.to_owned(),
        };
        let expected = [
            message("ready", "7", "{}"),
            message("", "9", ""),
            message("event", "10", "a: b\nc"),
        ];
        for size in [1, 2, 3, 7, 1000] {
            let (mut messages, mut seen) = (Messages::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                assert!(messages.take(piece));
                while let Some(message) = messages.next() {
                    seen.push(message);
                }
            }
            assert_eq!(seen, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_has_no_end_is_given_up() {
        let mut messages = Messages::default();
        let piece = vec![b'x'; 1 << 20];
        assert!((0..4).all(|_| messages.take(&piece)));
        assert!(!messages.take(&piece));
    }
}
