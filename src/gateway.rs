//! Router of `/v1`. For now it says, in the shape that every client library understands, that no
//! model is connected; the metered gateway takes its place.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::response::IntoResponse;
use http::StatusCode;

/// Seconds after which a client may ask again: organizers connect models by hand.
const RETRY_AFTER_S: &str = "60";

/// OpenAI's error shape, so that agents show the sentence instead of a parse error.
const NOT_AVAILABLE: &str = r#"{"error":{"message":"No language model is connected to this event yet. The organizers can connect one; then this address answers.","type":"service_unavailable","param":null,"code":"gateway_not_available"}}"#;

/// Answers every path, so it serves the public listener's bridge and the gateway listener alike.
pub fn router() -> Router {
    Router::new().fallback(not_available)
}

async fn not_available() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (RETRY_AFTER, RETRY_AFTER_S),
        (CACHE_CONTROL, "no-store"),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, NOT_AVAILABLE)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn every_model_path_answers_in_openai_s_error_shape() {
        for path in ["/v1/models", "/api/v1/chat/completions", "/v1"] {
            let request = Request::post(path).body(axum::body::Body::empty()).unwrap();
            let answer = router().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key(RETRY_AFTER));
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error"]["code"], "gateway_not_available");
            assert_eq!(body["error"]["type"], "service_unavailable");
            assert!(body["error"]["message"].is_string());
            assert!(body["error"]["param"].is_null());
        }
    }
}
