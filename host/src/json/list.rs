//! The items of a list as they were sent, no more of them than somebody is ready for.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::NotJson;

/// The first `max` items of a list as they were sent, and one more if there are more; none
/// of anything else.
///
/// # Errors
/// [`NotJson`] says where it stops being JSON.
pub fn first_items(json: &str, max: usize) -> Result<Option<Vec<&str>>, NotJson> {
    if !json.trim_start().starts_with('[') {
        return Ok(None);
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    let items = reader.deserialize_seq(Items(max));
    items
        .and_then(|items| reader.end().map(|()| Some(items)))
        .map_err(|error| NotJson(error.to_string()))
}

/// So many items of a list, and one more; the rest passed over.
struct Items(usize);

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut first = Vec::new();
        while first.len() <= self.0 {
            match items.next_element::<&RawValue>()? {
                Some(item) => first.push(item.get()),
                None => return Ok(first),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::first_items;

    #[test]
    fn items_come_as_they_were_sent() {
        let many = r#" [ {"b":1.50, "a":1}, [ ], "x\u00e9" ,null] "#;
        let all = [r#"{"b":1.50, "a":1}"#, "[ ]", r#""x\u00e9""#, "null"];
        for (json, max, expected) in [
            (many, 4, Some(all.to_vec())),
            (many, 9, Some(all.to_vec())),
            (many, 2, Some(all[..3].to_vec())),
            (many, 0, Some(all[..1].to_vec())),
            ("[]", 3, Some(vec![])),
            ("{}", 3, None),
            ("\"[]\"", 3, None),
        ] {
            assert_eq!(first_items(json, max), Ok(expected), "{json} {max}");
        }
        for bad in ["[", "[1,]", "[1] 2", "[1 2]"] {
            assert!(
                first_items(bad, 9).is_err() && first_items(bad, 0).is_err(),
                "{bad}"
            );
        }
    }
}
