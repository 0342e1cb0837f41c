//! The audit log: what is over goes, whatever else there is.

use hookbay::store::{ChangeFilter, NewChange};

use super::{Bench, DAY, policy};
use crate::database::Engine;

async fn noted(bench: &Bench) -> Vec<String> {
    let filter = ChangeFilter {
        limit: 5000,
        ..ChangeFilter::default()
    };
    let rows = bench.store.changes(&filter).await.unwrap();
    rows.into_iter().filter_map(|row| row.target).collect()
}

pub(super) async fn the_audit_log_goes_by_age(engine: Engine) {
    let mut bench = Bench::new(engine, policy()).await;
    let change = |target: &str| NewChange {
        token: "ci".to_owned(),
        action: "plugins.pause",
        target: Some(target.to_owned()),
        remote_addr: None,
        status: None,
    };
    for n in 0..1500 {
        let noted = bench.store.begin_change(change(&n.to_string())).await;
        bench
            .store
            .end_change(noted.unwrap(), 204, None)
            .await
            .unwrap();
    }
    bench.pass(59 * DAY).await;
    bench.store.begin_change(change("late")).await.unwrap();
    bench.retention.pass().await;
    assert_eq!(noted(&bench).await.len(), 1501);
    bench.pass(2 * DAY).await;
    bench.retention.pass().await;
    assert_eq!(noted(&bench).await, ["late"]);
}
