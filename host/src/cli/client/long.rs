//! Answers that are not JSON in one piece: whole bodies, and streams that go on for long.

use reqwest::{Method, Response};

use super::{AdminClient, ClientError, LONG_TIMEOUT, Parameter};

impl AdminClient {
    /// `GET /api/v1/{path}` as bytes.
    ///
    /// # Errors
    /// As [`Self::get_json`].
    pub(crate) async fn get_whole(&self, path: &[&str]) -> Result<Vec<u8>, ClientError> {
        let answer = self.get_bytes(path).await?;
        self.read(answer).await
    }

    /// `GET /api/v1/{path}` that goes on for long, from behind a place of a stream if one
    /// is given: [`Self::next_chunk`].
    ///
    /// # Errors
    /// As [`Self::get_json`].
    pub(crate) async fn open_stream(
        &self,
        path: &[&str],
        parameters: &[Parameter<'_>],
        after: Option<&str>,
    ) -> Result<Response, ClientError> {
        let request = self.request(Method::GET, path, parameters);
        let mut request = request.timeout(LONG_TIMEOUT);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        self.ask(request).await
    }
}
