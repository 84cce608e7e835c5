//! What requests of before teach about the next one: tokens of a prompt's bytes and images, and how
//! long answers usually are. Integers in millionths, and bounded whatever comes.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::domain::model::ModelName;

/// More are forgotten, the ones that nobody asked for longest first.
pub const MODELS_MAX: usize = 64;

/// What an answer is expected to have before anybody knows.
pub const OUTPUT_START: u64 = 512;

/// Answers that are remembered, and how many tell something.
const RECENT: usize = 32;
const RECENT_MIN: usize = 5;

const MILLION: u64 = 1_000_000;
/// Tokens of a million bytes.
const TEXT_START: u64 = 300_000;
const TEXT_RANGE: (u64, u64) = (10_000, 4_000_000);
/// Tokens of an image.
const IMAGE_START: u64 = 1_000;
const IMAGE_RANGE: (u64, u64) = (16, 100_000);
/// A shorter prompt is mostly what the model's template adds.
const BYTES_MIN: u64 = 256;
/// The newest prompt counts for an eighth.
const SHARE: u64 = 8;

/// What the answers of late had, the newest ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    outputs: VecDeque<u32>,
    /// Nine of ten had no more.
    ninth: u32,
}

impl Recent {
    pub fn add(&mut self, output: u64) {
        let output = u32::try_from(output).unwrap_or(u32::MAX);
        self.outputs.push_back(output);
        while self.outputs.len() > RECENT {
            self.outputs.pop_front();
        }
        let mut sorted: Vec<u32> = self.outputs.iter().copied().collect();
        let ninth = (sorted.len() * 9).div_ceil(10).saturating_sub(1);
        sorted.sort_unstable();
        self.ninth = sorted.get(ninth).copied().unwrap_or_default();
    }

    /// `None` while there are too few.
    pub fn usual(&self) -> Option<u64> {
        (self.outputs.len() >= RECENT_MIN).then_some(self.ninth.into())
    }
}

/// What is known of a model's requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Habits {
    text: u64,
    image: u64,
    outputs: Recent,
    /// Turns of the table, not time.
    #[serde(default)]
    used: u64,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            text: TEXT_START,
            image: IMAGE_START,
            outputs: Recent::default(),
            used: 0,
        }
    }
}

impl Habits {
    /// Never nothing: a request costs at least a token.
    pub fn prompt_tokens(&self, bytes: u64, images: u32) -> u64 {
        let images = self.image.saturating_mul(images.into());
        self.text_tokens(bytes).saturating_add(images).max(1)
    }

    fn text_tokens(&self, bytes: u64) -> u64 {
        let tokens = u128::from(bytes) * u128::from(self.text) / u128::from(MILLION);
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }

    fn learn_prompt(&mut self, bytes: u64, images: u32, tokens: u64) {
        if images > 0 {
            let rest = tokens.saturating_sub(self.text_tokens(bytes));
            self.image = nearer(self.image, rest / u64::from(images), IMAGE_RANGE);
        } else if bytes >= BYTES_MIN {
            let seen = tokens.saturating_mul(MILLION) / bytes;
            self.text = nearer(self.text, seen, TEXT_RANGE);
        }
    }
}

/// An exponentially weighted mean, which no single sample carries away.
fn nearer(mean: u64, seen: u64, (least, most): (u64, u64)) -> u64 {
    let mean = mean.clamp(least, most);
    (mean * (SHARE - 1) + seen.clamp(least, most) + SHARE / 2) / SHARE
}

/// A finished request.
#[derive(Clone, Copy, Debug)]
pub struct Lesson {
    pub bytes: u64,
    pub images: u32,
    pub prompt_tokens: u64,
    /// Of each answer.
    pub output_tokens: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Learnt {
    models: HashMap<ModelName, Habits>,
    turn: u64,
}

impl Learnt {
    pub fn of(&self, model: &ModelName) -> Option<&Habits> {
        self.models.get(model)
    }

    pub fn prompt_tokens(&self, model: &ModelName, bytes: u64, images: u32) -> u64 {
        match self.of(model) {
            Some(habits) => habits.prompt_tokens(bytes, images),
            None => Habits::default().prompt_tokens(bytes, images),
        }
    }

    /// What an answer of the model usually has.
    pub fn usual_output(&self, model: &ModelName) -> Option<u64> {
        self.of(model)?.outputs.usual()
    }

