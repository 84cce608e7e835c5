//! Reads what an answer cost, in every shape that it is written in.

use crate::domain::quota::Tokens;
use crate::llm::json;

/// `usage` of chat, completions and embeddings (`prompt_tokens`, `completion_tokens`), of responses
/// (`input_tokens`, `output_tokens`) and of messages, whose `input_tokens` are without the remembered ones.
pub(super) fn usage(value: &[u8]) -> Option<Tokens> {
    let [prompt, completion, input, output] = json::pick(
        value,
        [
            "prompt_tokens",
            "completion_tokens",
            "input_tokens",
            "output_tokens",
        ],
    )
    .ok()?;
    let [prompt_details, input_details, read] = json::pick(
        value,
        [
            "prompt_tokens_details",
            "input_tokens_details",
            "cache_read_input_tokens",
        ],
    )
    .ok()?;
    let asked = number(prompt.or(input));
    let written = number(completion.or(output));
    if asked.is_none() && written.is_none() {
        return None;
    }
    let asked = asked.unwrap_or_default();
    let (input, cached) = if let Some(read) = number(read) {
        (asked, read)
    } else {
        let cached = cached_of(prompt_details.or(input_details)).min(asked);
        (asked.saturating_sub(cached), cached)
    };
    Some(Tokens {
        input,
        cached,
        output: written.unwrap_or_default(),
    })
}

/// llama.cpp's `timings`: `prompt_n` is what it really processed.
pub(super) fn timings(value: &[u8]) -> Option<Tokens> {
    let [cached, input, output] = json::pick(value, ["cache_n", "prompt_n", "predicted_n"]).ok()?;
    Some(Tokens {
        input: number(input).unwrap_or_default(),
        cached: number(cached).unwrap_or_default(),
        output: number(output)?,
    })
}

fn cached_of(details: Option<&[u8]>) -> u64 {
    details
        .and_then(|details| json::pick(details, ["cached_tokens"]).ok())
        .and_then(|[cached]| number(cached))
        .unwrap_or_default()
}

fn number(value: Option<&[u8]>) -> Option<u64> {
    value.and_then(json::whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(input: u64, cached: u64, output: u64) -> Tokens {
        Tokens {
            input,
            cached,
            output,
        }
    }

    #[test]
    fn usage_is_read_in_all_four_formats() {
        for (written, read) in [
            (
                r#"{"completion_tokens":8,"prompt_tokens":21,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":20}}"#,
                tokens(1, 20, 8),
            ),
            (
                r#"{"input_tokens":21,"output_tokens":4,"total_tokens":25,"input_tokens_details":{"cached_tokens":20}}"#,
                tokens(1, 20, 4),
            ),
            (
                r#"{"cache_read_input_tokens":9,"input_tokens":11,"output_tokens":4}"#,
                tokens(11, 9, 4),
            ),
            (r#"{"prompt_tokens":6,"total_tokens":6}"#, tokens(6, 0, 0)),
            (r#"{"output_tokens":15}"#, tokens(0, 0, 15)),
        ] {
            assert_eq!(usage(written.as_bytes()), Some(read), "{written}");
        }
    }

    #[test]
    fn zeros_that_are_said_are_values_and_nonsense_is_none() {
        let zeros = br#"{"prompt_tokens":0,"completion_tokens":0}"#;
        assert_eq!(usage(zeros), Some(Tokens::default()));
        for none in [
            "null",
            "{}",
            "[]",
            "7",
            r#"{"prompt_tokens":-1}"#,
            r#"{"prompt_tokens":"9"}"#,
            r#"{"total_tokens":9}"#,
        ] {
            assert_eq!(usage(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn no_more_is_remembered_than_was_asked() {
        let boast = br#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":900}}"#;
        assert_eq!(usage(boast), Some(tokens(0, 5, 1)));
    }

    #[test]
    fn timings_say_what_was_processed_and_what_was_remembered() {
        let written =
            br#"{"cache_n":20,"prompt_n":1,"prompt_ms":0.308,"predicted_n":8,"predicted_ms":0.6}"#;
        assert_eq!(timings(written), Some(tokens(1, 20, 8)));
        assert_eq!(timings(br#"{"prompt_n":1}"#), None);
    }
}
