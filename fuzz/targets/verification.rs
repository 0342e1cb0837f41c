//! Verification and the diagnosis after it: nothing panics, and no body is genuine that
//! nobody has signed.
#![no_main]

use hookbay::ingest::scheme::Coverage;
use hookbay::ingest::verify::verify;
use hookbay_fuzz::Written;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(written) = Written::read(input) else {
        return;
    };
    let (party, request) = (written.party, written.request());
    let Ok(verified) = verify(&party.provider.proof, &party.keys, &request, party.now) else {
        return;
    };
    // Forms are signed by what they say, not by how it is written.
    if verified.coverage == Coverage::Body && !request.is_form() {
        assert!(
            party.genuine_bodies.contains(request.body),
            "{} takes a body that nobody signed",
            party.provider.name
        );
    }
});
