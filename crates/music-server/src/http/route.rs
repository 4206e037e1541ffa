//! The routes' names, as metrics and logs have them.

/// The templates of all routes. A path belongs to the first that fits.
pub(crate) const TEMPLATES: &[&str] = &[
    "/v1/tables/{table}/keys/{key}",
    "/v1/tables/{table}/keys/{key}/fields",
    "/v1/tables/{table}/keys",
    "/v1/tables/{table}",
    "/v1/tables",
    "/v1/locks",
    "/v1/locks/{lock_ref}",
    "/v1/locks/{lock_ref}/acquire",
    "/v1/locks/{lock_ref}/renew",
    "/v1/locks/{lock_ref}/release",
    "/v1/locks/{lock_ref}/force",
    "/v1/locks/{lock_ref}/batch",
    "/v1/locks/{lock_ref}/events",
    "/v1/locks/{lock_ref}/tables/{table}/keys/{key}",
    "/v1/locks/{lock_ref}/tables/{table}/keys/{key}/fields",
    "/v1/queues/{table}/{key}",
    "/v1/queues/{table}/{key}/{number}",
    "/v1/run",
    "/v1/hints",
    "/v1/relay",
    "/v1/recipes/counters/{name}",
    "/v1/recipes/counters/{name}/add",
    "/v1/recipes/registers/{name}",
    "/v1/recipes/latches/{name}",
    "/v1/recipes/latches/{name}/count-down",
    "/v1/recipes/latches/{name}/wait",
    "/v1/recipes/barriers/{name}/wait",
    "/v1/recipes/barriers/{name}/events",
    "/v1/recipes/double-barriers/{name}/enter",
    "/v1/recipes/double-barriers/{name}/leave",
    "/v1/recipes/semaphores/{name}/acquire",
    "/v1/recipes/elections/{name}",
    "/v1/recipes/elections/{name}/campaign",
    "/v1/recipes/elections/{name}/proclaim",
    "/v1/recipes/elections/{name}/resign",
    "/v1/recipes/elections/{name}/events",
    "/v1/recipes/groups/{name}/members",
    "/v1/recipes/groups/{name}/members/{member}",
    "/v1/recipes/groups/{name}/events",
    "/v1/recipes/queues/{name}",
    "/v1/recipes/queues/{name}/push",
    "/v1/recipes/queues/{name}/take",
    "/v1/recipes/queues/{name}/done",
    "/v1/recipes/queues/{name}/give-back",
    "/v1/recipes/queues/{name}/renew",
    "/v1/recipes/active-passive/{name}",
    "/v1/recipes/active-passive/{name}/activate",
    "/v1/recipes/active-passive/{name}/save",
    "/v1/recipes/once/{name}",
    "/v1/recipes/once/{name}/begin",
    "/v1/recipes/once/{name}/done",
    "/v1/recipes/once/{name}/undone",
    "/v1/recipes/once/{name}/settle",
    "/v1/recipes/once/{name}/forget",
    "/v1/watch",
    "/v1/status",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/errors/{code}",
    "/",
    "/v1/dev",
    "/v1/dev/nodes/{node}/{action}",
    "/v1/dev/links/{a}/{b}/{action}",
    "/v1/dev/sites/{site}/{action}",
    "/v1/dev/queues/{table}/{key}",
    OTHER,
];

/// The name of what is no route.
const OTHER: &str = "other";

/// A route, by its place in [`TEMPLATES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route(usize);

impl Route {
    /// The route of a path.
    pub(crate) fn of(path: &str) -> Self {
        let found = TEMPLATES.iter().position(|template| fits(template, path));
        Self(found.unwrap_or(TEMPLATES.len() - 1))
    }

    /// Its place in [`TEMPLATES`].
    pub(crate) fn index(self) -> usize {
        self.0
    }

    /// Its template.
    pub(crate) fn name(self) -> &'static str {
        TEMPLATES.get(self.0).copied().unwrap_or(OTHER)
    }

    /// Whether it is answered however much is under way: what tells of the
    /// node must be told when it is busy.
    pub(crate) fn is_exempt(self) -> bool {
        matches!(self.name(), "/healthz" | "/readyz" | "/metrics")
    }
}

fn fits(template: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    template.split('/').all(|wanted| {
        segments.next().is_some_and(|found| {
            if wanted.starts_with('{') {
                !found.is_empty()
            } else {
                wanted == found
            }
        })
    }) && segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_its_route() {
        let name = |path| Route::of(path).name();
        assert_eq!(
            name("/v1/tables/kv/keys/a%2Fb"),
            "/v1/tables/{table}/keys/{key}"
        );
        assert_eq!(
            name("/v1/tables/kv/keys/a/fields"),
            "/v1/tables/{table}/keys/{key}/fields"
        );
        assert_eq!(name("/"), "/");
        assert_eq!(name("/v1/tables/kv/keys/"), OTHER);
        assert_eq!(name("/v2"), OTHER);
        assert_eq!(name("*"), OTHER);
    }
}
