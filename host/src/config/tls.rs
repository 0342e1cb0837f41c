//! `tls`, `admin_tls`: certificate and key of an address, read and checked.

use crate::http::Identity;

use super::reader::Table;

/// Reads `{ cert = "…", key = "…" }`: PEM files, which are read again when they change.
pub(super) fn read(table: Option<Table<'_>>) -> Option<Identity> {
    let mut table = table?;
    let [cert, key] = ["cert", "key"].map(|name| {
        if !table.has(name) {
            table.problem(name, "is missing");
        }
        let file = table.string(name);
        let reading = table.reading();
        let file = match name {
            "key" => reading.secret_file(&file?),
            _ => reading.file(&file?),
        };
        let read = std::fs::read(&file);
        let read = read.map_err(|error| format!("cannot read `{}`: {error}", file.display()));
        table.noted(name, read)
    });
    let identity = Identity::from_pem(&cert?, &key?);
    let identity = identity.map_err(|error| table.problem(error.key(), &error));
    table.finish();
    identity.ok()
}
