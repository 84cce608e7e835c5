//! Which paths of `/v1` there are, and how each is spoken to: upstream's path, its dialect, its stream.

/// What a client may post to. Everything else is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    Chat,
    Completions,
    Embeddings,
    Responses,
    Messages,
    Rerank,
}

/// Whose shapes errors and streams have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    OpenAi,
    Anthropic,
}

impl Endpoint {
    pub const ALL: [Self; 6] = [
        Self::Chat,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::Messages,
        Self::Rerank,
    ];

    /// By the raw path, without its query. One spelling only: what is encoded, in another case or has a
    /// slash too many is not one of ours, so that nobody reads a path in another way than we do.
    pub fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/api").unwrap_or(path);
        match path.strip_prefix("/v1/")? {
            "chat/completions" => Some(Self::Chat),
            "completions" => Some(Self::Completions),
            "embeddings" => Some(Self::Embeddings),
            "responses" => Some(Self::Responses),
            "messages" => Some(Self::Messages),
            "rerank" | "reranking" | "reranker" => Some(Self::Rerank),
            _ => None,
        }
    }

    /// Messages are asked as a chat: see [`crate::llm::messages`].
    pub fn upstream_path(&self) -> &'static str {
        match self {
            Self::Chat | Self::Messages => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
            Self::Rerank => "/v1/rerank",
        }
    }

    /// As in usage records.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Rerank => "rerank",
        }
    }

    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Messages => Dialect::Anthropic,
            _ => Dialect::OpenAi,
        }
    }

    /// Whether it writes text. Upstream is then always asked to stream: it notices that nobody listens
    /// any more only when it writes.
    pub fn generates(&self) -> bool {
        !matches!(self, Self::Embeddings | Self::Rerank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_leads_to_an_endpoint() {
        for (path, endpoint) in [
            ("/v1/chat/completions", Endpoint::Chat),
            ("/v1/completions", Endpoint::Completions),
            ("/v1/embeddings", Endpoint::Embeddings),
            ("/v1/responses", Endpoint::Responses),
            ("/v1/messages", Endpoint::Messages),
            ("/v1/rerank", Endpoint::Rerank),
            ("/v1/reranking", Endpoint::Rerank),
            ("/v1/reranker", Endpoint::Rerank),
        ] {
            assert_eq!(Endpoint::of(path), Some(endpoint), "{path}");
            assert_eq!(Endpoint::of(&format!("/api{path}")), Some(endpoint));
        }
    }

    #[test]
    fn every_other_spelling_leads_nowhere() {
        for path in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v1/chat/completions/",
            "/v1//chat/completions",
            "//v1/chat/completions",
            "/v1/chat%2fcompletions",
            "/v1/Chat/completions",
            "/V1/chat/completions",
            "/v1/chat/completions?x",
            "/v1/../v1/messages",
            "/api/api/v1/messages",
            "/apiv1/messages",
            "v1/messages",
            "/v0/chat/completions",
            "/v1/load",
            "/v1/pull",
            "/v1/params",
            "/v1/messages/count_tokens",
            "/completion",
            "/v1/responses/resp_1",
        ] {
            assert_eq!(Endpoint::of(path), None, "{path}");
        }
    }
}
