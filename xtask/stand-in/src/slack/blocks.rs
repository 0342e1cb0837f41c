//! Block Kit, as far as plugins use it: what is wrong with blocks, and what they show.
//!
//! <https://docs.slack.dev/reference/block-kit/blocks>

use serde_json::Value;

/// Most blocks of a message; most elements of a context.
const BLOCKS_MAX: usize = 50;
const ELEMENTS_MAX: usize = 10;
/// Longest texts, in characters.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3_000;

/// What is wrong, in Slack's words; nothing where there are no blocks.
pub(super) fn problems(blocks: &Value) -> Vec<String> {
    let blocks = match blocks {
        Value::Null => return Vec::new(),
        Value::Array(blocks) if blocks.len() <= BLOCKS_MAX => blocks,
        Value::Array(_) => return vec![problem("no more than 50 items allowed", "/blocks")],
        _ => return vec![problem("must provide an array", "/blocks")],
    };
    let mut problems = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let at = format!("/blocks/{index}");
        match block["type"].as_str() {
            Some("header") => {
                let at = format!("{at}/text");
                problems.extend(of_text(&block["text"], "plain_text", HEADER_MAX, &at));
            }
            Some("section") => {
                let at = format!("{at}/text");
                problems.extend(of_text(&block["text"], "mrkdwn", SECTION_MAX, &at));
            }
            Some("context") => {
                let elements = block["elements"].as_array().map_or(&[][..], Vec::as_slice);
                if elements.is_empty() || elements.len() > ELEMENTS_MAX {
                    problems.push(problem("1 to 10 items allowed", &format!("{at}/elements")));
                }
                for (index, element) in elements.iter().enumerate() {
                    let at = format!("{at}/elements/{index}");
                    problems.extend(of_text(element, "mrkdwn", SECTION_MAX, &at));
                }
            }
            Some("divider") => {}
            Some(_) | None => problems.push(problem("unsupported type", &at)),
        }
    }
    problems
}

fn of_text(text: &Value, kind: &str, chars_max: usize, at: &str) -> Option<String> {
    if text["type"] != kind && text["type"] != "plain_text" {
        return Some(problem("unsupported type", &format!("{at}/type")));
    }
    let at = format!("{at}/text");
    let chars = text["text"].as_str().unwrap_or_default().chars().count();
    match chars {
        0 => Some(problem("must be more than 0 characters", &at)),
        chars if chars > chars_max => {
            let what = format!("must be less than {} characters", chars_max + 1);
            Some(problem(&what, &at))
        }
        _ => None,
    }
}

fn problem(what: &str, at: &str) -> String {
    format!("[ERROR] {what} [json-pointer:{at}]")
}

/// The texts of blocks, first to last.
pub(super) fn texts(blocks: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    for block in blocks.as_array().map_or(&[][..], Vec::as_slice) {
        let own = block["text"]["text"].as_str();
        let elements = block["elements"].as_array().map_or(&[][..], Vec::as_slice);
        let elements = elements.iter().filter_map(|one| one["text"].as_str());
        texts.extend(own.into_iter().chain(elements).map(str::to_owned));
    }
    texts
}

/// Markup as it is read: a link is its label, escapes are what they stand for.
pub(super) fn plain(markup: &str) -> String {
    let mut plain = String::new();
    let mut rest = markup;
    while let Some((before, link)) = rest.split_once('<') {
        plain.push_str(before);
        let (link, behind) = link.split_once('>').unwrap_or((link, ""));
        plain.push_str(link.split_once('|').map_or(link, |(_, label)| label));
        rest = behind;
    }
    plain.push_str(rest);
    let plain = plain.replace("&lt;", "<").replace("&gt;", ">");
    plain.replace("&amp;", "&")
}
