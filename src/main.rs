//! The `tickwire` binary: what was asked for, and its exit code.

use std::{
    io::{self, IsTerminal, Write},
    num::NonZero,
    process::ExitCode,
};

use anyhow::Result;
use tickwire::{
    app::App,
    cli::{self, BenchArgs, CheckArgs, Command, Exit, LogFormat, SchemaArgs, ServeArgs, WatchArgs},
    config::{Config, ConfigErrors},
    documents::Document,
    sandbox::{self, ROUTES, STREAMS},
    server,
    shutdown::{self, Stage},
    upstream::credits::StateError,
};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let command = cli::parse().command();
    let outcome = match &command {
        Command::Check(args) if args.probe => probe(args),
        Command::Check(args) => {
            return cli::check::run(&args.config, &mut io::stdout(), &mut io::stderr()).into();
        }
        Command::Serve(args) => configured(args.load(), |config| serve(args, config)),
        Command::Sandbox(args) => configured(args.load(), simulate),
        Command::Schema(args) => schema(args),
        Command::Watch(args) => watch(args),
        Command::Bench(args) => bench(args),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => complain(&format!("{error:#}"), failure(&error)).into(),
    }
}

fn configured(
    config: Result<Config, ConfigErrors>,
    run: impl FnOnce(Config) -> Result<Exit>,
) -> Result<Exit> {
    match config {
        Ok(config) => run(config),
        Err(errors) => Ok(complain(&errors.to_string(), Exit::BadConfig)),
    }
}

/// Says what is wrong. A closed standard error must not hide the exit code.
fn complain(text: &str, exit: Exit) -> Exit {
    drop(writeln!(io::stderr(), "tickwire: {}", text.trim_end()));
    exit
}

/// Serves with half as many threads as there are cores for what is not delivery: that has a thread
/// for each core of its own, and what a feed does in a millisecond wakes a second thread in vain.
fn serve(args: &ServeArgs, config: Config) -> Result<Exit> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut runtime = runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads((cores / 2).max(1)).enable_all().build()?;
    runtime.block_on(until_stopped(args, config))
}

async fn until_stopped(args: &ServeArgs, config: Config) -> Result<Exit> {
    log(args.log_format);
    let listener = server::bind(config.server.listen)?;
    let app = App::start(config.clone(), listener).await?;
    tracing::info!(address = %app.address(), feeds = config.feeds.len(), "serving");
    // Nobody may be reading: that is no reason not to serve.
    drop(cli::announce::announce(&mut io::stdout(), app.address(), &config));
    stopped().await?;
    tracing::info!("stopping");
    let in_time = app.stop().await;
    tracing::info!(in_time, "stopped");
    Ok(if in_time { Exit::Fine } else { Exit::Failed })
}

#[tokio::main]
async fn simulate(config: Config) -> Result<Exit> {
    log(LogFormat::Text);
    let (trigger, shutdown) = shutdown::channel();
    let sandbox = sandbox::bind(&config.sandbox).await?;
    let mut out = io::stdout();
    drop(writeln!(out, "simulated APIs on {}", sandbox.base_url()));
    for (path, what) in ROUTES {
        drop(writeln!(out, "  {path:<42} {what}"));
    }
    drop(writeln!(out, "streams by WebSocket, at the same port"));
    for (path, what) in STREAMS {
        drop(writeln!(out, "  {path:<42} {what}"));
    }
    let serving = sandbox.serve(shutdown);
    let stop = async {
        let stopped = stopped().await;
        trigger.advance(Stage::Closing);
        stopped
    };
    let ((), stopped) = tokio::join!(serving, stop);
    stopped.map(|()| Exit::Fine)
}

fn schema(args: &SchemaArgs) -> Result<Exit> {
    match io::stdout().write_all(Document::from(args.document).text().as_bytes()) {
        // The reader of a pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(Exit::Fine)
}

#[tokio::main]
async fn watch(args: &WatchArgs) -> Result<Exit> {
    log(LogFormat::Text);
    let mut out = io::stdout();
    tokio::select! {
        outcome = cli::watch::run(args, &mut out) => match outcome {
            // The reader of a pipe has seen enough.
            Err(error) if is_broken_pipe(&error) => {}
            outcome => outcome?,
        },
        stopped = stopped() => stopped?,
    }
    Ok(Exit::Fine)
}

#[tokio::main]
async fn probe(args: &CheckArgs) -> Result<Exit> {
    cli::probe::run(args, &mut io::stdout(), &mut io::stderr()).await
}

#[tokio::main]
async fn bench(args: &BenchArgs) -> Result<Exit> {
    cli::bench::run(args, &mut io::stdout()).await?;
    Ok(Exit::Fine)
}

/// What to end with. Damaged state is told as a wrong configuration is: starting again would not
/// help, and a supervisor can know that by the code.
fn failure(error: &anyhow::Error) -> Exit {
    let state = error.downcast_ref::<StateError>();
    if state.is_some_and(StateError::is_permanent) { Exit::BadConfig } else { Exit::Failed }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn stopped() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("TICKWIRE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