    pub fn learn(&mut self, model: &ModelName, lesson: Lesson) {
        self.turn += 1;
        if !self.models.contains_key(model) {
            self.make_room();
            self.models.insert(model.clone(), Habits::default());
        }
        if let Some(habits) = self.models.get_mut(model) {
            habits.used = self.turn;
            habits.learn_prompt(lesson.bytes, lesson.images, lesson.prompt_tokens);
            habits.outputs.add(lesson.output_tokens);
        }
    }

    fn make_room(&mut self) {
        if self.models.len() < MODELS_MAX {
            return;
        }
        let oldest = self.models.iter().min_by_key(|(_, habits)| habits.used);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            self.models.remove(&name);
        }
    }

    pub fn all(&self) -> impl Iterator<Item = (&ModelName, &Habits)> {
        self.models.iter()
    }

    pub fn restore(saved: impl IntoIterator<Item = (ModelName, Habits)>) -> Self {
        let models: HashMap<_, _> = saved.into_iter().take(MODELS_MAX).collect();
        let turn = models.values().map(|it| it.used).max().unwrap_or_default();
        Self { models, turn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(bytes: u64, images: u32, prompt: u64, output: u64) -> Lesson {
        Lesson {
            bytes,
            images,
            prompt_tokens: prompt,
            output_tokens: output,
        }
    }

    #[test]
    fn an_unknown_model_has_a_third_of_a_token_in_a_byte() {
        let learnt = Learnt::default();
        let model = ModelName::new("qwen3");
        assert_eq!(learnt.prompt_tokens(&model, 10_000, 0), 3_000);
        assert_eq!(learnt.prompt_tokens(&model, 10_000, 2), 5_000);
        assert_eq!(learnt.prompt_tokens(&model, 0, 0), 1);
        assert_eq!(
            learnt.prompt_tokens(&model, u64::MAX, u32::MAX),
            learnt.prompt_tokens(&model, u64::MAX, u32::MAX)
        );
        assert_eq!(learnt.usual_output(&model), None);
    }

    #[test]
    fn a_model_s_ratio_comes_near_what_its_requests_have() {
        let mut learnt = Learnt::default();
        let model = ModelName::new("qwen3");
        for _ in 0..60 {
            learnt.learn(&model, lesson(10_000, 0, 2_000, 100));
        }
        let tokens = learnt.prompt_tokens(&model, 10_000, 0);
        assert!((1_990..=2_010).contains(&tokens), "{tokens}");
        for _ in 0..60 {
            learnt.learn(&model, lesson(10_000, 3, 2_000 + 3 * 250, 100));
        }
        let tokens = learnt.prompt_tokens(&model, 10_000, 1);
        assert!((2_230..=2_270).contains(&tokens), "{tokens}");
    }

    #[test]
    fn one_odd_request_moves_a_ratio_by_little() {
        let mut learnt = Learnt::default();
        let model = ModelName::new("qwen3");
        learnt.learn(&model, lesson(300, 0, u64::MAX, 0));
        assert!(learnt.prompt_tokens(&model, 1_000_000, 0) < 800_000);
        learnt.learn(&model, lesson(1, 0, 1_000_000, 0));
        assert!(learnt.prompt_tokens(&model, 1_000_000, 0) < 800_000);
    }

    #[test]
    fn nine_of_ten_answers_had_no_more_than_the_usual() {
        let mut recent = Recent::default();
        for output in 1..=4 {
            recent.add(output);
            assert_eq!(recent.usual(), None);
        }
        for output in 5..=10 {
            recent.add(output);
        }
        assert_eq!(recent.usual(), Some(9));
        for _ in 0..RECENT {
            recent.add(700);
        }
        assert_eq!(recent.usual(), Some(700));
        assert_eq!(recent.outputs.len(), RECENT);
    }

    #[test]
    fn so_many_models_are_remembered_and_the_newest_stay() {
        let mut learnt = Learnt::default();
        for number in 0..1_000 {
            learnt.learn(
                &ModelName::new(&format!("m{number}")),
                lesson(1_000, 0, 100, 7),
            );
        }
        assert_eq!(learnt.models.len(), MODELS_MAX);
        assert!(learnt.of(&ModelName::new("m999")).is_some());
        assert!(learnt.of(&ModelName::new("m0")).is_none());
    }
}
