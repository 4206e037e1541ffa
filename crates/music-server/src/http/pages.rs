//! Pages for people: the dashboard, and one about each kind of problem.

use axum::response::{IntoResponse, Response};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::{StatusCode, Uri};
use music_api::code::Code;

use crate::http::problem::Failure;
use crate::http::respond;

const DASHBOARD: &str = include_str!("dashboard.html");

/// Only what the page itself brings may run, and only this origin is asked.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; frame-ancestors 'none'";

/// Shows sites, links and queues.
#[utoipa::path(
    get,
    path = "/",
    tag = "node",
    responses((
        status = OK,
        content_type = "text/html",
        body = String,
        description = "The dashboard.",
    ))
)]
pub(crate) async fn dashboard() -> Response {
    let mut response = respond::with(StatusCode::OK, DASHBOARD.into());
    let headers = response.headers_mut();
    respond::set(headers, CONTENT_TYPE.as_str(), "text/html; charset=utf-8");
    respond::set(headers, CACHE_CONTROL.as_str(), "no-cache");
    respond::set(headers, "content-security-policy", POLICY);
    response
}

/// Explains a kind of problem.
#[utoipa::path(
    get,
    path = "/errors/{code}",
    tag = "node",
    params(("code" = String, Path, description = "As problems have it: MUSIC-nnnn.")),
    responses((
        status = OK,
        content_type = "text/markdown",
        body = String,
        description = "Cause, effect, and what to do.",
    ))
)]
pub(crate) async fn error_page(uri: Uri) -> Response {
    let code = uri.path().rsplit('/').next().and_then(Code::parse);
    let Some(page) = code.and_then(page) else {
        let detail = "There is no such code: see docs/errors for all.";
        return Failure::new(Code::NoSuchRoute, detail).into_response();
    };
    let mut response = respond::with(StatusCode::OK, page.into());
    respond::set(
        response.headers_mut(),
        CONTENT_TYPE.as_str(),
        "text/markdown; charset=utf-8",
    );
    response
}

macro_rules! pages {
    ($($number:literal)*) => {
        /// The page of a kind of problem.
        fn page(code: Code) -> Option<&'static str> {
            match code.number() {
                $($number => Some(include_str!(
                    concat!("../../../../docs/errors/MUSIC-", stringify!($number), ".md")
                )),)*
                _ => None,
            }
        }
    };
}

pages! {
    1000 1001 1002 1003 1004 1005 1006 1007 1008 1009 1010 1011 1012 1013 1014 1015 1016 1017 1018
    1019 1020 1021 2001 2002 2003 2004 3001 3002 3003 3004 3005 3006 3007 3008 3009 3010 3011 3012
    4001 4002 4003 4004 4005 4006 4007 4008 4009 4010 4011 5001 5002 6001
    6002 6003 6004 6005 6006 6007 6008
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use music_api::problem::Outcome;

    use super::*;

    #[test]
    fn every_code_has_a_page_that_agrees_with_the_table() {
        for code in Code::ALL {
            let page = page(*code).unwrap_or_else(|| panic!("{code} has no page"));
            assert!(
                page.starts_with(&format!("# {code}: {}\n", code.title())),
                "{code}: title"
            );
            let outcome = match code.outcome() {
                Outcome::NotApplied => "not_applied",
                Outcome::Unknown => "unknown",
            };
            let retryable = code.is_retryable();
            let facts = format!(
                "status {} · outcome `{outcome}` · retryable `{retryable}`",
                code.status()
            );
            assert!(page.contains(&facts), "{code}: wants `{facts}`");
            for part in ["## Cause\n", "## Effect\n", "## What to do\n"] {
                assert!(page.contains(part), "{code}: has no `{part}`");
            }
        }
    }

    #[test]
    fn the_list_of_pages_has_every_code() {
        let list = include_str!("../../../../docs/errors/README.md");
        for code in Code::ALL {
            let row = format!(
                "| [{code}]({code}.md) | {} | {} |",
                code.status(),
                code.title()
            );
            assert!(list.contains(&row), "docs/errors/README.md wants `{row}`");
        }
    }

    #[test]
    fn there_is_no_page_without_a_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let code = name.strip_suffix(".md").and_then(Code::parse);
            assert!(code.is_some() || name == "README.md", "{name}");
        }
    }
}
