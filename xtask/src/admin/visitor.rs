//! A visitor of the dashboard, signed in by its form as a browser would be.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};

use crate::http::Connection;

use super::percent_encoded;

/// The cookie of a session.
const COOKIE: &str = "hookbay_session=";
/// What stands before a form's token in a page.
const FORM_TOKEN: &str = "name=\"form_token\" value=\"";

/// Somebody with a session.
pub(crate) struct Visitor {
    address: SocketAddr,
    connection: Connection,
    cookie: String,
}

impl Visitor {
    /// Signs in.
    pub(super) fn sign_in(address: SocketAddr, token: &str) -> Result<Self> {
        let mut visitor = Self {
            address,
            connection: Connection::new(address),
            cookie: String::new(),
        };
        let (status, page) = visitor.ask("GET", "/login", "")?;
        ensure!(status == 200, "the sign-in page answered {status}");
        let form_token = page
            .split_once(FORM_TOKEN)
            .and_then(|(_, rest)| rest.split_once('"'))
            .context("the sign-in page has no form")?
            .0;
        let form = format!(
            "form_token={}&token={}",
            percent_encoded(form_token),
            percent_encoded(token)
        );
        let (status, _) = visitor.ask("POST", "/login", &form)?;
        ensure!(status == 303, "signing in answered {status}");
        Ok(visitor)
    }

    /// The page at `path`.
    pub(crate) fn page(&mut self, path: &str) -> Result<String> {
        let (status, page) = self.ask("GET", path, "")?;
        if status != 200 {
            bail!("page {path} answered {status}: {page}");
        }
        Ok(page)
    }

    fn ask(&mut self, method: &str, path: &str, form: &str) -> Result<(u16, String)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/html\r\nCookie: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            self.address,
            self.cookie,
            form.len(),
        );
        let response = self
            .connection
            .exchange(request.as_bytes())
            .with_context(|| format!("cannot get {path} from {}", self.address))?;
        let head = String::from_utf8_lossy(response.head);
        let set = head.split("\r\n").filter_map(|line| line.split_once(": "));
        for (name, value) in set {
            if name.eq_ignore_ascii_case("set-cookie") && value.starts_with(COOKIE) {
                value
                    .split(';')
                    .next()
                    .unwrap_or_default()
                    .clone_into(&mut self.cookie);
            }
        }
        let page = String::from_utf8_lossy(response.body).into_owned();
        Ok((response.status, page))
    }
}
