//! Text in Slack's markup, from text that anybody may have written.
//!
//! <https://docs.slack.dev/messaging/formatting-message-text>

/// Makes a text harmless: it mentions nobody, links nowhere and shows as it is. Control
/// characters but for line breaks and tabs are left out.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// A link with this label. Without an address of the web it is the label alone.
#[must_use]
pub fn link(url: &str, label: &str) -> String {
    let label = escape(&one_line(label));
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    if !is_web || label.is_empty() {
        return label;
    }
    let mut address = String::with_capacity(url.len());
    for c in url.chars().filter(|c| !c.is_whitespace()) {
        match c {
            '|' => address.push_str("%7C"),
            '<' => address.push_str("%3C"),
            '>' => address.push_str("%3E"),
            c => address.push(c),
        }
    }
    format!("<{}|{label}>", escape(&address))
}

/// A text in bold, on one line.
#[must_use]
pub fn bold(text: &str) -> String {
    format!("*{}*", escape(&one_line(text).replace('*', "\u{2217}")))
}

/// A name, such as a branch's, in the typeface of code.
#[must_use]
pub fn code(name: &str) -> String {
    format!("`{}`", escape(&one_line(name).replace('`', "'")))
}

/// The beginning of a text, as a quotation of at most so many characters.
#[must_use]
pub fn quote(text: &str, chars_max: usize) -> String {
    let text = text.trim();
    let clipped = match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    };
    let lines = clipped.lines().map(|line| format!("> {}", escape(line)));
    lines.collect::<Vec<_>>().join("\n")
}

/// At most so many characters of a text in markup, without the half of a link or an
/// escape at its end.
pub(crate) fn cut(markup: &str, chars_max: usize) -> String {
    if markup.chars().count() <= chars_max {
        return markup.to_owned();
    }
    let kept: String = markup.chars().take(chars_max.saturating_sub(1)).collect();
    let is_open = |open: char, close: char| match (kept.rfind(open), kept.rfind(close)) {
        (Some(open), Some(close)) => (open > close).then_some(open),
        (open, None) => open,
        (None, Some(_)) => None,
    };
    // Every `&` of markup begins an escape, and every `<` a link.
    let end = [is_open('<', '>'), is_open('&', ';')];
    let end = end.into_iter().flatten().min().unwrap_or(kept.len());
    format!("{}…", &kept[..end])
}

/// Words with single spaces between them.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_mentions_nobody() {
        assert_eq!(
            escape("<!channel> & <@U1>\u{7}\n\ta"),
            "&lt;!channel&gt; &amp; &lt;@U1&gt;\n\ta"
        );
    }

    #[test]
    fn a_link_stays_one() {
        for (url, label, expected) in [
            ("https://x.example/a", "a", "<https://x.example/a|a>"),
            (
                "https://x.example/?a=1&b=|>",
                "<b>\nof | c",
                "<https://x.example/?a=1&amp;b=%7C%3E|&lt;b&gt; of | c>",
            ),
            ("javascript:alert(1)", "a", "a"),
            ("", "a", "a"),
            ("https://x.example", " ", ""),
        ] {
            assert_eq!(link(url, label), expected);
        }
    }

    #[test]
    fn marks_do_not_end_early() {
        assert_eq!(bold("2 * 3\n> 5"), "*2 \u{2217} 3 &gt; 5*");
        assert_eq!(code("a`b"), "`a'b`");
    }

    #[test]
    fn quotations_are_clipped_before_they_are_escaped() {
        assert_eq!(quote(" a\nb & c \n", 10), "> a\n> b &amp; c");
        assert_eq!(quote("a&&&", 2), "> a&amp;…");
        assert_eq!(quote("", 2), "");
    }

    #[test]
    fn markup_is_cut_between_its_pieces() {
        for (markup, chars_max, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("é&amp;é", 4, "é…"),
            ("a <https://x.example|b> c", 12, "a …"),
            ("<https://x.example|b> cde", 24, "<https://x.example|b> c…"),
        ] {
            assert_eq!(cut(markup, chars_max), expected);
        }
    }
}
