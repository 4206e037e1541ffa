//! What happens around every request, once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Router, http};
use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method};
use music_api::code::Code;
use music_api::header::{REQUEST_ID, SITE};
use music_api::problem::CONTENT_TYPE as PROBLEM_TYPE;
use tower::Service as _;
use tracing::{Instrument as _, Span};

use crate::http::linger::Lingering;
use crate::http::metrics::Metrics;
use crate::http::problem::{self, Failure};
use crate::http::route::Route;
use crate::http::spans;
use crate::http::stopwatch::Stopwatch;
use crate::node::{self, Node};

/// The longest request id that is taken from a client.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// A router, and what it takes to be its only middleware.
pub(crate) struct Front {
    router: Router,
    /// Whose gate stands before every request; none at the control address.
    node: Option<Node>,
    metrics: Metrics,
    site: HeaderValue,
    in_flight: AtomicUsize,
    in_flight_max: usize,
    ids: RequestIds,
}

/// How a front is set up.
pub(crate) struct Setup {
    /// Answers the requests.
    pub(crate) router: Router,
    /// Whose gate stands before every request.
    pub(crate) node: Option<Node>,
    /// Where requests are counted.
    pub(crate) metrics: Metrics,
    /// The site, for a header of every answer.
    pub(crate) site: String,
    /// The most requests under way.
    pub(crate) in_flight_max: usize,
}

impl Front {
    /// Sets a front up.
    pub(crate) fn new(setup: Setup) -> Arc<Self> {
        let Setup {
            router,
            node,
            metrics,
            site,
            in_flight_max,
        } = setup;
        Arc::new(Self {
            router,
            node,
            metrics,
            site: HeaderValue::from_str(&site).unwrap_or(HeaderValue::from_static("unnamed")),
            in_flight: AtomicUsize::new(0),
            in_flight_max,
            ids: RequestIds::new(),
        })
    }

    /// Answers a request. A suspended node does so when it is resumed.
    pub(crate) async fn answer<B>(self: Arc<Self>, request: http::Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.gate().await;
        let start = Stopwatch::start();
        let about = About {
            method: request.method().clone(),
            route: Route::of(request.uri().path()),
            id: self.ids.of(request.headers()),
        };
        let (head, body) = request.into_parts();
        let admitted = self.admit(&about, &head.headers);
        let (body, rest) = Lingering::split(&head.headers, body);
        let mut response = match admitted {
            Ok(_place) => {
                let span = self.span(&about, &head);
                let request = http::Request::from_parts(head, body);
                self.route(request, span).await
            }
            Err(failure) => failure.into_response(),
        };
        let drains = self.finish(&about, &mut response, start.elapsed());
        if drains {
            rest.drain().await;
        }
        self.gate().await;
        response
    }

    /// Answers a request that the node makes of itself, for one of its clients:
    /// that client's own request is counted and was admitted, and this one must
    /// not wait behind it.
    pub(crate) async fn answer_own(self: Arc<Self>, request: http::Request<Body>) -> Response {
        self.gate().await;
        let about = About {
            method: request.method().clone(),
            route: Route::of(request.uri().path()),
            id: self.ids.of(request.headers()),
        };
        let (head, body) = request.into_parts();
        let span = self.span(&about, &head);
        let request = http::Request::from_parts(head, body);
        let mut response = self.route(request, span).await;
        if let Some(failure) = response.extensions_mut().remove::<Failure>() {
            write_problem(&about, &failure, &mut response);
        }
        self.gate().await;
        response
    }

    fn span(&self, about: &About, head: &Parts) -> Span {
        let site = self.site.to_str().unwrap_or_default();
        spans::request(head, about.route, site, self.node.as_ref())
    }

    async fn route(&self, request: http::Request<Body>, span: Span) -> Response {
        let answer = self.router.clone().call(request).instrument(span.clone());
        let response = match answer.await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        spans::answered(&span, &response);
        response
    }

    /// Waits while the node is suspended.
    pub(crate) async fn gate(&self) {
        if let Some(node) = &self.node {
            node.gate().await;
        }
    }

