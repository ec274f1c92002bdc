//! The command line. Says what was asked for; doing it is `main`'s, but for `check`.

mod address;
pub mod announce;
pub mod bench;
pub mod check;
mod exit;
pub mod probe;
pub mod watch;

use std::{env, net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    config::{Config, ConfigErrors, Override},
    documents::Document,
};
pub use exit::Exit;

/// Where a server on this machine is found when nothing else is said.
const DEFAULT_URL: &str = "ws://127.0.0.1:8080/v1/ws";

/// Real-time market data: slow, rate-limited upstream APIs in, one live stream out.
///
/// Without arguments it serves a simulated market on 127.0.0.1:8080.
#[derive(Debug, Clone, Parser)]
#[command(name = "tickwire", version, args_conflicts_with_subcommands = true, after_help = EXITS)]
pub struct Cli {
    #[command(flatten)]
    serve: ServeArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXITS: &str = "Exit codes: 0 fine, 1 failed at run time, 2 usage, 78 bad configuration.\n\
    TICKWIRE_<SECTION>__<KEY> in the environment overrides a configuration key, \
    TICKWIRE_LOG filters the log.";

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run the server (also without any command)
    Serve(ServeArgs),
    /// Check a configuration and show its feeds; exits with 78 when it is wrong
    Check(CheckArgs),
    /// Run only the simulated upstream APIs
    Sandbox(SandboxArgs),
    /// Print a document that describes the server: for editors, generators of clients and tests
    Schema(SchemaArgs),
    /// Print the live updates of some topics
    Watch(WatchArgs),
    /// Load a server that has a synthetic feed with many clients and measure it
    Bench(BenchArgs),
}

/// Which configuration is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Configuration file [env: TICKWIRE_CONFIG] [default: the built-in sandbox market]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Which configuration is meant.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Also ask each feed once and show what came of it; exits with 1 when one does not answer
    #[arg(long)]
    pub probe: bool,
    /// Print what the feeds answered as JSON
    #[arg(long, requires = "probe")]
    pub json: bool,
}

/// Arguments of `serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Which configuration is meant.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Address and port to listen on instead of server.listen
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// How log lines are written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// Arguments of `sandbox`.
#[derive(Debug, Clone, Args)]
pub struct SandboxArgs {
    /// Which configuration is meant.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Address and port to listen on instead of sandbox.listen
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

/// Arguments of `schema`.
#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// Which document
    #[arg(value_enum, value_name = "DOCUMENT")]
    pub document: SchemaKind,
}

/// Which document is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// OpenAPI 3.1 of the HTTP routes
    Openapi,
    /// AsyncAPI 3.0 of the WebSocket
    Asyncapi,
    /// JSON Schema of the configuration
    Config,
    /// JSON Schema of every message
    Protocol,
}

impl From<SchemaKind> for Document {
    fn from(kind: SchemaKind) -> Self {
        match kind {
            SchemaKind::Openapi => Self::OpenApi,
            SchemaKind::Asyncapi => Self::AsyncApi,
            SchemaKind::Config => Self::Config,
            SchemaKind::Protocol => Self::Protocol,
        }
    }
}

/// Arguments of `watch`.
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// Topics or patterns, such as price.BTC-USD, 'price.*' or 'signal.>'
    #[arg(required = true, value_name = "PATTERN")]
    pub patterns: Vec<String>,
    /// WebSocket address of the server
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
    pub url: String,
}

/// Arguments of `bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// WebSocket address of a server with a `synthetic` feed named bench
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
    pub url: String,
    /// Clients
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub connections: usize,
    /// Topics that the feed has: bench.0 and so on
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub topics: usize,
    /// Topics that each client subscribes to
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub topics_per_connection: usize,
    /// Delivery mode: every or latest
    #[arg(long, value_name = "MODE", default_value = "every", value_parser = ["every", "latest"])]
    pub mode: String,
    /// Seconds that count
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub seconds: u64,
    /// Seconds before them that do not
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub warm_up: u64,
    /// Process of the server, to measure its CPU time (Linux)
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Further clients that subscribe and then never read
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub stalled: usize,
    /// Distinct filters, all of them true, that the clients use in turn
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub filters: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For machines: one JSON object a line
    Json,
}

/// Reads the command line. Ends the process with 2 when it is wrong, and with 0 after `--help` or
/// `--version`.
pub fn parse() -> Cli {
    Cli::parse()
}

