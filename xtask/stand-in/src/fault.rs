//! Requests that go wrong on purpose: which, how often, and how.

use std::collections::VecDeque;

use serde_json::Value;

use crate::http::Request;

/// What happens to the next requests of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The method, in capitals.
    pub method: String,
    /// What their path begins with.
    pub path: String,
    /// To how many it happens.
    pub times: u32,
    /// Whether the service does what is asked before it goes wrong: the sender cannot know.
    pub is_applied: bool,
    /// How it goes wrong.
    pub ending: Ending,
}

/// How a request goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// An answer of this status, in the service's own words.
    Status {
        /// The status.
        status: u16,
        /// The value of `Retry-After`.
        retry_after_s: Option<u64>,
    },
    /// The connection is closed without an answer.
    HangUp,
    /// There is no answer, for as long as the sender waits.
    Hold,
}

/// The faults that have not yet happened.
#[derive(Debug, Default)]
pub(crate) struct Faults(VecDeque<Fault>);

impl Fault {
    /// One answer of this status, with nothing done.
    #[must_use]
    pub fn status(method: &str, path: &str, status: u16) -> Self {
        Self::new(
            method,
            path,
            Ending::Status {
                status,
                retry_after_s: None,
            },
        )
    }

    /// One connection that is closed, with nothing done.
    #[must_use]
    pub fn hang_up(method: &str, path: &str) -> Self {
        Self::new(method, path, Ending::HangUp)
    }

    /// One request that is never answered, with nothing done.
    #[must_use]
    pub fn hold(method: &str, path: &str) -> Self {
        Self::new(method, path, Ending::Hold)
    }

    fn new(method: &str, path: &str, ending: Ending) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            times: 1,
            is_applied: false,
            ending,
        }
    }

    /// The same so many times.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// The same after the service has done what is asked.
    #[must_use]
    pub fn applied(self) -> Self {
        Self {
            is_applied: true,
            ..self
        }
    }

    /// The same with `Retry-After`, which only an answer can have.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        let ending = match self.ending {
            Ending::Status { status, .. } => Ending::Status {
                status,
                retry_after_s: Some(seconds),
            },
            silent @ (Ending::HangUp | Ending::Hold) => silent,
        };
        Self { ending, ..self }
    }

    /// From the JSON of `POST /stand-in/faults`:
    /// `{"method": "POST", "path": "/v1/pages", "status": 429, "retry_after": 5, "times": 2}`;
    /// instead of `status`, `"hang_up": true` or `"hold": true`; with `"applied": true`.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let json: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let text = |key: &str| {
            let value = json[key].as_str();
            value.ok_or_else(|| format!("`{key}` is missing or no text"))
        };
        let (method, path) = (text("method")?, text("path")?);
        let number = |key: &str| json[key].as_u64();
        let is = |key: &str| json[key] == true;
        let fault = match number("status") {
            Some(status) => {
                let status = u16::try_from(status).unwrap_or_default();
                if !(400..=599).contains(&status) {
                    return Err(format!("status {status} is not one of 400 to 599"));
                }
                Self::status(method, path, status)
            }
            None if is("hang_up") => Self::hang_up(method, path),
            None if is("hold") => Self::hold(method, path),
            None => return Err("one of `status`, `hang_up` and `hold` is needed".to_owned()),
        };
        let fault = match number("retry_after") {
            Some(seconds) => fault.retry_after(seconds),
            None => fault,
        };
        let fault = if is("applied") {
            fault.applied()
        } else {
            fault
        };
        let times = number("times").map_or(1, |times| u32::try_from(times).unwrap_or(u32::MAX));
        Ok(fault.times(times))
    }
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push_back(fault);
    }

    /// The fault that happens to this request, which is then one time less to come.
    pub(crate) fn strike(&mut self, request: &Request) -> Option<Fault> {
        self.0.retain(|fault| fault.times > 0);
        let fits = |fault: &&mut Fault| {
            fault.method == request.method && request.path.starts_with(&fault.path)
        };
        let fault = self.0.iter_mut().find(fits)?;
        fault.times -= 1;
        Some(fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_its_own_and_no_more_often_than_said() {
        let mut faults = Faults::default();
        faults.add(Fault::status("POST", "/v1/pages", 500).times(2));
        let of = |method: &str, path: &str| Request::new(method, path, b"");
        assert_eq!(faults.strike(&of("GET", "/v1/pages")), None);
        assert_eq!(faults.strike(&of("POST", "/v1/users")), None);
        assert!(faults.strike(&of("POST", "/v1/pages")).is_some());
        assert!(faults.strike(&of("POST", "/v1/pages/1")).is_some());
        assert_eq!(faults.strike(&of("POST", "/v1/pages")), None);
    }

    #[test]
    fn faults_are_read_from_json() {
        let parsed = |json: &str| Fault::parse(json.as_bytes());
        assert_eq!(
            parsed(r#"{"method":"POST","path":"/v1","status":429,"retry_after":5,"times":2}"#),
            Ok(Fault::status("POST", "/v1", 429).retry_after(5).times(2))
        );
        assert_eq!(
            parsed(r#"{"method":"POST","path":"/v1","hang_up":true,"applied":true}"#),
            Ok(Fault::hang_up("POST", "/v1").applied())
        );
        for (json, problem) in [
            ("{", "EOF"),
            (r#"{"path":"/"}"#, "`method`"),
            (r#"{"method":"GET","path":"/"}"#, "one of `status`"),
            (
                r#"{"method":"GET","path":"/","status":200}"#,
                "200 is not one of",
            ),
        ] {
            let said = parsed(json).expect_err(json);
            assert!(said.contains(problem), "{said}");
        }
    }
}
