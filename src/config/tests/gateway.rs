//! Limits, models and servers as they are written.

use super::{config, problems};
use crate::domain::model::ModelName;
use crate::domain::quota::{Mode, TokenLimit};

#[test]
fn the_model_is_on_this_host_and_has_no_limits_unless_they_are_written() {
    let gateway = config("").gateway;
    assert_eq!(gateway.backends[0].url, "http://127.0.0.1:13305");
    assert!(gateway.limits.tokens.is_empty());
    assert_eq!(gateway.limits.concurrency.map(u32::from), Some(1));
    let gateway = config(
        "gateway: {mode: per-group, token_limit: 5, rate_limit_scope: per-model, model_concurrency: [{model: user.x, token_limit: 7, priority: 2}], limits: [{scope: event, tokens: 9, window: 86400, mode: strict}]}",
    )
    .gateway;
    let ids: Vec<String> = gateway.limits.tokens.iter().map(TokenLimit::id).collect();
    assert_eq!(ids, ["group/60/each", "group/60/x", "event/86400/*"]);
    assert!(gateway.limits.tokens[0].per_member);
    assert_eq!(gateway.limits.tokens[2].mode, Mode::Strict);
    assert_eq!(gateway.priorities[&ModelName::new("x")], 2);
}

#[test]
fn a_server_s_address_is_plain_http_without_a_path() {
    let url = |url: &str| problems(&format!("gateway: {{backends: [{{url: '{url}'}}]}}"));
    assert!(url("http://10.0.0.1:8080/").is_empty());
    for wrong in ["https://x.example", "http://x/v1", "http://u:p@x:1"] {
        assert_eq!(url(wrong).len(), 1, "{wrong}");
    }
}
