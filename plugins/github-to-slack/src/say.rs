//! How each event reads in Slack. What people wrote is escaped, linked or quoted.

use hookbay_github::{
    Commit, IssueEvent, PullRequestEvent, Push, ReleaseEvent, State, WorkflowRunEvent,
};
use hookbay_slack::{Message, bold, code, escape, link, quote};

/// Commits of a push that are listed; the rest are counted.
const COMMITS_MAX: usize = 5;
/// What is quoted of an issue, and of a release's notes, in characters.
const ISSUE_MAX: usize = 300;
const NOTES_MAX: usize = 1_000;

pub(crate) fn push(push: &Push) -> Message {
    let (what, name) = push.target();
    let sentence = push.to_string();
    let headline = match &push.compare {
        Some(url) if !push.commits.is_empty() => link(url, &sentence),
        Some(_) | None => escape(&sentence),
    };
    let line = |commit: &Commit| {
        let id = link(&commit.url, commit.short_id());
        format!("\u{2022} {id} {}", escape(commit.subject()))
    };
    let mut lines = vec![headline];
    lines.extend(push.commits.iter().take(COMMITS_MAX).map(line));
    if let more @ 1.. = push.commits.len().saturating_sub(COMMITS_MAX) {
        lines.push(format!("… and {more} more"));
    }
    Message::new(escape(&sentence))
        .section(lines.join("\n"))
        .context(format!("{what} {}", code(name)))
}

/// None where the event is small change: labels, assignments, edits.
pub(crate) fn issue(event: &IssueEvent) -> Option<Message> {
    let issue = &event.issue;
    if !matches!(event.action.as_str(), "opened" | "closed" | "reopened") {
        return None;
    }
    let title = link(
        &issue.html_url,
        &format!("#{} {}", issue.number, issue.title),
    );
    let (what, actor) = (escape(&event.what()), escape(event.actor()));
    let mut text = format!("*{title}*\nIssue {what} by {actor}");
    if let ("opened", Some(body)) = (event.action.as_str(), &issue.body) {
        text = format!("{text}\n{}", quote(body, ISSUE_MAX));
    }
    let message = Message::new(escape(&event.to_string())).section(text);
    Some(message.context(escape(&event.repository.full_name)))
}

pub(crate) fn release(event: &ReleaseEvent) -> Message {
    let release = &event.release;
    let title = link(&release.html_url, release.title());
    let (noun, tag) = (release.noun(), code(&release.tag_name));
    let notes = quote(release.body.as_deref().unwrap_or_default(), NOTES_MAX);
    Message::new(escape(&event.to_string()))
        .section(format!("*{title}*\nNew {noun} {tag}\n{notes}"))
        .context(escape(&event.repository.full_name))
}

/// None unless it failed.
pub(crate) fn workflow(event: &WorkflowRunEvent) -> Option<Message> {
    let run = &event.workflow_run;
    if !run.has_failed() {
        return None;
    }
    let title = link(
        &run.html_url,
        &format!("{} #{}", run.title(), run.run_number),
    );
    let (outcome, branch) = (escape(&run.outcome()), code(run.branch()));
    let by = escape(event.actor());
    let message = Message::new(escape(&event.to_string())).section(format!(
        "\u{274c} *{title}* {outcome} on {branch}, started by {by}"
    ));
    Some(message.context(escape(&event.repository.full_name)))
}

/// The message that shows how a pull request stands.
pub(crate) fn pull_request(event: &PullRequestEvent) -> Message {
    let pull_request = &event.pull_request;
    let title = format!("#{} {}", pull_request.number, pull_request.title);
    let title = link(&pull_request.html_url, &title);
    let state = match pull_request.state() {
        State::Draft => "\u{1f4dd} Draft",
        State::Open => "\u{1f7e2} Open",
        State::Closed => "\u{26d4} Closed",
        State::Merged => "\u{1f7e3} Merged",
    };
    let (head, base) = (code(&pull_request.head.name), code(&pull_request.base.name));
    let author = escape(pull_request.author());
    Message::new(escape(&event.to_string()))
        .section(format!(
            "*{title}*\n{state}, {head} \u{2192} {base}, by {author}"
        ))
        .context(format!(
            "{}, {}",
            escape(&event.repository.full_name),
            pull_request.size()
        ))
}

/// A line in a pull request's thread; none where the event is small change.
pub(crate) fn reply(event: &PullRequestEvent) -> Option<Message> {
    let is_news = matches!(
        event.action.as_str(),
        "opened"
            | "closed"
            | "reopened"
            | "ready_for_review"
            | "converted_to_draft"
            | "synchronize"
    );
    let (what, actor) = (escape(&event.what()), escape(event.actor()));
    is_news.then(|| Message::new(format!("{} by {actor}", bold(&what))))
}
