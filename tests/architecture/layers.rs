//! The layers as data: the modules and crates that each module of the crate may name, and those it must not.

/// One module of `src/lib.rs` and everything below it.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) module: &'static str,
    /// All other modules of the crate that this one names. An unused permission is a failure.
    pub(crate) knows: &'static [&'static str],
    /// Crates and items that the module must not name, group by group.
    pub(crate) without: &'static [Group],
}

/// Paths with a common reason. A path that ends in `::` bans the items inside, not the name itself.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) reason: &'static str,
    pub(crate) paths: &'static [&'static str],
    /// Unit tests may use the paths all the same.
    pub(crate) free_in_tests: bool,
}

const RUNTIME: Group = Group {
    reason: "the module must work without a runtime",
    paths: &["tokio", "tokio_stream", "tokio_util", "futures", "futures_util"],
    free_in_tests: false,
};
const GRPC: Group = Group {
    reason: "the module must not depend on its transport",
    paths: &[
        "axum",
        "http",
        "http_body",
        "http_body_util",
        "tonic",
        "tonic_health",
        "tonic_prost",
        "tonic_reflection",
        "tonic_types",
        "tower_service",
    ],
    free_in_tests: false,
};
const SHARING: Group = Group {
    reason: "one owner calls the module, so nothing is shared",
    paths: &["dashmap", "arc_swap"],
    free_in_tests: false,
};
const METRICS: Group = Group {
    reason: "the module reports outcomes, others count them",
    paths: &["metrics", "prometheus", "prometheus_client", "opentelemetry"],
    free_in_tests: false,
};
const CLOCKS: Group = Group {
    reason: "time is an argument",
    paths: &[
        "std::time::Instant::now",
        "std::time::Instant::elapsed",
        "std::time::SystemTime::now",
        "std::time::SystemTime::elapsed",
    ],
    free_in_tests: true,
};
const RANDOMNESS: Group = Group {
    reason: "the same input must give the same output",
    paths: &[
        "fastrand",
        "getrandom",
        "rand",
        "uuid",
        "std::collections::hash_map::RandomState",
        "std::hash::RandomState",
    ],
    free_in_tests: true,
};
const STATUSES: Group = Group {
    reason: "only transport and admin make gRPC statuses",
    paths: &["tonic::Status::"],
    free_in_tests: true,
};

