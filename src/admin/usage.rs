//! Usage: sums as pages or as CSV, and single requests.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::error::Refusal;
use super::extract::{Asked, Page};
use super::{AdminState, csv};
use crate::api::{By, Every, RequestList, RequestQuery, UsageList, UsageQuery, UsageRow, UsageSum};
use crate::control::{self, Answer, Error, Period, Question, Wanted};
use crate::domain::model::ModelName;
use crate::domain::tally::Span;

/// Requests of one answer.
const REQUESTS_MAX: usize = 1_000;

/// Without a number said.
const REQUESTS: usize = 100;

pub(super) async fn sums(
    State(state): State<AdminState>,
    Asked(query): Asked<UsageQuery>,
) -> Result<Response, Refusal> {
    let page = Page::of(query.page, query.page_size)?;
    let answer = state.control.usage(question(&query)?).await?;
    Ok(if query.csv {
        as_csv(&query, &answer)
    } else {
        Json(list(&query, answer, page)).into_response()
    })
}

pub(super) async fn requests(
    State(state): State<AdminState>,
    Asked(query): Asked<RequestQuery>,
) -> Result<Json<RequestList>, Refusal> {
    let count = query.count.unwrap_or(REQUESTS);
    if !(1..=REQUESTS_MAX).contains(&count) {
        let words = format!("`count` is 1 to {REQUESTS_MAX}");
        return Err(Error::Invalid(words).into());
    }
    let wanted = Wanted {
        user: query.user,
        group: query.group,
        model: query.model.as_deref().map(ModelName::new),
    };
    let requests = state.control.requests(count, wanted).await?;
    Ok(Json(RequestList { requests }))
}

fn question(query: &UsageQuery) -> Result<Question, Refusal> {
    let (since, now) = (query.since.as_deref(), Timestamp::now());
    let zone = TimeZone::system();
    let period = Period::of(since, query.from, query.to, now, &zone)?;
    Ok(Question {
        period,
        by: match query.by {
            By::User => control::By::User,
            By::Group => control::By::Group,
            By::Model => control::By::Model,
        },
        every: query.every.map(|every| match every {
            Every::Minute => Span::Minute,
            Every::Day => Span::Day,
        }),
        wanted: Wanted {
            user: query.user.clone(),
            group: query.group.clone(),
            model: query.model.as_deref().map(ModelName::new),
        },
    })
}

fn list(query: &UsageQuery, answer: Answer, page: Page) -> UsageList {
    let total = answer.rows.len();
    let rows = page.cut(answer.rows).into_iter();
    UsageList {
        from: answer.period.from,
        to: answer.period.to,
        by: query.by,
        every: query.every,
        usage: rows.map(row).collect(),
        sum: answer.sum.into(),
        total,
        page: page.page,
        page_size: page.page_size,
    }
}

fn row(row: control::Row) -> UsageRow {
    UsageRow {
        at: row.at,
        name: row.name,
        sum: row.tally.into(),
    }
}

fn as_csv(query: &UsageQuery, answer: &Answer) -> Response {
    let by = match query.by {
        By::User => "user",
        By::Group => "group",
        By::Model => "model",
    };
    let mut text = csv::line(["at", by].into_iter().chain(COLUMNS));
    for row in &answer.rows {
        let at = row.at.unwrap_or(answer.period.from).to_string();
        let numbers = numbers(row.tally.into()).map(|number| number.to_string());
        let cells = [at.as_str(), row.name.as_str()];
        let numbers = numbers.iter().map(String::as_str);
        text.push_str(&csv::line(cells.into_iter().chain(numbers)));
    }
    let head = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (CONTENT_DISPOSITION, "attachment; filename=\"usage.csv\""),
    ];
    (head, text).into_response()
}

const COLUMNS: [&str; 13] = [
    "requests",
    "done",
    "left",
    "failed",
    "refused",
    "estimated",
    "tokens",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "queue_ms",
    "first_ms",
    "duration_ms",
];

/// In the order of [`COLUMNS`].
fn numbers(sum: UsageSum) -> [u64; 13] {
    [
        sum.requests,
        sum.done,
        sum.left,
        sum.failed,
        sum.refused,
        sum.estimated,
        sum.tokens,
        sum.input_tokens,
        sum.cached_tokens,
        sum.output_tokens,
        sum.queue_ms,
        sum.first_ms.unwrap_or_default(),
        sum.duration_ms,
    ]
}
