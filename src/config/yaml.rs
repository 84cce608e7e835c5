//! YAML text to a small tree that knows the line of everything in it.
//!
//! Scalars stay as they were written: what a text means is for the key to say, not for YAML. So
//! `yes`, `"8100"` and the name `007` are what their author typed.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::config::note::quoted;

/// Deeper than any key; what goes on below would only use up the stack.
const DEPTH_MAX: usize = 24;

/// What a tree may weigh with its aliases written out. A file of 1 MiB stays below it.
const WEIGHT_MAX: usize = 16 << 20;

/// Nobody reads more of them.
const TWICE_MAX: usize = 100;

/// What a node weighs beside its text.
const NODE_WEIGHT: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The first line is 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    Scalar(String),
    Sequence(Vec<Node>),
    Mapping(Vec<Pair>),
}

#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Node,
}

/// Why this is no settings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

/// The one document in the text. Keys that are written twice are all named; anything else that is
/// wrong with the syntax ends it.
pub(super) fn parse(text: &str) -> Result<Node, Vec<Fault>> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)),
        anchors: HashMap::new(),
        weight: 0,
        twice: Vec::new(),
    };
    match reader.document() {
        Err(fault) => {
            reader.twice.push(fault);
            Err(reader.twice)
        }
        Ok(_) if !reader.twice.is_empty() => Err(reader.twice),
        Ok(node) => Ok(node),
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// Finished nodes by their anchor, with their weight.
    anchors: HashMap<usize, (Node, usize)>,
    weight: usize,
    twice: Vec<Fault>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, Fault> {
        let mut document = None;
        loop {
            let (event, span) = self.event()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Nothing => {}
                _ if document.is_some() => {
                    return Err(fault(
                        span.start,
                        "a settings file is one document: remove the second `---`",
                    ));
                }
                event => document = Some(self.node(event, span, 0)?),
            }
        }
        Ok(document.unwrap_or(Node {
            line: 1,
            value: Value::Null,
        }))
    }

    fn event(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Fault> {
        if depth > DEPTH_MAX {
            return Err(fault(span.start, "nested too deeply for a settings file"));
        }
        let before = self.weight;
        self.weigh(NODE_WEIGHT, span)?;
        let (value, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                known_tag(tag.as_deref(), span)?;
                self.weigh(text.len(), span)?;
                let null = style == ScalarStyle::Plain && is_null(&text);
                let scalar = Value::Scalar(text.into_owned());
                (if null { Value::Null } else { scalar }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                known_tag(tag.as_deref(), span)?;
                (Value::Sequence(self.sequence(depth)?), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                known_tag(tag.as_deref(), span)?;
                (Value::Mapping(self.mapping(depth)?), anchor)
            }
            _ => return Err(fault(span.start, "a value is missing here")),
        };
        let node = Node {
            line: span.start.line(),
            value,
        };
        if anchor > 0 {
            let weight = self.weight - before;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        let mut nodes = Vec::new();
        loop {
            let (event, span) = self.event()?;
            if event == Event::SequenceEnd {
                return Ok(nodes);
            }
            nodes.push(self.node(event, span, depth + 1)?);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<Pair>, Fault> {
        let mut pairs: Vec<Pair> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, span) = self.event()?;
            if event == Event::MappingEnd {
                return Ok(pairs);
            }
            let key = self.key(event, span, depth)?;
            let line = span.start.line();
            let (event, at) = self.event()?;
            let value = self.node(event, at, depth + 1)?;
            if let Some(first) = lines.get(&key) {
                let message = format!(
                    "{} is written twice, first in line {first}: keep one",
                    quoted(&key)
                );
                self.twice.push(fault(span.start, message));
                if self.twice.len() >= TWICE_MAX {
                    return Err(fault(span.start, "too many keys are written twice"));
                }
                continue;
            }
            lines.insert(key.clone(), line);
            pairs.push(Pair { key, line, value });
        }
    }

    fn key(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<String, Fault> {
        // An empty key and `null` are texts here: they will be unknown keys.
        if let Event::Scalar(text, ..) = event {
            self.weigh(text.len(), span)?;
            return Ok(text.into_owned());
        }
        match self.node(event, span, depth + 1)?.value {
            Value::Scalar(text) => Ok(text),
            _ => Err(fault(span.start, "a key must be a word")),
        }
    }

    /// A copy of what the anchor stands for.
    fn alias(&mut self, anchor: usize, span: Span) -> Result<Node, Fault> {
        let Some((_, weight)) = self.anchors.get(&anchor) else {
            return Err(fault(
                span.start,
                "an alias of something that is not complete yet",
            ));
        };
        self.weigh(*weight, span)?;
        let copy = self.anchors.get(&anchor).map(|(node, _)| node.clone());
        copy.ok_or_else(|| fault(span.start, "an alias of nothing"))
    }

    fn weigh(&mut self, weight: usize, span: Span) -> Result<(), Fault> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > WEIGHT_MAX {
            return Err(fault(
                span.start,
                "too large for a settings file: its aliases make more than 16 MiB of it",
            ));
        }
        Ok(())
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// `!!str` and its like change nothing, because texts stay texts.
fn known_tag(tag: Option<&Tag>, span: Span) -> Result<(), Fault> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => Err(fault(
            span.start,
            format!(
                "the tag {} is not read here: remove it",
                quoted(&tag.to_string())
            ),
        )),
        _ => Ok(()),
    }
}

fn syntax(error: &ScanError) -> Fault {
    fault(*error.marker(), format!("not YAML: {}", error.info()))
}

fn fault(at: Marker, message: impl Into<String>) -> Fault {
    Fault {
        line: at.line(),
        column: at.col() + 1,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests;