impl Cli {
    /// What to do: `serve` when nothing is said.
    pub fn command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

impl ConfigArgs {
    /// The file that is meant: the flag's, else that of `TICKWIRE_CONFIG`, else the built-in one.
    pub fn path(&self) -> Option<PathBuf> {
        let variable = || env::var_os("TICKWIRE_CONFIG").map(PathBuf::from);
        let path = self.config.clone().or_else(variable);
        path.filter(|path| !path.as_os_str().is_empty())
    }

    /// Reads the configuration that is meant.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        self.load_with(&[])
    }

    fn load_with(&self, overrides: &[Override]) -> Result<Config, ConfigErrors> {
        Config::load_with(self.path().as_deref(), environment(), overrides)
    }
}

impl ServeArgs {
    /// Reads the configuration that is meant, with `--listen` over it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        self.config.load_with(&listen("server.listen", self.listen))
    }
}

impl SandboxArgs {
    /// Reads the configuration that is meant, with `--listen` over it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        self.config.load_with(&listen("sandbox.listen", self.listen))
    }
}

fn listen(key: &'static str, address: Option<SocketAddr>) -> Vec<Override> {
    let set = address.map(|address| Override { flag: "--listen", key, value: address.to_string() });
    set.into_iter().collect()
}

/// The environment. A name that is not Unicode is none of ours; a value that is not is kept as well
/// as it can be, so that it is refused where it is read rather than ignored.
fn environment() -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    fn command(line: &str) -> Command {
        Cli::try_parse_from(line.split(' ')).unwrap().command()
    }

    fn refusal(line: &str) -> ErrorKind {
        Cli::try_parse_from(line.split(' ')).unwrap_err().kind()
    }

    #[test]
    fn the_definition_is_sound() {
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn no_command_means_serve() {
        for line in [
            "tickwire --listen 127.0.0.1:9 --config a.toml --log-format json",
            "tickwire serve --listen 127.0.0.1:9 --config a.toml --log-format json",
        ] {
            let Command::Serve(serve) = command(line) else {
                panic!("{line}");
            };
            assert_eq!(serve.listen, Some("127.0.0.1:9".parse().unwrap()));
            assert_eq!(serve.config.path(), Some(PathBuf::from("a.toml")));
            assert_eq!(serve.log_format, LogFormat::Json);
        }
        assert!(matches!(command("tickwire"), Command::Serve(_)));
    }

    #[test]
    fn each_command_takes_its_arguments() {
        assert!(matches!(command("tickwire check --config a.toml"), Command::Check(_)));
        let Command::Check(check) = command("tickwire check --probe --json") else {
            panic!("not check");
        };
        assert!(check.probe && check.json);
        assert!(matches!(command("tickwire sandbox --listen [::1]:0"), Command::Sandbox(_)));
        let Command::Watch(watch) = command("tickwire watch price.> status.*") else {
            panic!("not watch");
        };
        assert_eq!(watch.patterns, ["price.>", "status.*"]);
        assert_eq!(watch.url, DEFAULT_URL);
    }

    #[test]
    fn what_makes_no_sense_is_refused_as_usage() {
        assert_eq!(refusal("tickwire --listen localhost"), ErrorKind::ValueValidation);
        assert_eq!(refusal("tickwire watch"), ErrorKind::MissingRequiredArgument);
        assert_eq!(refusal("tickwire serv"), ErrorKind::InvalidSubcommand);
        assert_eq!(refusal("tickwire check --listen 127.0.0.1:9"), ErrorKind::UnknownArgument);
        assert_eq!(refusal("tickwire check --json"), ErrorKind::MissingRequiredArgument);
        assert_eq!(refusal("tickwire --log-format xml"), ErrorKind::InvalidValue);
    }

    #[test]
    fn the_version_is_the_packages() {
        let error = Cli::try_parse_from(["tickwire", "--version"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisplayVersion);
        assert_eq!(error.to_string(), "tickwire 0.1.0\n");
    }

    #[test]
    fn a_listen_flag_is_held_to_the_loopback_rule() {
        let Command::Serve(serve) = command("tickwire --listen 0.0.0.0:9") else {
            panic!("not serve");
        };
        let set = listen("server.listen", serve.listen);
        let errors = Config::load_with(None, std::iter::empty(), &set).unwrap_err();
        assert!(errors.to_string().starts_with("--listen: server.listen: 0.0.0.0:9"), "{errors}");
    }
}
