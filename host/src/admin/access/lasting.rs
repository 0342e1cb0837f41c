//! Answers that go on for long, such as a stream or an export: they end when whoever asked
//! may not ask any more. Who may is decided elsewhere.

use axum::body::{Body, HttpBody as _};
use axum::http::Response;
use futures_util::{StreamExt as _, stream};

/// Cuts an answer off before the first piece of it that its asker may not have any more;
/// one that is here as a whole was asked for in time.
pub(crate) fn while_good<F, Good>(response: Response<Body>, is_good: F) -> Response<Body>
where
    F: Fn() -> Good + Send + 'static,
    Good: Future<Output = bool> + Send,
{
    response.map(|body| {
        if body.size_hint().exact().is_some() {
            return body;
        }
        let pieces = body.into_data_stream();
        let checked = stream::unfold((pieces, is_good), |(mut pieces, is_good)| async {
            let piece = pieces.next().await?;
            if is_good().await {
                return Some((piece, (pieces, is_good)));
            }
            // An error and not an end, so that nobody takes what came for whole.
            let ended = axum::Error::new("whoever asked may not ask any more");
            Some((Err(ended), (Body::empty().into_data_stream(), is_good)))
        });
        Body::from_stream(checked)
    })
}
