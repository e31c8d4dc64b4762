//! The command line: one file per command, or per few similar ones. Each is a client of the admin API except `serve`,
//! `validate`, `bootstrap`, `restore`, `verify`, `rekey`, `token` and `audit`.
//!
//! Results go to stdout, everything else to stderr; exit codes are in `cli/exit.rs`.

mod audit;
mod backup;
mod bootstrap;
mod certs;
mod connect;
mod delete;
mod delete_snapshot;
mod diff;
mod envoy;
mod exit;
mod export;
mod findings;
mod get;
mod group;
mod history;
mod import;
mod input;
mod logging;
mod output;
mod pages;
mod plan;
mod private;
mod publish;
mod publish_files;
mod rekey;
mod render;
mod restore;
mod rollback;
mod sarif;
mod serve;
mod sources;
mod status;
mod token;
mod validate;
mod wait;
mod watch;
mod yaml;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use self::{
    connect::{Clients, Trust},
    envoy::Own,
    exit::{Exit, Failure},
    output::{Output, Requested},
};

#[derive(Parser, Debug)]
#[command(
    name = "chancery",
    version,
    about = "A standalone xDS control plane for Envoy and for gRPC's own xDS clients",
    after_help = "Exit codes: 0 ok, 1 difference or NACK, 2 usage, 3 refused by validation, 4 not found, 5 conflict, \
                  6 unavailable or timeout, 7 denied."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

/// Options of every command.
#[derive(Args, Debug)]
struct Global {
    /// Address of the admin API
    #[arg(
        long,
        global = true,
        env = "CHANCERY_ADMIN",
        value_name = "URL",
        default_value = "http://127.0.0.1:18001"
    )]
    admin: String,
    #[command(flatten)]
    trust: Trust,
    /// Send the bearer token in this file with every call
    #[arg(long, global = true, env = "CHANCERY_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Format of results
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    output: Requested,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the control plane
    Serve(Box<serve::Serve>),
    /// Make a group's snapshot exactly the resources in the files
    Replace(publish_files::PublishFiles),
    /// Add and update resources of a group's snapshot
    Apply(publish_files::PublishFiles),
    /// Delete resources of a group's snapshot
    Delete(delete::Delete),
    /// Delete a group's snapshot; its nodes keep what they have
    DeleteSnapshot(delete_snapshot::DeleteSnapshot),
    /// Show a group's resources; without a group, every published group
    Get(get::Get),
    /// Show what changes between two revisions, or between a revision and files; exit 1 on a difference
    Diff(diff::Diff),
    /// List a group's kept revisions, newest first
    History(history::History),
    /// Publish an earlier revision again
    Rollback(rollback::Rollback),
    /// Show the resources of every node: sent, ACKed, and NACKed in the node's own words
    Status(status::Status),
    /// Wait until every connected node of a group holds a revision
    Wait(wait::Wait),
    /// Print publishes and node changes as they happen
    Watch(watch::Watch),
    /// Check files without a server
    Validate(validate::Validate),
    /// Write a group's snapshot as files, for Envoys without a stream
    Render(render::Render),
    /// Write published groups as files that can be published again
    Export(export::Export),
    /// Publish a directory with a folder for each group
    Import(import::Import),
    /// Save the store of a running server to one file
    Backup(backup::Backup),
    /// Make a data directory from a backup, without a server
    Restore(restore::Restore),
    /// Check a whole data directory or backup, without a server
    Verify(restore::Verify),
    /// Seal a data directory with the newest key of a key file, without a server
    Rekey(rekey::Rekey),
    /// Make bearer tokens
    Token(token::Token),
    /// Check an audit log
    Audit(audit::Audit),
    /// Print an Envoy bootstrap that connects to Chancery
    Bootstrap(bootstrap::Bootstrap),
    /// Make certificates for trying TLS
    Certs(certs::Certs),
}

/// Runs the command in the arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            // With a closed stdout or stderr nobody sees the error.
            error.print().ok();
            return exit.into();
        }
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            write!(std::io::stderr(), "{failure}").ok();
            failure.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { command, global } = cli;
    let sarif = global.output == Requested::Sarif;
    if sarif && !matches!(command, Command::Validate(_)) {
        return Err(Failure::usage("-o sarif: only validate has findings to print as SARIF"));
    }
    let mut output = Output::new(global.output.format());
    match command {
        Command::Serve(serve) => serve.run(),
        Command::Validate(validate) => validate.run(&mut output, sarif),
        Command::Bootstrap(bootstrap) => bootstrap.run(&mut output),
        Command::Certs(certs) => certs.run(),
        Command::Restore(restore) => restore.run(&mut output),
        Command::Verify(verify) => verify.run(&mut output),
        Command::Rekey(rekey) => rekey.run(&mut output),
        Command::Token(token) => token.run(&mut output),
        Command::Audit(audit) => audit.run(&mut output),
        command => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(call(
                command,
                Clients::new(&global.admin, &global.trust, global.token_file.as_deref())?,
                &mut output,
            )),
    }
}

/// Runs a command against the admin API.
async fn call(command: Command, clients: Clients, output: &mut Output) -> Result<Exit, Failure> {
    match command {
        Command::Replace(files) => files.run(Own::Replaced, &clients, output).await,
        Command::Apply(files) => files.run(Own::Kept, &clients, output).await,
        Command::Delete(delete) => delete.run(&clients, output).await,
        Command::DeleteSnapshot(delete) => delete.run(&clients, output).await,
        Command::Get(get) => get.run(&clients, output).await,
        Command::Diff(diff) => diff.run(&clients, output).await,
        Command::History(history) => history.run(&clients, output).await,
        Command::Rollback(rollback) => rollback.run(&clients, output).await,
        Command::Status(status) => status.run(&clients, output).await,
        Command::Wait(wait) => wait.run(&clients).await,
        Command::Watch(watch) => watch.run(&clients, output).await,
        Command::Render(render) => render.run(&clients, output).await,
        Command::Export(export) => export.run(&clients, output).await,
        Command::Import(import) => import.run(&clients, output).await,
        Command::Backup(backup) => backup.run(&clients, output).await,
        Command::Serve(_)
        | Command::Validate(_)
        | Command::Bootstrap(_)
        | Command::Certs(_)
        | Command::Restore(_)
        | Command::Verify(_)
        | Command::Rekey(_)
        | Command::Token(_)
        | Command::Audit(_) => Err(Failure::new(Exit::Usage, "this command talks to no server")),
    }
}

#[cfg(test)]
mod tests;
