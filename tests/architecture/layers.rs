//! The layers as data: what each module of the crate must not know, and why.

/// One module of `src/lib.rs` and everything below it.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) module: &'static str,
    pub(crate) knows: Knows,
    /// Crates and items that it must not name, group by group.
    pub(crate) without: &'static [Group],
}

/// Which other modules of the crate a module may name. `proto` is plain data of the wire: all may.
#[derive(Debug)]
pub(crate) enum Knows {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// Paths with a reason in common. One that ends in `::` bans what is inside, not the name itself.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) reason: &'static str,
    pub(crate) paths: &'static [&'static str],
    /// Unit tests may use it all the same.
    pub(crate) free_in_tests: bool,
}

const RUNTIME: Group = Group {
    reason: "it must work without a runtime",
    paths: &["tokio", "tokio_stream", "tokio_util", "futures", "futures_util"],
    free_in_tests: false,
};
const GRPC: Group = Group {
    reason: "it must not know how it is served",
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
    reason: "one owner calls it, there is nothing to share",
    paths: &["dashmap", "arc_swap"],
    free_in_tests: false,
};
const METRICS: Group = Group {
    reason: "it tells outcomes, others count them",
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

/// Every module, from the plainest to the one that wires them all.
pub(crate) const LAYERS: &[Layer] = &[
    Layer {
        module: "proto",
        knows: Knows::Only(&[]),
        without: &[RUNTIME, CLOCKS, RANDOMNESS, STATUSES],
    },
    Layer {
        module: "resource",
        knows: Knows::Only(&["proto"]),
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "node",
        knows: Knows::Only(&["proto"]),
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "snapshot",
        knows: Knows::Only(&["node", "proto", "resource"]),
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "metrics",
        knows: Knows::Only(&["proto", "resource"]),
        without: &[RUNTIME, GRPC, SHARING, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "admission",
        knows: Knows::Only(&["proto", "resource", "snapshot", "text"]),
        without: &[RUNTIME, GRPC, SHARING, METRICS, RANDOMNESS],
    },
    Layer {
        module: "envoy",
        knows: Knows::Only(&["proto", "resource"]),
        without: &[RUNTIME, GRPC, SHARING, METRICS],
    },
    Layer {
        module: "protocol",
        knows: Knows::Only(&["node", "proto", "resource", "snapshot", "text"]),
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "revision",
        knows: Knows::Only(&["admission", "input", "node", "proto", "resource", "snapshot"]),
        without: &[GRPC],
    },
    Layer {
        module: "cache",
        knows: Knows::Only(&["node", "proto", "resource", "snapshot"]),
        without: &[GRPC, CLOCKS],
    },
    Layer {
        module: "publisher",
        knows: Knows::AllBut(&[
            "admin",
            "app",
            "cli",
            "fleet",
            "http",
            "protocol",
            "settings",
            "source",
            "transport",
        ]),
        without: &[GRPC],
    },
    Layer {
        module: "fleet",
        knows: Knows::AllBut(&[
            "admin",
            "app",
            "cli",
            "http",
            "publisher",
            "settings",
            "source",
            "transport",
        ]),
        without: &[GRPC],
    },
    Layer {
        module: "transport",
        knows: Knows::AllBut(&[
            "admin",
            "admission",
            "app",
            "cli",
            "http",
            "publisher",
            "revision",
            "settings",
            "source",
        ]),
        without: &[],
    },
    Layer {
        module: "source",
        knows: Knows::AllBut(&["admin", "app", "cache", "cli", "fleet", "http", "protocol", "transport"]),
        without: &[GRPC],
    },
    Layer {
        module: "input",
        knows: Knows::Only(&[]),
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "memory",
        knows: Knows::Only(&[]),
        without: &[RUNTIME, GRPC, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "text",
        knows: Knows::Only(&[]),
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "connection",
        knows: Knows::Only(&[]),
        without: &[RUNTIME, GRPC, STATUSES, METRICS, CLOCKS],
    },
    Layer {
        module: "tls",
        knows: Knows::Only(&["connection", "input"]),
        without: &[RUNTIME, GRPC, STATUSES, METRICS],
    },
    Layer {
        module: "access",
        knows: Knows::Only(&["connection", "node"]),
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        module: "audit",
        knows: Knows::Only(&[]),
        without: &[RUNTIME, GRPC, SHARING, METRICS, CLOCKS, RANDOMNESS],
    },
    Layer {
        // Holds the rules of the moment, and asks the pure ones.
        module: "authority",
        knows: Knows::Only(&[
            "access",
            "audit",
            "connection",
            "input",
            "metrics",
            "node",
            "resource",
            "snapshot",
        ]),
        without: &[GRPC],
    },
    Layer {
        module: "readiness",
        knows: Knows::Only(&[]),
        without: &[GRPC, STATUSES],
    },
    Layer {
        module: "shutdown",
        knows: Knows::Only(&[]),
        without: &[GRPC, STATUSES],
    },
    Layer {
        module: "http",
        knows: Knows::AllBut(&["admin", "app", "cli"]),
        without: &[STATUSES],
    },
    Layer {
        module: "admin",
        knows: Knows::AllBut(&["app", "cli", "http", "settings", "transport"]),
        without: &[],
    },
    Layer {
        module: "settings",
        knows: Knows::AllBut(&["admin", "app", "cli", "http"]),
        without: &[GRPC],
    },
    Layer {
        module: "app",
        knows: Knows::AllBut(&["cli"]),
        without: &[STATUSES],
    },
    Layer {
        // A client of the admin API, but for `serve` and the checks that need no server.
        module: "cli",
        knows: Knows::AllBut(&[
            "cache",
            "fleet",
            "protocol",
            "publisher",
            "revision",
            "source",
            "transport",
        ]),
        without: &[STATUSES],
    },
    Layer {
        // `src/main.rs`.
        module: "main",
        knows: Knows::Only(&["cli"]),
        without: &[STATUSES],
    },
];

// === impl Knows ===

impl Knows {
    pub(crate) fn allows(&self, module: &str) -> bool {
        match self {
            Self::Only(known) => known.contains(&module),
            Self::AllBut(unknown) => !unknown.contains(&module),
        }
    }
}

// === impl Group ===

impl Group {
    /// The banned path that this one is, or is inside of.
    pub(crate) fn bans(&self, path: &str) -> Option<&'static str> {
        self.paths.iter().copied().find(|banned| {
            path.strip_prefix(banned)
                .is_some_and(|rest| banned.ends_with("::") || rest.is_empty() || rest.starts_with("::"))
        })
    }
}
