//! Handshakes and what is read out of a request: nothing panics, and no answer to a
//! stranger's question holds a secret.
#![no_main]

use hookbay::ingest::handshake::{Stage, challenge};
use hookbay_fuzz::Written;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(written) = Written::read(input) else {
        return;
    };
    let (party, request) = (written.party, written.request());
    let provider = &party.provider;
    for stage in [
        Stage::Unproven,
        Stage::Genuine(Some(0)),
        Stage::Genuine(None),
    ] {
        let _answer = challenge(provider, &party.keys, &request, stage);
    }
    let document = provider.document(&request);
    let document = document.as_deref();
    for place in [&provider.kind, &provider.id] {
        let _value = place.find(&request, document);
    }
});
