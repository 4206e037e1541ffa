//! The caller's span, named in requests as W3C Trace Context says, so that what
//! a node does for them is in the caller's trace.

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use reqwest::RequestBuilder;

/// Names the span, and what is to be handed on with it.
const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// The request with the current span, if there is one.
pub(crate) fn name_span(request: RequestBuilder) -> RequestBuilder {
    let context = Context::current();
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() {
        return request;
    }
    let parent = format!(
        "00-{}-{}-{:02x}",
        span.trace_id(),
        span.span_id(),
        span.trace_flags().to_u8()
    );
    let request = request.header(PARENT, parent);
    match span.trace_state().header() {
        state if state.is_empty() => request,
        state => request.header(STATE, state),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

    use super::*;

    fn request() -> reqwest::Request {
        let request = reqwest::Client::new().get("http://127.0.0.1/");
        name_span(request).build().unwrap()
    }

    #[test]
    fn a_request_without_a_span_names_none() {
        assert!(request().headers().is_empty());
    }

    #[test]
    fn a_request_names_the_current_span() {
        let span = SpanContext::new(
            TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
            SpanId::from(0x00f0_67aa_0ba9_02b7),
            TraceFlags::SAMPLED,
            false,
            TraceState::from_key_value([("vendor", "x")]).unwrap(),
        );
        let _current = Context::new().with_remote_span_context(span).attach();
        let request = request();
        let parent = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
        assert_eq!(request.headers()[PARENT], parent);
        assert_eq!(request.headers()[STATE], "vendor=x");
    }
}
