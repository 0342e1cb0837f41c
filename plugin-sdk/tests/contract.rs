//! The SDK carries its own copy of the contract, so that it builds wherever it is
//! copied to. In the repository both must be the same; outside there is only one,
//! and this test is left out of the package.

use std::{collections::BTreeMap, fs, path::Path};

fn contract(directory: &str) -> BTreeMap<String, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    fs::read_dir(directory)
        .expect("the directory is there")
        .map(|entry| {
            let path = entry.expect("the directory is readable").path();
            let name = path
                .file_name()
                .expect("an entry has a name")
                .to_string_lossy();
            let text = fs::read_to_string(&path).expect("the contract is text");
            (name.into_owned(), text)
        })
        .collect()
}

#[test]
fn the_copy_is_identical() {
    let original = contract("../wit");
    assert!(original.contains_key("handler.wit"));
    assert_eq!(
        contract("wit"),
        original,
        "run `cp wit/*.wit plugin-sdk/wit/`"
    );
}
