//! All routes of a node, and the document that describes them: both come from
//! the same list.

use std::sync::{Arc, LazyLock};

use axum::Router;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use music_api::problem::{Outcome, Problem};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::app::App;
use crate::http::respond::{self, Answer};
use crate::http::v1::recipes::{
    active_passive, barriers, counters, double_barriers, elections, groups, latches, once,
    queues as work_queues, registers, semaphores,
};
use crate::http::v1::{
    batch, hints, locks, queues, records, relay, run, section_records, status, tables, watch,
};
use crate::http::{front, pages};

const DESCRIPTION: &str = "\
MUSIC gives clients at many sites critical sections over replicated state. A table is *critical* \
or *eventual*. Records of eventual tables are read and written at the local replica. Those of \
critical tables are written under a lockRef: create one for a set of keys, wait until it is \
granted, get and put, release. `/v1/recipes` has what most programs need ready to use: counters, \
barriers, semaphores, elections and more.\n\n\
Errors are problem documents (RFC 9457) with a stable `code`, whether the effect may have happened \
(`outcome`), and whether to try again (`retryable`); `/errors/{code}` explains each.";

/// Made once: describing the routes costs more than a thousand requests.
static ROUTER: LazyLock<Router<Arc<App>>> = LazyLock::new(|| {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(front::no_such_route)
        .method_not_allowed_fallback(front::method_not_allowed)
});

/// The routes of a node.
pub(crate) fn router(app: Arc<App>) -> Router {
    ROUTER.clone().with_state(app)
}

/// The OpenAPI document of a node's routes.
pub(crate) fn openapi() -> OpenApi {
    routes().into_openapi()
}

/// An OpenAPI document without routes.
pub(crate) fn document(title: &str, description: &str) -> OpenApi {
    let info = InfoBuilder::new()
        .title(title)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(description))
        .build();
    // Named by every route, though no route has it as its own body.
    let components = ComponentsBuilder::new()
        .schema_from::<Problem>()
        .schema_from::<Outcome>()
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .build()
}

fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(document("MUSIC", DESCRIPTION))
        .routes(routes!(tables::list_tables))
        .routes(routes!(
            tables::put_table,
            tables::get_table,
            tables::delete_table
        ))
        .routes(routes!(tables::scan))
        .routes(routes!(
            records::get_value,
            records::put_value,
            records::delete_value
        ))
        .routes(routes!(records::get_fields, records::patch_fields))
        .routes(routes!(locks::create_lock_ref))
        .routes(routes!(locks::get_lock))
        .routes(routes!(locks::acquire))
        .routes(routes!(locks::renew))
        .routes(routes!(locks::release))
        .routes(routes!(locks::force))
        .routes(routes!(watch::lock_events))
        .routes(routes!(batch::batch))
        .routes(routes!(
            section_records::critical_get_value,
            section_records::critical_put_value,
            section_records::critical_delete_value
        ))
        .routes(routes!(
            section_records::critical_get_fields,
            section_records::critical_patch_fields
        ))
        .routes(routes!(queues::get_queue))
        .routes(routes!(queues::force_ticket))
        .routes(routes!(run::run))
        .routes(routes!(hints::hint))
        .routes(routes!(relay::relay))
        .merge(recipes())
        .routes(routes!(watch::watch))
        .routes(routes!(status::status))
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(status::metrics))
        .routes(routes!(pages::error_page))
        .routes(routes!(pages::dashboard))
        .routes(routes!(openapi_json))
}

/// The routes of `/v1/recipes`.
fn recipes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(counters::get_counter, counters::set_counter))
        .routes(routes!(counters::add_to_counter))
        .routes(routes!(registers::get_register, registers::set_register))
        .routes(routes!(latches::get_latch))
        .routes(routes!(latches::count_down))
        .routes(routes!(latches::await_latch))
        .routes(routes!(barriers::cross_barrier))
        .routes(routes!(barriers::barrier_events))
        .routes(routes!(double_barriers::enter))
        .routes(routes!(double_barriers::leave))
        .routes(routes!(semaphores::acquire_permits))
        .routes(routes!(elections::get_election))
        .routes(routes!(elections::campaign))
        .routes(routes!(elections::proclaim))
        .routes(routes!(elections::resign))
        .routes(routes!(elections::election_events))
        .routes(routes!(groups::list_members))
        .routes(routes!(groups::join_group, groups::leave_group))
        .routes(routes!(groups::group_events))
        .routes(routes!(work_queues::get_work_queue))
        .routes(routes!(work_queues::push_items))
        .routes(routes!(work_queues::take_items))
        .routes(routes!(work_queues::item_done))
        .routes(routes!(work_queues::give_item_back))
        .routes(routes!(work_queues::renew_claim))
        .routes(routes!(active_passive::list_replicas))
        .routes(routes!(active_passive::activate))
        .routes(routes!(active_passive::save_state))
        .routes(routes!(once::get_once))
        .routes(routes!(once::begin_once))
        .routes(routes!(once::once_done))
        .routes(routes!(once::once_undone))
        .routes(routes!(once::settle_once))
        .routes(routes!(once::forget_once))
}

static DOCUMENT: LazyLock<Bytes> =
    LazyLock::new(|| serde_json::to_vec(&openapi()).unwrap_or_default().into());

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "node",
    responses((
        status = OK,
        content_type = "application/json",
        body = Object,
        description = "All routes of a node, as OpenAPI.",
    ))
)]
async fn openapi_json() -> Answer {
    let mut response = respond::with(StatusCode::OK, DOCUMENT.clone());
    respond::set(
        response.headers_mut(),
        CONTENT_TYPE.as_str(),
        "application/json",
    );
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::route::TEMPLATES;

    #[test]
    fn every_route_has_its_own_name_in_the_metrics() {
        let document = openapi();
        for path in document.paths.paths.keys() {
            assert!(TEMPLATES.contains(&path.as_str()), "{path}");
            assert_eq!(crate::http::route::Route::of(path).name(), path);
        }
    }

    #[test]
    fn every_operation_documents_its_success_and_its_failure() {
        let document = serde_json::to_value(openapi()).unwrap();
        let plain = [
            "/healthz",
            "/metrics",
            "/openapi.json",
            "/errors/{code}",
            "/",
        ];
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                let has = |test: &dyn Fn(&str) -> bool| responses.keys().any(|key| test(key));
                assert!(has(&|key| key.starts_with('2')), "{method} {path}");
                let failure = has(&|key| key == "default" || key.starts_with('5'));
                assert!(failure || plain.contains(&path.as_str()), "{method} {path}");
                assert!(operation["operationId"].is_string(), "{method} {path}");
                assert!(operation["summary"].is_string(), "{method} {path}");
            }
        }
    }

    #[test]
    fn every_reference_of_the_document_has_a_target() {
        let document = serde_json::to_value(openapi()).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
    }
}