/// Every module, from the one with the fewest dependencies to the one that wires them all.
pub(crate) const LAYERS: &[Layer] = &[
    Layer {
        module: "proto",
        knows: &[],
        without: &[RUNTIME, CLOCKS, RANDOMNESS, STATUSES],
    },
    Layer {
        module: "resource",
        knows: &[],
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "node",
        knows: &["proto"],
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "snapshot",
        knows: &["node", "proto", "resource"],
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "metrics",
        knows: &["resource"],
        without: &[RUNTIME, GRPC, SHARING, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "admission",
        knows: &["proto", "resource", "snapshot", "text"],
        without: &[RUNTIME, GRPC, SHARING, METRICS, RANDOMNESS],
    },
    Layer {
        module: "envoy",
        knows: &["resource"],
        without: &[RUNTIME, GRPC, SHARING, METRICS],
    },
    Layer {
        module: "protocol",
        knows: &["node", "proto", "resource", "snapshot", "text"],
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "revision",
        knows: &["input", "node", "resource", "snapshot"],
        without: &[GRPC],
    },
    Layer {
        module: "cache",
        knows: &["node", "resource", "snapshot"],
        without: &[GRPC, CLOCKS],
    },
    Layer {
        module: "publisher",
        knows: &[
            "admission",
            "cache",
            "metrics",
            "node",
            "resource",
            "revision",
            "snapshot",
        ],
        without: &[GRPC],
    },
    Layer {
        module: "fleet",
        knows: &[
            "connection",
            "metrics",
            "node",
            "proto",
            "protocol",
            "resource",
            "snapshot",
            "text",
        ],
        without: &[GRPC],
    },
    Layer {
        module: "transport",
        knows: &[
            "access",
            "authority",
            "cache",
            "connection",
            "fleet",
            "memory",
            "metrics",
            "node",
            "proto",
            "protocol",
            "resource",
            "snapshot",
            "text",
        ],
        without: &[],
    },
    Layer {
        module: "source",
        knows: &[
            "admission",
            "input",
            "metrics",
            "node",
            "proto",
            "publisher",
            "resource",
            "revision",
            "snapshot",
        ],
        without: &[GRPC],
    },
    Layer {
        module: "input",
        knows: &[],
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "memory",
        knows: &[],
        without: &[RUNTIME, GRPC, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "text",
        knows: &[],
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "connection",
        knows: &[],
        without: &[RUNTIME, GRPC, STATUSES, METRICS, CLOCKS],
    },
    Layer {
        module: "tls",
        knows: &["connection", "input"],
        without: &[RUNTIME, GRPC, STATUSES, METRICS],
    },
    Layer {
        module: "access",
        knows: &["connection", "node"],
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "audit",
        knows: &[],
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        // Holds the current rules, and calls the pure ones.
        module: "authority",
        knows: &[
            "access",
            "audit",
            "connection",
            "input",
            "metrics",
            "node",
            "resource",
            "snapshot",
        ],
        without: &[GRPC],
    },
    Layer {
        module: "readiness",
        knows: &[],
        without: &[GRPC, STATUSES],
    },
    Layer {
        module: "shutdown",
        knows: &[],
        without: &[GRPC, STATUSES],
    },
    Layer {
        module: "http",
        knows: &[
            "access",
            "admission",
            "audit",
            "authority",
            "cache",
            "connection",
            "fleet",
            "memory",
            "metrics",
            "node",
            "proto",
            "protocol",
            "publisher",
            "readiness",
            "resource",
            "snapshot",
            "source",
            "text",
        ],
        without: &[STATUSES],
    },
    Layer {
        module: "admin",
        knows: &[
            "access",
            "admission",
            "audit",
            "authority",
            "connection",
            "fleet",
            "metrics",
            "node",
            "proto",
            "protocol",
            "publisher",
            "readiness",
            "resource",
            "revision",
            "snapshot",
            "source",
            "text",
        ],
        without: &[],
    },
    Layer {
        module: "settings",
        knows: &[
            "access",
            "admission",
            "audit",
            "fleet",
            "input",
            "node",
            "protocol",
            "publisher",
            "resource",
            "revision",
            "text",
            "tls",
            "transport",
        ],
        without: &[GRPC],
    },
    Layer {
        module: "app",
        knows: &[
            "access",
            "admin",
            "admission",
            "audit",
            "authority",
            "cache",
            "connection",
            "fleet",
            "http",
            "memory",
            "metrics",
            "publisher",
            "readiness",
            "revision",
            "settings",
            "source",
            "tls",
            "transport",
        ],
        without: &[STATUSES],
    },
    Layer {
        // A client of the admin API, except for `serve` and the checks without a server.
        module: "cli",
        knows: &[
            "access",
            "admin",
            "admission",
            "app",
            "audit",
            "envoy",
            "input",
            "node",
            "proto",
            "resource",
            "settings",
            "shutdown",
            "text",
        ],
        without: &[STATUSES],
    },
    Layer {
        // `src/main.rs`.
        module: "main",
        knows: &["cli"],
        without: &[STATUSES],
    },
];

// === impl Group ===

impl Group {
    /// The banned path that equals or contains this one.
    pub(crate) fn bans(&self, path: &str) -> Option<&'static str> {
        self.paths.iter().copied().find(|banned| {
            path.strip_prefix(banned)
                .is_some_and(|rest| banned.ends_with("::") || rest.is_empty() || rest.starts_with("::"))
        })
    }
}
