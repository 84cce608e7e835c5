//! The numbers of a request that cost: how long an answer may be, how many there are; and the fields
//! by which a client could reach past them.

use crate::llm::json;
use crate::llm::request::Policy;
use crate::llm::request::refusal::BadRequest;
use crate::llm::request::sheet::Sheet;

/// Every name that upstream takes for the length of an answer. In llama.cpp `n_predict` beats
/// `max_completion_tokens`, which beats `max_tokens`.
const CAPS: [&str; 4] = [
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n_predict",
];

/// Whoever asks for a slot or keeps one, never stops, reads files of the model's server, decides how it
/// loads the model, or makes answers that we cannot read.
const DANGEROUS: [&str; 20] = [
    "cache_prompt",
    "ctx_size",
    "id_slot",
    "ignore_eos",
    "llamacpp_args",
    "llamacpp_backend",
    "llamacpp_device",
    "lora",
    "merge_args",
    "n_discard",
    "n_keep",
    "pinned",
    "response_fields",
    "return_tokens",
    "save_options",
    "slot_id",
    "sse_ping_interval",
    "t_max_predict_ms",
    "t_max_prompt_ms",
    "verbose",
];

/// Alternatives that are told beside each token: each makes every chunk longer.
const ALTERNATIVES: [&str; 3] = ["n_probs", "top_logprobs", "logprobs"];
const ALTERNATIVES_MAX: u64 = 20;

const WHOLE: &str = "a whole number, 0 or more";

pub(super) fn remove_dangerous(sheet: &mut Sheet) {
    for name in DANGEROUS {
        sheet.remove(name);
    }
    for name in ALTERNATIVES {
        let asked = sheet.value(name).and_then(json::whole);
        if asked.is_some_and(|asked| asked > ALTERNATIVES_MAX) {
            sheet.set(name, ALTERNATIVES_MAX.to_string());
        }
    }
}

/// The largest of all caps that were given, and no more than the policy's; written as `field` only. At
/// least 1: llama.cpp writes one token for 0.
pub(super) fn cap(
    sheet: &mut Sheet,
    field: &'static str,
    policy: &Policy,
) -> Result<u64, BadRequest> {
    let mut asked = None;
    for name in CAPS {
        asked = asked.max(number(sheet, name)?);
        if name != field {
            sheet.remove(name);
        }
    }
    let cap = asked.unwrap_or(policy.output_default);
    let cap = cap.min(policy.output_max).max(1);
    sheet.set(field, cap.to_string());
    Ok(cap)
}

/// Answers to each prompt, written as `n` only. `best_of` costs upstream nothing, since it is removed;
/// whoever asks for too much by it is told all the same.
pub(super) fn answers(sheet: &mut Sheet, policy: &Policy) -> Result<u32, BadRequest> {
    let mut answers = None;
    for name in ["n", "n_cmpl", "best_of"] {
        let Some(asked) = number(sheet, name)? else {
            continue;
        };
        if asked == 0 {
            return Err(BadRequest::Wrong(name, "a whole number, 1 or more"));
        }
        let asked = u32::try_from(asked)
            .ok()
            .filter(|asked| *asked <= policy.answers_max.max(1))
            .ok_or(BadRequest::TooMany(name, policy.answers_max.max(1)))?;
        if name != "best_of" {
            answers = answers.max(Some(asked));
        }
    }
    sheet.remove("n_cmpl");
    sheet.remove("best_of");
    if let Some(answers) = answers {
        sheet.set("n", answers.to_string());
    }
    Ok(answers.unwrap_or(1))
}

fn number(sheet: &Sheet, name: &'static str) -> Result<Option<u64>, BadRequest> {
    let Some(value) = sheet.given(name) else {
        return Ok(None);
    };
    let number = json::whole(value).ok_or(BadRequest::Wrong(name, WHOLE))?;
    Ok(Some(number))
}
