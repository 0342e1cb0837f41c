//! The stand-in over its socket: what goes wrong on purpose, and the web page.

use std::io::{Read, Write};
use std::net::TcpStream;

use hookbay_stand_in::{Fault, Options, StandIn};

fn start() -> StandIn {
    StandIn::start(Options::quiet()).expect("a port is free")
}

/// Sends a request on a connection of its own; all that comes back until it is closed.
fn exchange(stand_in: &StandIn, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(stand_in.address()).expect("it listens");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text");
    answer
}

fn n_received(stand_in: &StandIn) -> usize {
    stand_in.with(|services| services.sink.received().count())
}

#[test]
fn requests_reach_their_service_and_are_remembered() {
    let stand_in = start();
    let answer = exchange(&stand_in, "POST", "/sink/orders?a=b", "<b>hello</b>");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let nowhere = exchange(&stand_in, "GET", "/nowhere", "");
    assert!(nowhere.starts_with("HTTP/1.1 404 "), "{nowhere}");
    let unknown = exchange(&stand_in, "POST", "/v1/pages", "{}");
    assert!(unknown.contains("API token is invalid."), "{unknown}");
    let calls: Vec<_> = stand_in.calls().iter().map(ToString::to_string).collect();
    assert_eq!(
        calls,
        [
            "stand-in  sink  POST /sink/orders  200  12 bytes",
            "stand-in  nobody  GET /nowhere  404  ",
            "stand-in  notion  POST /v1/pages  401  API token is invalid.",
        ]
    );
    let page = exchange(&stand_in, "GET", "/", "");
    assert!(page.contains("<td>&lt;b&gt;hello&lt;/b&gt;</td>"), "{page}");
}

#[test]
fn what_is_injected_happens_to_the_next() {
    let stand_in = start();
    stand_in.inject(Fault::status("POST", "/sink", 429).retry_after(7).times(2));
    for _ in 0..2 {
        let refused = exchange(&stand_in, "POST", "/sink", "1");
        assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
        assert!(refused.contains("retry-after: 7\r\n"), "{refused}");
    }
    assert_eq!(n_received(&stand_in), 0);
    stand_in.inject(Fault::hang_up("POST", "/sink"));
    assert_eq!(exchange(&stand_in, "POST", "/sink", "2"), "");
    assert_eq!(n_received(&stand_in), 0);
    stand_in.inject(Fault::hang_up("POST", "/sink").applied());
    assert_eq!(exchange(&stand_in, "POST", "/sink", "3"), "");
    assert_eq!(n_received(&stand_in), 1);
    let answer = exchange(&stand_in, "POST", "/sink", "4");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(n_received(&stand_in), 2);
}

#[test]
fn it_can_be_injected_from_outside() {
    let stand_in = start();
    let fault = r#"{"method": "POST", "path": "/sink", "status": 503}"#;
    let answer = exchange(&stand_in, "POST", "/stand-in/faults", fault);
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let refused = exchange(&stand_in, "POST", "/sink", "");
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    let wrong = exchange(&stand_in, "POST", "/stand-in/faults", "{}");
    assert!(wrong.starts_with("HTTP/1.1 400 "), "{wrong}");
    assert!(wrong.contains("`method`"), "{wrong}");
}

/// A request that is held is done, never answered, and does not keep the stand-in from ending.
#[test]
fn a_held_request_ends_with_the_stand_in() {
    let stand_in = start();
    stand_in.inject(Fault::hold("POST", "/sink").applied());
    let address = stand_in.address();
    let waiting = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream
            .write_all(b"POST /sink HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
            .expect("it reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("it ends in order");
        answer
    });
    while n_received(&stand_in) == 0 {
        std::thread::yield_now();
    }
    drop(stand_in);
    assert_eq!(waiting.join().expect("it ended"), "");
    assert!(TcpStream::connect(address).is_err(), "{address} answers");
}
