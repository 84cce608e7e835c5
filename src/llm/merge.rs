//! Puts the pieces of a streamed answer together again, whatever members they have.

use serde_json::{Map, Value};

/// Choices and calls of one answer; more are nobody's.
const LIST_MAX: usize = 4096;

/// Members that are said whole each time they are said.
const WHOLE: [&str; 6] = ["id", "index", "object", "role", "type", "finish_reason"];

/// A list that would grow for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// Texts are joined, lists go on (by `index`, where their elements have one), objects are merged, all
/// else is replaced; nothing is taken back by `null`.
pub(super) fn merge(
    into: &mut Map<String, Value>,
    more: Map<String, Value>,
) -> Result<(), TooMany> {
    for (key, value) in more {
        match (into.get_mut(&key), value) {
            (Some(Value::String(text)), Value::String(more)) if !WHOLE.contains(&key.as_str()) => {
                text.push_str(&more);
            }
            (Some(Value::Object(object)), Value::Object(more)) => merge(object, more)?,
            (Some(Value::Array(list)), Value::Array(more)) => extend(list, more)?,
            (Some(_), Value::Null) => {}
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
    Ok(())
}

fn extend(list: &mut Vec<Value>, more: Vec<Value>) -> Result<(), TooMany> {
    for value in more {
        let Some(index) = value.get("index").and_then(Value::as_u64) else {
            // Alternatives of tokens: as long as the answer, which has a bound.
            list.push(value);
            continue;
        };
        let is_it = |it: &Value| it.get("index").and_then(Value::as_u64) == Some(index);
        let place = list.iter().position(is_it);
        match (place.and_then(|place| list.get_mut(place)), value) {
            (Some(Value::Object(place)), Value::Object(more)) => merge(place, more)?,
            (Some(place), value) => *place = value,
            (None, value) => {
                list.push(value);
                if list.len() > LIST_MAX {
                    return Err(TooMany);
                }
            }
        }
    }
    Ok(())
}