    fn admit(&self, about: &About, headers: &HeaderMap) -> Result<Place<'_>, Failure> {
        if is_cross_site(&about.method, headers) {
            return Err(Failure::new(
                Code::CrossSite,
                "A page of another site may not change anything here. Use the node's own page, \
                 or a client that is no browser.",
            ));
        }
        let place = Place::take(&self.in_flight);
        if place.number >= self.in_flight_max && !about.route.is_exempt() {
            self.metrics.refused();
            return Err(problem::overloaded("requests under way"));
        }
        Ok(place)
    }

    /// Completes an answer; whether what is left of its request is to be read.
    fn finish(&self, about: &About, response: &mut Response, took: Duration) -> bool {
        let failure = response.extensions_mut().remove::<Failure>();
        if let Some(failure) = &failure {
            self.metrics.failed(failure);
            write_problem(about, failure, response);
        }
        let headers = response.headers_mut();
        headers.insert(SITE, self.site.clone());
        headers.insert(REQUEST_ID, about.id.clone());
        self.metrics
            .answered(&about.method, about.route, response.status(), took);
        tracing::debug!(
            request_id = about.id.to_str().unwrap_or_default(),
            method = %about.method,
            route = about.route.name(),
            status = response.status().as_u16(),
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
        failure.is_some_and(|failure| failure.code() != Code::BodyTooSlow)
    }
}

/// Writes the document of a failure, and logs it.
fn write_problem(about: &About, failure: &Failure, response: &mut Response) {
    let id = about.id.to_str().unwrap_or_default();
    log(about, failure, id);
    let headers = response.headers_mut();
    // The router has measured the empty body that stood for the problem.
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
    if let Some(seconds) = failure.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    let document = serde_json::to_vec(&failure.problem(Some(id)));
    *response.body_mut() = if about.method == Method::HEAD {
        Body::empty()
    } else {
        Body::from(document.unwrap_or_default())
    };
}

/// Whoever handles an error logs it, once: here. What its client did wrong,
/// and what a wide area does every day, is no error of the node.
fn log(about: &About, failure: &Failure, id: &str) {
    let code = failure.code();
    let route = about.route.name();
    let cause = failure.cause().map(Causes);
    let cause = cause.as_ref().map(tracing::field::display);
    if matches!(
        code,
        Code::StorageFailed | Code::StorageFull | Code::Internal | Code::LockStoreBehind
    ) {
        tracing::error!(request_id = id, method = %about.method, route, %code, cause, "failed");
    } else {
        tracing::debug!(request_id = id, method = %about.method, route, %code, cause, "failed");
    }
}

/// An error with all its causes.
struct Causes<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// What is remembered of a request when it is gone.
struct About {
    method: Method,
    route: Route,
    id: HeaderValue,
}

/// Whether a browser says that a page of another site asks for a change.
fn is_cross_site(method: &Method, headers: &HeaderMap) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        && headers
            .get("sec-fetch-site")
            .is_some_and(|site| site == "cross-site")
}

/// A place among the requests under way.
struct Place<'a> {
    count: &'a AtomicUsize,
    number: usize,
}

impl<'a> Place<'a> {
    fn take(count: &'a AtomicUsize) -> Self {
        Self {
            count,
            number: count.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes request ids: unique by a random start, cheap by a counter.
struct RequestIds {
    start: u128,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        Self {
            start: node::request_id().0,
            next: AtomicU64::new(0),
        }
    }

    fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let visible = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len())
                && bytes.iter().all(u8::is_ascii_graphic)
        };
        headers
            .get(REQUEST_ID)
            .filter(visible)
            .cloned()
            .unwrap_or_else(|| self.make())
    }

    fn make(&self) -> HeaderValue {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:032x}-{number}", self.start);
        HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("unnamed"))
    }
}

/// The answer where there is no such route.
pub(crate) async fn no_such_route() -> Failure {
    Failure::new(
        Code::NoSuchRoute,
        "There is no such route. GET /openapi.json lists them all. A key in a path is not empty, \
         and has / as %2F.",
    )
}

/// The answer where the route does not take the method.
pub(crate) async fn method_not_allowed(method: Method) -> Failure {
    Failure::new(
        Code::MethodNotAllowed,
        format!("This route does not take {method}: see the Allow header."),
    )
}
