//! A walk at random over deliveries, beside a model of what is known of them; and rows
//! that the database refuses. On SQLite the newest deliveries are known otherwise than
//! the older ones: the bounds between them are crossed all the time.

use std::time::Duration;

use hookbay::clock::Timestamp;
use hookbay::event::{Event, EventId};
use hookbay::store::{Ingested, NewEvent};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

use super::bench::{Bench, Dice, WINDOW};

const STEPS: u32 = 300;
const KEYS: usize = 40;
const BODIES: [&str; 3] = ["a", "b", "c"];
/// Of this kind are the events that the database refuses.
const BAD: &str = "bad";

/// A delivery as it comes in.
#[derive(Clone)]
struct Delivery {
    event: Event,
    key: Option<String>,
    by_body: bool,
    body: &'static str,
    window: Duration,
}

/// What should be known under a key.
struct Seen {
    key: String,
    body: &'static str,
    event: EventId,
    until: Timestamp,
}

#[derive(Default)]
struct Model(Vec<Seen>);

impl Delivery {
    fn keys(&self) -> impl Iterator<Item = String> {
        let own = self.key.iter().map(|key| format!("delivery {key}"));
        own.chain(self.by_body.then(|| format!("body {}", self.body)))
    }

    fn to_event(&self) -> NewEvent {
        let key = self.key.as_deref();
        NewEvent::new(self.event.clone(), key, self.by_body, self.window, vec![])
    }
}

impl Model {
    /// What a delivery is; from now on it is known.
    fn take(&mut self, delivery: &Delivery, now: Timestamp) -> Option<Ingested> {
        let mut is_conflict = false;
        for key in delivery.keys() {
            for seen in self
                .0
                .iter()
                .filter(|one| one.key == key && one.until > now)
            {
                if seen.body == delivery.body {
                    return Some(Ingested::Duplicate(seen.event));
                }
                is_conflict = true;
            }
        }
        if delivery.event.kind == BAD {
            return None;
        }
        self.0.extend(delivery.keys().map(|key| Seen {
            key,
            body: delivery.body,
            event: delivery.event.id,
            until: now.plus(delivery.window),
        }));
        Some(if is_conflict {
            Ingested::Conflict
        } else {
            Ingested::New
        })
    }
}

fn any(dice: &mut Dice, bench: &Bench) -> Delivery {
    let body = dice.one_of(&BODIES).unwrap();
    let key = format!("k{}", dice.below(KEYS));
    let has_key = dice.below(10) > 0;
    let kind = if dice.below(40) == 0 { BAD } else { "good" };
    Delivery {
        event: Event {
            kind: kind.to_owned(),
            ..bench.event(body)
        },
        key: has_key.then_some(key),
        by_body: dice.below(30) == 0,
        body,
        window: WINDOW / [1, 1, 4][dice.below(3)],
    }
}

pub(super) async fn whatever_was_seen_is_known_for_its_window(mut bench: Bench) {
    bench.refuse(BAD).await;
    let mut dice = Dice(0x5eed);
    let mut model = Model::default();
    let mut met = [0; 4];
    for step in 0..STEPS {
        match dice.below(20) {
            0..15 => {
                let count = 1 + dice.below(6);
                let batch: Vec<Delivery> = (0..count).map(|_| any(&mut dice, &bench)).collect();
                let new = batch.iter().map(Delivery::to_event).collect();
                let stored = bench.store.ingest(new).await.unwrap();
                let now = bench.now();
                let expected: Vec<Option<Ingested>> =
                    batch.iter().map(|one| model.take(one, now)).collect();
                // After a refusal the others are sent again: Postgres may have stored some.
                let is_again = |is: &Option<Ingested>, should: &Option<Ingested>| {
                    expected.contains(&None)
                        && (*is, *should) == (Some(Ingested::New), Some(Ingested::Conflict))
                };
                for (is, should) in stored.iter().zip(&expected) {
                    assert!(
                        is == should || is_again(is, should),
                        "step {step}: {stored:?}, not {expected:?}"
                    );
                }
                assert_eq!(stored.len(), expected.len());
                for one in expected {
                    met[match one {
                        Some(Ingested::New) => 0,
                        Some(Ingested::Conflict) => 1,
                        Some(Ingested::Duplicate(_)) => 2,
                        None => 3,
                    }] += 1;
                }
            }
            15 | 16 => bench.pass(WINDOW / 16),
            17 | 18 => {
                bench.store.forget_expired_deliveries(2).await.unwrap();
            }
            _ => bench = bench.reopened().await,
        }
        parts_agree(&bench).await;
    }
    assert!(met.iter().all(|count| *count > 0), "{met:?}");
}

/// On SQLite: up to the mark every row of the log has its key in order, each key has its
/// row, and the rows after the mark are few.
async fn parts_agree(bench: &Bench) {
    let Some(file) = bench.file() else {
        return;
    };
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let mut count = async |what: String| -> i64 {
        let count = AssertSqlSafe(format!("select count(*) {what}"));
        let row = connection.fetch_one(sqlx::raw_sql(count)).await.unwrap();
        row.get(0)
    };
    let mark = "(select seq from dedup_merged)";
    let unknown = count(format!(
        "from dedup_log l where l.seq <= {mark} and not exists (select 1 from dedup_keys k \
         where k.head = substr(l.key, 1, 8) and k.source = l.source and k.seq = l.seq)"
    ));
    assert_eq!(unknown.await, 0, "keys without a place");
    let lost = count(
        "from dedup_keys k where not exists (select 1 from dedup_log l where l.seq = k.seq)"
            .to_owned(),
    );
    assert_eq!(lost.await, 0, "places without a row");
    let newest = count(format!("from dedup_log where seq > {mark}")).await;
    assert!(newest <= 64, "{newest} rows are in no order");
    connection.close().await.unwrap();
}

pub(super) async fn what_the_database_refuses_holds_nothing_else_up(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.refuse(BAD).await;
    let new = |n: usize, kind: &str| {
        let event = Event {
            kind: kind.to_owned(),
            ..bench.event(&n.to_string())
        };
        let runs = super::bench::unordered(&[plugin]);
        NewEvent::new(event, Some(&n.to_string()), false, WINDOW, runs)
    };
    let is_bad = |n: usize| n == 0 || n == 7 || n == 8;
    let kind = |n| if is_bad(n) { BAD } else { "good" };
    let batch = (0..10).map(|n| new(n, kind(n))).collect();
    let expected = |n| (!is_bad(n)).then_some(Ingested::New);
    assert_eq!(
        bench.store.ingest(batch).await.unwrap(),
        (0..10).map(expected).collect::<Vec<_>>()
    );
    assert_eq!(
        bench.states().await.len(),
        7,
        "a run for each of the others"
    );
    let alone = bench.store.ingest(vec![new(0, BAD)]).await.unwrap();
    assert_eq!(alone, [None]);
    let again = bench.ingest(vec![new(0, "good")]).await;
    assert_eq!(again, [Ingested::New], "what was refused is not known");
}
