//! A stored request as a terminal shows it: its headers as a table, its body byte for byte.

use super::CommandError;
use super::client::AdminClient;
use super::table::{Reader, Screen, write_bytes};

/// Its headers, in their order.
pub(crate) fn headers(screen: &Screen, headers: &[(String, String)]) -> String {
    let row = |(name, value): &(String, String)| vec![name.clone(), value.clone()];
    let rows: Vec<Vec<String>> = headers.iter().map(row).collect();
    screen.table(&["HEADER", "VALUE"], &rows, "no headers")
}

/// Writes the body that is at `path` to stdout, and nothing else.
///
/// # Errors
/// It cannot be had. That nobody reads it any more is no error.
pub(crate) async fn write_body(client: &AdminClient, path: &[&str]) -> Result<(), CommandError> {
    let mut body = client.get_bytes(path).await?;
    while let Some(chunk) = client.next_chunk(&mut body).await? {
        if write_bytes(chunk.as_ref())? == Reader::Gone {
            break;
        }
    }
    Ok(())
}
