//! What is read between two writes is nobody's file.

use std::fs;
use std::io;
use std::path::Path;

use tokio::sync::mpsc;

use super::{Directory, Found, look_at};

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wasm");
    let mut directory = Directory::new(folder.path(), true);
    let (found, mut reported) = mpsc::channel(4);
    let name = || "a.wasm".to_owned();
    type Change = fn(&Path) -> io::Result<()>;
    let changes: [Change; 3] = [
        |path| fs::write(path, "longer"),
        |path| fs::write(path.with_file_name("a.wasm.sig"), "signed"),
        |path| fs::remove_file(path),
    ];
    for change in changes {
        fs::write(&path, "one").unwrap();
        let before = look_at(&path, true).unwrap().unwrap();
        change(&path).unwrap();
        assert!(directory.report(name(), before, &found).await.is_ok());
        assert!(reported.try_recv().is_err() && directory.reported.is_empty());
    }
    fs::write(&path, "two").unwrap();
    let now = look_at(&path, true).unwrap().unwrap();
    assert!(directory.report(name(), now, &found).await.is_ok());
    let Ok(Found::File(file, Ok(read))) = reported.try_recv() else {
        panic!("the file that rests is not reported");
    };
    assert_eq!((file, &*read.bytes), (name(), b"two".as_slice()));
    assert_eq!(directory.reported.get("a.wasm"), Some(&now));
}
