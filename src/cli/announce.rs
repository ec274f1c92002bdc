//! What `serve` says when it is up.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use crate::{config::Config, upstream::config::FeedConfig};

/// Says what is served where, and a line to try.
///
/// # Errors
/// When the output is closed.
pub fn announce(out: &mut impl Write, address: SocketAddr, config: &Config) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let simulated = config.feeds.iter().any(FeedConfig::is_simulated);
    let market = if simulated { " (simulated market)" } else { "" };
    let feeds: Vec<_> = config.feeds.iter().map(|feed| feed.name.as_str()).collect();
    writeln!(out, "tickwire {version} is up{market}")?;
    writeln!(out, "  dashboard  http://{address}/")?;
    writeln!(out, "  stream     ws://{address}/v1/ws")?;
    writeln!(out, "  REST       http://{address}/v1/snapshot?topics=price.BTC-USD")?;
    writeln!(out, "  health     http://{address}/readyz   metrics  http://{address}/metrics")?;
    writeln!(out, "  feeds      {}", feeds.join(", "))?;
    writeln!(out, "try: tickwire watch 'price.*' --url ws://{address}/v1/ws")?;
    let subscribe = r#"{"id":1,"method":"subscribe","params":{"topics":["price.*"]}}"#;
    writeln!(out, " or: websocat ws://{address}/v1/ws   then type   {subscribe}")?;
    out.flush()
}
