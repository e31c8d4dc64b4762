//! Generates the gRPC code and the embedded descriptor set.
//!
//! Envoy's `.proto` tree is read from the locked crate `envoy-types`, which is fetched but never compiled; `cargo metadata`
//! gives its path. `protoc` comes from `protoc-bin-vendored`. Neither is copied into this repository.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// The folders inside `envoy-types/proto` that are import roots.
const ROOTS: [&str; 6] = [
    "data-plane-api",
    "xds",
    "googleapis",
    "protoc-gen-validate",
    "opentelemetry-proto",
    "cel-spec/proto",
];

/// Import roots that only some trees have; existing ones are used.
const OPTIONAL_ROOTS: [&str; 2] = ["client_model", "ratelimit"];

/// The services that Chancery serves: discovery in every form, client status and load reports.
const SERVICES: [&str; 12] = [
    "envoy/service/discovery/v3/ads.proto",
    "envoy/service/cluster/v3/cds.proto",
    "envoy/service/endpoint/v3/eds.proto",
    "envoy/service/endpoint/v3/leds.proto",
    "envoy/service/extension/v3/config_discovery.proto",
    "envoy/service/listener/v3/lds.proto",
    "envoy/service/load_stats/v3/lrs.proto",
    "envoy/service/route/v3/rds.proto",
    "envoy/service/route/v3/srds.proto",
    "envoy/service/runtime/v3/rtds.proto",
    "envoy/service/secret/v3/sds.proto",
    "envoy/service/status/v3/csds.proto",
];

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rerun-if-changed=proto");

    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is set by cargo")?);
    let envoy = envoy_proto_tree()?;
    let mut includes: Vec<PathBuf> = ROOTS.iter().map(|root| envoy.join(root)).collect();
    for root in &includes {
        ensure!(root.is_dir(), "envoy-types has no {}", root.display());
    }
    includes.extend(
        OPTIONAL_ROOTS
            .iter()
            .map(|root| envoy.join(root))
            .filter(|p| p.is_dir()),
    );
    let protoc = protoc_bin_vendored::protoc_bin_path().context("no vendored protoc for this platform")?;
    let well_known = protoc_bin_vendored::include_path().context("no vendored well-known types")?;

    let ours = protos_below(Path::new("proto"))?;
    descriptor_set(&protoc, &includes, &well_known, &ours, &out)?;
    generate(&protoc, &includes, &well_known, &ours, &out)
}

/// The path where cargo unpacked the locked `envoy-types`.
fn envoy_proto_tree() -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let metadata = |extra: &[&str]| -> Result<std::process::Output> {
        Command::new(&cargo)
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(extra)
            .output()
            .context("cargo metadata did not start")
    };
    // Fetched crates need no network; only the first build on a clean machine does.
    let mut output = metadata(&["--offline"])?;
    if !output.status.success() {
        output = metadata(&[])?;
    }
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let manifest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "envoy-types")
        .and_then(|package| package["manifest_path"].as_str())
        .context("envoy-types is not in Cargo.lock")?;
    let tree = Path::new(manifest).with_file_name("proto");
    ensure!(tree.is_dir(), "envoy-types ships no {}", tree.display());
    Ok(tree)
}

/// Every `.proto` below `root`, as a path relative to it, sorted.
fn protos_below(root: &Path) -> Result<Vec<String>> {
    fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) -> Result<()> {
        for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                walk(root, &path, found)?;
            } else if path.extension().is_some_and(|ext| ext == "proto") {
                let relative = path.strip_prefix(root)?;
                found.push(relative.to_str().context("a proto path is UTF-8")?.to_owned());
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(root, root, &mut found)?;
    found.sort();
    Ok(found)
}

/// Runs `protoc` once over Envoy's whole API and ours: message types with their options, for admission and reflection.
fn descriptor_set(protoc: &Path, includes: &[PathBuf], well_known: &Path, ours: &[String], out: &Path) -> Result<()> {
    let mut command = Command::new(protoc);
    command.arg("--include_imports");
    command.arg(format!(
        "--descriptor_set_out={}",
        out.join("descriptors.binpb").display()
    ));
    command.arg("-Iproto");
    for root in includes {
        command.arg(format!("-I{}", root.display()));
    }
    command.arg(format!("-I{}", well_known.display()));
    command.args(protos_below(&includes[0])?);
    command.args(protos_below(&includes[1])?);
    command.args(ours);
    run(command)
}

/// Generates messages and services with tonic-build.
fn generate(protoc: &Path, includes: &[PathBuf], well_known: &Path, ours: &[String], out: &Path) -> Result<()> {
    let mut config = prost_build::Config::new();
    config.protoc_executable(protoc);
    let mut roots = vec![PathBuf::from("proto")];
    roots.extend(includes.iter().cloned());
    roots.push(well_known.to_owned());
    let mut protos: Vec<PathBuf> = SERVICES.map(PathBuf::from).to_vec();
    protos.extend(ours.iter().map(PathBuf::from));

    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .build_transport(false)
        .disable_comments(["."])
        .include_file("generated.rs")
        .out_dir(out)
        .compile_with_config(config, &protos, &roots)
        .context("generating code from Envoy's protos")
}

fn run(mut command: Command) -> Result<()> {
    let output = command.output().context("protoc did not start")?;
    ensure!(
        output.status.success(),
        "protoc: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
