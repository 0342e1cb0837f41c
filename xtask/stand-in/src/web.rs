//! The web page: what every service has, and the newest calls. Plain HTML that asks for
//! itself again every two seconds.

use crate::service::{Call, Section};

/// Calls that the page shows.
const CALLS_SHOWN: usize = 50;

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
<meta http-equiv=refresh content=2><title>Stand-in</title><style>\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem;max-width:75rem;color:#222}\
table{border-collapse:collapse;margin-bottom:2rem}\
th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;\
border-bottom:1px solid #ddd;white-space:pre-wrap;overflow-wrap:anywhere}\
th{font-weight:600}p{color:#666}</style>\
<h1>Stand-in</h1><p>What plugins have written to the services that this stands in for. \
Nothing leaves this machine, and nothing is kept when it stops.</p>";

/// The page; `calls` come newest first.
pub(crate) fn page<'a>(sections: &[Section], calls: impl Iterator<Item = &'a Call>) -> String {
    let mut html = HEAD.to_owned();
    for section in sections {
        table(&mut html, section);
    }
    let row = |call: &Call| {
        let status = call.status.to_string();
        let request = format!("{} {}", call.method, call.path);
        vec![call.service.to_owned(), request, status, call.note.clone()]
    };
    let newest = Section {
        title: "Calls".to_owned(),
        columns: ["Service", "Request", "Status", ""]
            .map(str::to_owned)
            .to_vec(),
        rows: calls.take(CALLS_SHOWN).map(row).collect(),
    };
    table(&mut html, &newest);
    html
}

fn table(html: &mut String, section: &Section) {
    html.push_str(&format!("<h2>{}</h2>", escaped(&section.title)));
    if section.rows.is_empty() {
        html.push_str("<p>Nothing yet.</p>");
        return;
    }
    html.push_str("<table>");
    row(html, "th", &section.columns);
    for cells in &section.rows {
        row(html, "td", cells);
    }
    html.push_str("</table>");
}

fn row(html: &mut String, tag: &str, cells: &[String]) {
    html.push_str("<tr>");
    for cell in cells {
        html.push_str(&format!("<{tag}>{}</{tag}>", escaped(cell)));
    }
    html.push_str("</tr>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text_on_the_page() {
        let section = Section {
            title: "Pages".to_owned(),
            columns: vec!["Name".to_owned()],
            rows: vec![vec!["<script>&".to_owned()]],
        };
        let html = page(&[section], std::iter::empty());
        assert!(html.contains("<td>&lt;script&gt;&amp;</td>"), "{html}");
        assert!(!html.contains("<script>"));
    }
}
