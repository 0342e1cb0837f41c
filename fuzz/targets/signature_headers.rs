//! The notations in which signatures stand in headers: nothing panics, and what is read is
//! bounded and part of what was written.
#![no_main]

use hookbay::ingest::scheme::Proof;
use hookbay::ingest::scheme::signatures::Notation;
use hookbay_fuzz::PARTIES;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    let texts: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let notations = PARTIES
        .values()
        .filter_map(|party| match &party.provider.proof {
            Proof::Signature(scheme) => Some((&scheme.notation, scheme.prefix.as_str())),
            _ => None,
        });
    let all: Vec<(&Notation, &str)> = notations.collect();
    let (notation, prefix) = all[usize::from(*first) % all.len()];
    if let Ok(found) = notation.read(&texts, prefix, || "here".to_owned()) {
        assert!(!found.signatures.is_empty());
        for signature in &found.signatures {
            assert!(texts.iter().any(|text| text.contains(signature)));
        }
    }
});
