//! The table of all discovery RPCs in Envoy's protos: path, type and form.

use crate::{protocol::Scope, resource::ResourceType};

#[derive(Clone, Debug)]
pub(super) struct Rpc {
    /// `/package.Service/Method`.
    pub(super) path: String,
    pub(super) scope: Scope,
    pub(super) form: Form,
}

/// The form of an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `stream DiscoveryRequest` → `stream DiscoveryResponse`.
    Sotw,
    /// `stream DeltaDiscoveryRequest` → `stream DeltaDiscoveryResponse`.
    Delta,
    /// `DiscoveryRequest` → `DiscoveryResponse`.
    Fetch,
}

/// The services of single types: type, name of the service, suffix of its methods, and its forms.
const SERVICES: [(ResourceType, &str, &str, &[Form]); 10] = {
    const ALL: &[Form] = &[Form::Sotw, Form::Delta, Form::Fetch];
    const DELTA: &[Form] = &[Form::Delta];
    [
        (
            ResourceType::Cluster,
            "envoy.service.cluster.v3.ClusterDiscoveryService",
            "Clusters",
            ALL,
        ),
        (
            ResourceType::Endpoint,
            "envoy.service.endpoint.v3.EndpointDiscoveryService",
            "Endpoints",
            ALL,
        ),
        (
            ResourceType::LbEndpoint,
            "envoy.service.endpoint.v3.LocalityEndpointDiscoveryService",
            "LocalityEndpoints",
            DELTA,
        ),
        (
            ResourceType::Listener,
            "envoy.service.listener.v3.ListenerDiscoveryService",
            "Listeners",
            ALL,
        ),
        (
            ResourceType::Route,
            "envoy.service.route.v3.RouteDiscoveryService",
            "Routes",
            ALL,
        ),
        (
            ResourceType::ScopedRoute,
            "envoy.service.route.v3.ScopedRoutesDiscoveryService",
            "ScopedRoutes",
            ALL,
        ),
        (
            ResourceType::VirtualHost,
            "envoy.service.route.v3.VirtualHostDiscoveryService",
            "VirtualHosts",
            DELTA,
        ),
        (
            ResourceType::Secret,
            "envoy.service.secret.v3.SecretDiscoveryService",
            "Secrets",
            ALL,
        ),
        (
            ResourceType::Runtime,
            "envoy.service.runtime.v3.RuntimeDiscoveryService",
            "Runtime",
            ALL,
        ),
        (
            ResourceType::ExtensionConfig,
            "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
            "ExtensionConfigs",
            ALL,
        ),
    ]
};

const ADS: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

/// All RPCs that are served.
pub(super) fn rpcs() -> Vec<Rpc> {
    let ads = [Form::Sotw, Form::Delta].map(|form| rpc(ADS, "AggregatedResources", Scope::Aggregated, form));
    let of_types = SERVICES.into_iter().flat_map(|(kind, service, resources, forms)| {
        let one = move |form: &Form| rpc(service, resources, Scope::Single(kind.clone()), *form);
        forms.iter().map(one)
    });
    ads.into_iter().chain(of_types).collect()
}

fn rpc(service: &str, resources: &str, scope: Scope, form: Form) -> Rpc {
    let verb = match form {
        Form::Sotw => "Stream",
        Form::Delta => "Delta",
        Form::Fetch => "Fetch",
    };
    Rpc {
        path: format!("/{service}/{verb}{resources}"),
        scope,
        form,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::descriptors;

    #[test]
    fn table_holds_exactly_the_rpcs_of_envoys_protos() {
        let requests = [
            "envoy.service.discovery.v3.DiscoveryRequest",
            "envoy.service.discovery.v3.DeltaDiscoveryRequest",
        ];
        let mut expected: Vec<String> = descriptors()
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .filter(|method| requests.contains(&method.input().full_name()))
            .map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name()))
            .collect();
        let mut served: Vec<String> = rpcs().into_iter().map(|rpc| rpc.path).collect();
        expected.sort();
        served.sort();
        assert_eq!(served, expected);
    }
}
