//! The admin API and the command line against a control plane that runs in this process on free ports.

mod harness;

mod commands;
mod input;
mod process;
mod services;
mod wait;
