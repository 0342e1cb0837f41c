//! What a list of runs offers to retry, or why it offers nothing and what helps instead. Pure.

use super::super::api::segment;
use super::super::list::{Filter, Listed};
use super::super::shown::{count, counted};
use super::Run;

/// What a list offers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// A button with this on it.
    Retry(String),
    /// Nothing, and why.
    Not {
        why: &'static str,
        /// Where what helps instead is: address and name.
        instead: Option<(String, &'static str)>,
    },
    /// Nothing, and the list itself says why.
    Nothing,
}

/// What a list of runs offers, by what it was asked for.
pub(super) fn offer(filter: &Filter, list: &Listed<Run>) -> Offer {
    if list.problem.is_some() || list.items.is_empty() {
        return Offer::Nothing;
    }
    let is_whole = !list.newer && list.older.is_none();
    match filter.value("state") {
        "" => of_all_states(filter, &list.items, is_whole),
        state @ ("dead" | "cancelled" | "waiting") => {
            let n = list.items.len() as i64;
            Offer::Retry(match (is_whole, n) {
                (false, _) => format!("Retry all these {state} runs…"),
                (true, 1) => format!("Retry this {state} run…"),
                (true, n) => format!("Retry these {} {state} runs…", count(n)),
            })
        }
        "succeeded" => Offer::Not {
            why: "Succeeded runs are not retried. The event of each can be replayed instead, which starts a new run.",
            instead: event(filter),
        },
        "ready" => Offer::Not {
            why: "There is nothing to retry: these runs start as soon as their plugin has room.",
            instead: None,
        },
        "running" => Offer::Not {
            why: "There is nothing to retry until these runs end.",
            instead: None,
        },
        "blocked" => Offer::Not {
            why: "There is nothing to retry: these runs wait for another one of their ordering key, or for their plugin.",
            instead: Some(("/plugins".to_owned(), "Look at the plugins")),
        },
        // The API has refused it.
        _ => Offer::Nothing,
    }
}

/// Of runs in whatever state only the dead ones are retried.
fn of_all_states(filter: &Filter, runs: &[Run], is_whole: bool) -> Offer {
    let n_dead = runs.iter().filter(|run| run.state == "dead").count();
    Offer::Retry(match (is_whole, n_dead) {
        (true, 0) => {
            return Offer::Not {
                why: "None of these runs is dead. To retry cancelled or waiting ones, choose that state; the event of a succeeded one can be replayed.",
                instead: event(filter),
            };
        }
        (true, n) => format!("Retry the {} of these…", counted(n as i64, "dead run")),
        (false, _) if filter.is_empty() => "Retry all dead runs…".to_owned(),
        (false, _) => "Retry the dead runs of these…".to_owned(),
    })
}

/// Where the event of runs is replayed, if it is one. In bulk there is no such place: no filter
/// of events takes just those that these runs had.
fn event(filter: &Filter) -> Option<(String, &'static str)> {
    let event = filter.value("event");
    (!event.is_empty()).then(|| (format!("/events/{}", segment(event)), "Show the event"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Filter, Listed, Offer, Run, offer};

    fn list(states: &[&str], has_older: bool) -> Listed<Run> {
        let run = |state: &&str| {
            let run = json!({
                "id": "1", "event_id": "e", "plugin": "p", "source": "s", "kind": "k",
                "state": state, "attempt": 1, "max_attempts": 1, "created_at": "",
                "next_attempt_at": null, "finished_at": null, "summary": null, "data": null,
                "error": null,
            });
            serde_json::from_value(run).unwrap()
        };
        Listed {
            items: states.iter().map(run).collect(),
            searched: None,
            problem: None,
            newer: false,
            older: has_older.then(|| "/runs?cursor=1".to_owned()),
        }
    }

    fn filter(fields: &[(&'static str, &str)]) -> Filter {
        Filter::new(
            fields
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        )
    }

    #[test]
    fn the_button_says_which_runs_are_meant() {
        for (fields, states, has_older, button) in [
            (
                &[][..],
                &["dead", "succeeded"][..],
                false,
                "Retry the 1 dead run of these…",
            ),
            (
                &[],
                &["dead", "dead"],
                false,
                "Retry the 2 dead runs of these…",
            ),
            (&[], &["succeeded"], true, "Retry all dead runs…"),
            (
                &[("plugin", "p")],
                &["succeeded"],
                true,
                "Retry the dead runs of these…",
            ),
            (
                &[("state", "dead")],
                &["dead"],
                false,
                "Retry this dead run…",
            ),
            (
                &[("state", "waiting")],
                &["waiting"; 3],
                false,
                "Retry these 3 waiting runs…",
            ),
            (
                &[("state", "cancelled")],
                &["cancelled"],
                true,
                "Retry all these cancelled runs…",
            ),
        ] {
            let offered = offer(&filter(fields), &list(states, has_older));
            assert_eq!(offered, Offer::Retry(button.to_owned()), "{fields:?}");
        }
    }

    #[test]
    fn what_cannot_be_retried_says_why_and_what_helps() {
        for (fields, states, says, address) in [
            (
                &[("state", "succeeded"), ("plugin", "p"), ("since", "t")][..],
                &["succeeded"][..],
                "not retried",
                None,
            ),
            (
                &[("state", "succeeded"), ("event", "e")],
                &["succeeded"],
                "not retried",
                Some("/events/e"),
            ),
            (&[], &["succeeded", "waiting"], "is dead", None),
            (&[("state", "ready")], &["ready"], "nothing to retry", None),
            (
                &[("state", "running")],
                &["running"],
                "until these runs end",
                None,
            ),
            (
                &[("state", "blocked")],
                &["blocked"],
                "ordering key",
                Some("/plugins"),
            ),
        ] {
            let offered = offer(&filter(fields), &list(states, false));
            let Offer::Not { why, instead } = offered else {
                panic!("{fields:?}: {offered:?}");
            };
            assert!(why.contains(says), "{why}");
            assert_eq!(instead.map(|(at, _)| at).as_deref(), address);
        }
    }

    #[test]
    fn a_list_without_runs_offers_nothing() {
        let none = filter(&[]);
        assert_eq!(offer(&none, &list(&[], false)), Offer::Nothing);
        let mut wrong = list(&["dead"], false);
        wrong.problem = Some("parameter `since` is not a time".to_owned());
        assert_eq!(offer(&none, &wrong), Offer::Nothing);
    }
}
