//! What traces say of requests: a span each, but for those that ask how the
//! node is.
//!
//! A request that the node makes of itself is below what it is for; one whose
//! client names a span is below that; one of a section is else below the
//! section, so that its requests are one trace.

use axum::http::request::Parts;
use axum::response::Response;
use hyper::{HeaderMap, Method};
use music_api::lock_ref::LockRef;
use music_core::id::RequestId;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::http::request::path::segment;
use crate::http::route::Route;
use crate::node::Node;
use crate::trace::{TARGET, is_wanted};

/// The span of a request.
pub(crate) fn request(head: &Parts, route: Route, site: &str, node: Option<&Node>) -> Span {
    if !is_wanted() || route.is_exempt() {
        return Span::none();
    }
    let has_cause = !Span::current().is_none();
    let span = make(&head.method, route, site);
    let cause = if has_cause {
        None
    } else {
        named(&head.headers).or_else(|| of_section(head.uri.path(), node?))
    };
    if let Some(cause) = cause {
        // It has just been made: it can be below anything.
        drop(span.set_parent(cause));
    }
    span
}

fn make(method: &Method, route: Route, site: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format!("{method} {}", route.name()),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = %method,
        http.route = route.name(),
        http.response.status_code = Empty,
        music.site = site,
    )
}

/// The span that the client names.
fn named(headers: &HeaderMap) -> Option<Context> {
    let cause = TraceContextPropagator::new()
        .extract_with_context(&Context::new(), &HeaderExtractor(headers));
    cause.span().span_context().is_valid().then_some(cause)
}

/// The span of the section that the path names.
fn of_section(path: &str, node: &Node) -> Option<Context> {
    let lock_ref = path.strip_prefix("/v1/locks/").map(|_| segment(path, 3))?;
    let section = RequestId(LockRef::decode(lock_ref).ok()?.request);
    let span = node.section_span(section);
    (!span.is_disabled()).then(|| span.context())
}

/// Notes how a request was answered.
pub(crate) fn answered(span: &Span, response: &Response) {
    if span.is_disabled() {
        return;
    }
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}
