//! The body with its fields found, on which changes are noted; all that is not changed stays as it came.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::llm::json::{self, Member};
use crate::llm::request::refusal::BadRequest;

/// More fields than any client has; comparing each with each is cheap up to here.
const FIELDS_MAX: usize = 256;

/// Deeper than any conversation or schema.
const DEPTH_MAX: u32 = 64;

#[derive(Clone, Debug)]
pub(super) struct Sheet {
    source: Bytes,
    fields: Vec<Field>,
    /// The closing brace.
    end: usize,
    added: Vec<(&'static str, String)>,
}

#[derive(Clone, Debug)]
struct Field {
    key: Range<usize>,
    value: Range<usize>,
    edit: Edit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Edit {
    Keep,
    Remove,
    Replace(String),
}

impl Sheet {
    pub(super) fn read(source: Bytes) -> Result<Self, BadRequest> {
        json::check(&source, DEPTH_MAX).map_err(|fault| match fault {
            json::Fault::Malformed(at) => BadRequest::NotJson(at),
            json::Fault::TooDeep => BadRequest::TooDeep,
        })?;
        let mut members = json::members(&source);
        let mut fields = Vec::new();
        for member in members.by_ref().map_while(Result::ok) {
            if fields.len() == FIELDS_MAX {
                return Err(BadRequest::TooManyFields);
            }
            fields.push(Field::new(&member));
        }
        let end = members.end();
        if source.get(end) != Some(&b'}') {
            return Err(BadRequest::NotObject);
        }
        refuse_twice(&source, &fields)?;
        Ok(Self {
            source,
            fields,
            end,
            added: Vec::new(),
        })
    }

    pub(super) fn source(&self) -> &[u8] {
        &self.source
    }

    /// As it came, whatever was noted since.
    pub(super) fn value(&self, name: &str) -> Option<&[u8]> {
        self.place(name)
            .and_then(|place| self.fields.get(place))
            .and_then(|field| self.source.get(field.value.clone()))
    }

    /// A field that is there and says something.
    pub(super) fn given(&self, name: &str) -> Option<&[u8]> {
        self.value(name).filter(|value| !json::is_null(value))
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, BadRequest> {
        match self.given(name) {
            None => Ok(None),
            Some(b"true") => Ok(Some(true)),
            Some(b"false") => Ok(Some(false)),
            Some(_) => Err(BadRequest::Wrong(name, "true or false")),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some(field) = self.field_mut(name) {
            field.edit = Edit::Remove;
        }
    }

    /// `value` is JSON.
    pub(super) fn set(&mut self, name: &'static str, value: String) {
        let is_same = self.value(name) == Some(value.as_bytes());
        match self.field_mut(name) {
            Some(field) if is_same => field.edit = Edit::Keep,
            Some(field) => field.edit = Edit::Replace(value),
            None => self.added.push((name, value)),
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.fields
            .iter()
            .position(|field| field.is(&self.source, name))
    }

    fn field_mut(&mut self, name: &str) -> Option<&mut Field> {
        let place = self.place(name)?;
        self.fields.get_mut(place)
    }

    /// With the changes; and with this for the model's name (JSON), if it is given.
    pub(super) fn write(&self, model: Option<&str>) -> Bytes {
        let added: usize = self.added.iter().map(|(k, v)| k.len() + v.len() + 4).sum();
        let renamed = model.map_or(0, str::len);
        let mut out = BytesMut::with_capacity(self.source.len() + added + renamed + 64);
        let head = self.fields.first().map_or(self.end, |it| it.key.start);
        self.copy(&mut out, 0..head);
        let mut before = None;
        let mut is_first = true;
        for field in &self.fields {
            // What stands between two fields, its comma among it, comes and goes with the later one.
            let gap = before.replace(field.value.end).unwrap_or(head)..field.key.start;
            if field.edit == Edit::Remove {
                continue;
            }
            if !std::mem::take(&mut is_first) {
                self.copy(&mut out, gap);
            }
            self.copy(&mut out, field.key.start..field.value.start);
            let model = model.filter(|_| field.is(&self.source, "model"));
            match (model, &field.edit) {
                (Some(value), _) => out.extend_from_slice(value.as_bytes()),
                (_, Edit::Replace(value)) => out.extend_from_slice(value.as_bytes()),
                _ => self.copy(&mut out, field.value.clone()),
            }
        }
        for (name, value) in &self.added {
            let comma = if std::mem::take(&mut is_first) {
                ""
            } else {
                ","
            };
            for part in [comma, "\"", name, "\":", value] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        self.copy(&mut out, before.unwrap_or(self.end)..self.source.len());
        out.freeze()
    }

    fn copy(&self, out: &mut BytesMut, range: Range<usize>) {
        out.extend_from_slice(self.source.get(range).unwrap_or_default());
    }
}

impl Field {
    fn new(member: &Member<'_>) -> Self {
        Self {
            key: member.span.start..member.span.start + member.key.len(),
            value: member.value_at()..member.span.end,
            edit: Edit::Keep,
        }
    }

    fn is(&self, source: &[u8], name: &str) -> bool {
        source
            .get(self.key.clone())
            .is_some_and(|key| json::names(key, name))
    }
}

/// `stream_options` with usage asked for, all else in it as it came; and whether it was asked for before.
pub(super) fn with_usage(options: Option<&[u8]>) -> Result<(bool, String), BadRequest> {
    const FIELD: &str = "stream_options";
    let Some(options) = options else {
        return Ok((false, r#"{"include_usage":true}"#.to_owned()));
    };
    if !json::is_object(options) {
        return Err(BadRequest::Wrong(FIELD, "an object"));
    }
    let mut inner = Sheet::read(Bytes::copy_from_slice(options))?;
    let asked = inner.flag("include_usage")?.unwrap_or(false);
    inner.set("include_usage", "true".to_owned());
    let written = inner.write(None);
    let written = String::from_utf8(written.to_vec()).unwrap_or_default();
    Ok((asked, written))
}

/// Two parsers would take different ones.
fn refuse_twice(source: &[u8], fields: &[Field]) -> Result<(), BadRequest> {
    let mut seen: Vec<Cow<'_, str>> = Vec::with_capacity(fields.len());
    for field in fields {
        let key = source.get(field.key.clone()).and_then(json::decoded);
        let key = key.ok_or(BadRequest::NotObject)?;
        if seen.contains(&key) {
            let short: String = key.chars().take(64).collect();
            return Err(BadRequest::Twice(short.into()));
        }
        seen.push(key);
    }
    Ok(())
}
