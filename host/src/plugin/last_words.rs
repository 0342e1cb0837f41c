//! What a guest that trapped said last on stderr, as one line for people: the message of a
//! panic, or of an exception that nobody caught. Pure.
//!
//! Plugins in other languages end with a panic of the engine that runs them, and the
//! author's own text stands before or within it. What none of these shapes fits is quoted by
//! its last line, so a new engine costs readability and nothing else.

/// The line for people, of the lines that were the last thing a guest did.
pub(super) fn last_words(lines: &[&str]) -> Option<String> {
    // Rust adds a hint on backtraces behind the message.
    let is_said = |line: &&&str| !line.is_empty() && !line.starts_with("note: run with `RUST_");
    let said: Vec<&str> = lines.iter().filter(is_said).copied().collect();
    let panic = said.iter().rposition(|line| is_panic(line));
    let Some(panic) = panic else {
        return python(&said).or_else(|| said.last().map(|line| (*line).to_owned()));
    };
    let (before, message) = (&said[..panic], said[panic + 1..].join(" "));
    let message = python(before)
        .or_else(|| quickjs(&message))
        .unwrap_or(message);
    (!message.is_empty()).then_some(message)
}

/// `thread 'main' (1) panicked at src/lib.rs:7:9:`, before the message.
fn is_panic(line: &str) -> bool {
    line.starts_with("thread '") && line.contains("' ") && line.contains(" panicked at ")
}

/// CPython: a traceback, whose frames are indented, and then the exception.
fn python(said: &[&str]) -> Option<String> {
    // Of an exception that another one caused, the last.
    let traceback = |line: &&str| line.starts_with("Traceback (most recent call last):");
    let frames = said.iter().rposition(traceback)? + 1;
    let exception: Vec<&str> = said[frames..]
        .iter()
        .filter(|line| !line.starts_with(' '))
        .copied()
        .collect();
    (!exception.is_empty()).then(|| exception.join(" "))
}

/// QuickJS in componentize-qjs: the exception as Rust's `Debug` prints it,
/// `Exception { message: Some("no order"), stack: Some("    at handle (/p.js:3:9)\n") }`.
fn quickjs(panic: &str) -> Option<String> {
    let (_, exception) = panic.split_once("Exception { message: Some(\"")?;
    let (message, rest) = debugged(exception)?;
    let stack = rest.split_once("stack: Some(\"");
    let stack = stack.and_then(|(_, stack)| debugged(stack));
    let place = stack.as_ref().and_then(|(stack, _)| stack.lines().next());
    Some(match place {
        Some(place) => format!("{message} {}", place.trim()),
        None => message,
    })
}

/// A text as `Debug` prints it, up to its closing quote, and what follows that.
fn debugged(text: &str) -> Option<(String, &str)> {
    let mut message = String::new();
    let mut chars = text.char_indices();
    while let Some((at, next)) = chars.next() {
        match next {
            '"' => return Some((message, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => message.push('\n'),
                't' => message.push('\t'),
                escaped => message.push(escaped),
            },
            plain => message.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::last_words;

    #[track_caller]
    fn check(stderr: &str, words: Option<&str>) {
        let lines: Vec<&str> = stderr.lines().collect();
        assert_eq!(last_words(&lines).as_deref(), words);
    }

    const HINT: &str =
        "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";

    #[test]
    fn a_panic_says_its_message() {
        let panic = "thread '<unnamed>' (1) panicked at src/lib.rs:7:9:";
        for (message, words) in [
            ("no order", Some("no order")),
            (
                "assertion `left == right` failed\n  left: 1\n right: 2",
                Some("assertion `left == right` failed   left: 1  right: 2"),
            ),
            ("", None),
        ] {
            check(&format!("before\n\n{panic}\n{message}\n{HINT}"), words);
        }
        check(
            &format!("{panic}\nfirst\n{HINT}\n{panic}\nsecond\n"),
            Some("second"),
        );
    }

    #[test]
    fn an_exception_in_python_says_its_text() {
        let panic = "thread '<unnamed>' (1) panicked at runtime/src/lib.rs:1293:29:\n\
                     Python function threw an unexpected exception";
        let frame = "Traceback (most recent call last):\n  File \"/0/app.py\", line 10, in handle";
        check(
            &format!("{frame}\nValueError: no order\n\n{panic}\n{HINT}"),
            Some("ValueError: no order"),
        );
        check(
            &format!("{frame}\nKeyError: 'id'\n"),
            Some("KeyError: 'id'"),
        );
        check(
            &format!(
                "{frame}\nKeyError: 'id'\n\nDuring handling of the above exception, another \
                 exception occurred:\n\n{frame}\nValueError: no order\nof that id\n{panic}\n"
            ),
            Some("ValueError: no order of that id"),
        );
        check(
            &format!("Traceback (most recent call last):\n{panic}\n"),
            Some("Python function threw an unexpected exception"),
        );
    }

    #[test]
    fn an_exception_in_quickjs_says_its_text_and_place() {
        let qjs = |exception: &str| {
            format!(
                "\nthread '<unnamed>' (1) panicked at crates/runtime/src/interpreter.rs:51:31:\n\
                 Failed to call 'handle': Value(Exception(\n{exception})\n)\n{HINT}"
            )
        };
        check(
            &qjs(
                r#"Exception { message: Some("no \"order\" of \\ that"), stack: Some("    at read (/plugin.js:3:64)\n    at handle (/plugin.js:9:1)\n") }"#,
            ),
            Some(r#"no "order" of \ that at read (/plugin.js:3:64)"#),
        );
        check(
            &qjs(r#"Exception { message: Some("no order"), stack: None }"#),
            Some("no order"),
        );
        check(
            &qjs(r#"Exception { message: None, stack: None }"#),
            Some(
                "Failed to call 'handle': Value(Exception( Exception { message: None, stack: None }) )",
            ),
        );
        check(
            &qjs(r#"Exception { message: Some("cut of"#),
            Some(
                r#"Failed to call 'handle': Value(Exception( Exception { message: Some("cut of) )"#,
            ),
        );
    }

    #[test]
    fn anything_else_says_its_last_line() {
        check("first\nlast\n\n", Some("last"));
        check(
            "the shop panicked at noon",
            Some("the shop panicked at noon"),
        );
        check("", None);
        check(HINT, None);
    }
}
