//! The paths of xDS over REST, one for each type.

use axum::{
    Router,
    extract::{Extension, Request, State},
    routing::post,
};

use crate::{connection::Connection, http::Port, resource::ResourceType};

/// The types with a REST path, as in the `google.api.http` options of Envoy's discovery services.
const PATHS: [(&str, ResourceType); 8] = [
    ("/v3/discovery:listeners", ResourceType::Listener),
    ("/v3/discovery:clusters", ResourceType::Cluster),
    ("/v3/discovery:routes", ResourceType::Route),
    ("/v3/discovery:scoped-routes", ResourceType::ScopedRoute),
    ("/v3/discovery:endpoints", ResourceType::Endpoint),
    ("/v3/discovery:secrets", ResourceType::Secret),
    ("/v3/discovery:runtime", ResourceType::Runtime),
    ("/v3/discovery:extension_configs", ResourceType::ExtensionConfig),
];

/// One route per type. Other types have no REST form (H-6).
pub(in crate::http) fn routes() -> Router<Port> {
    let route = |router: Router<Port>, (path, kind): (&'static str, ResourceType)| {
        let poll = move |State(port): State<Port>, Extension(connection): Extension<Connection>, request: Request| {
            let kind = kind.clone();
            async move {
                let rest = port.rest()?;
                let (parts, body) = request.into_parts();
                let body = match rest.room() {
                    Ok(()) => rest.collect(body).await,
                    Err(full) => Err(full),
                };
                let shown = (&parts.headers, &parts.extensions);
                rest.discover((path, kind), &connection, shown, body).await
            }
        };
        router.route(path, post(poll))
    };
    PATHS.into_iter().fold(Router::new(), route)
}
