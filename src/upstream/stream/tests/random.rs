use proptest::prelude::*;

use super::*;

/// What a venue does next.
#[derive(Debug, Clone)]
enum Deed {
    Price(u32),
    Poison(&'static str),
    Garbage,
    Panic,
    Shutdown,
    Refusal,
    Close,
    Silence(u64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let poison = prop::sample::select(vec!["-1", "0", "NaN", "1e400", "", "null"]);
    let deed = prop_oneof![
        6 => (100_u32..110).prop_map(Deed::Price),
        1 => poison.prop_map(Deed::Poison),
        1 => Just(Deed::Garbage),
        1 => Just(Deed::Panic),
        1 => Just(Deed::Shutdown),
        1 => Just(Deed::Refusal),
        1 => Just(Deed::Close),
        2 => (0_u64..20).prop_map(Deed::Silence),
    ];
    prop::collection::vec(deed, 1..40)
}

impl Deed {
    /// Does it on a new connection where there is none.
    async fn happens(self, rig: &mut Rig, venue: &mut Option<Peer>) {
        if let Self::Silence(secs) = self {
            return elapse(SECOND * u32::try_from(secs).unwrap()).await;
        }
        let mut peer = match venue.take() {
            Some(peer) => peer,
            None => rig.connected().await,
        };
        let text = match self {
            Self::Price(price) => miniticker(&price.to_string()),
            Self::Poison(poison) => miniticker(poison),
            Self::Garbage => "<html>".to_owned(),
            Self::Panic => "panic".to_owned(),
            Self::Shutdown => r#"{"e":"serverShutdown"}"#.to_owned(),
            Self::Refusal => r#"{"code":2,"msg":"Invalid request"}"#.to_owned(),
            Self::Close | Self::Silence(_) => return,
        };
        if peer.says(&text).await {
            *venue = Some(peer);
        }
        elapse(Duration::from_millis(200)).await;
    }
}

fn miniticker(price: &str) -> String {
    format!(r#"{{"stream":"btcusdt@miniTicker","data":{{"c":"{price}"}}}}"#)
}

async fn whatever_happens(deeds: Vec<Deed>) -> Result<(), TestCaseError> {
    let mut rig = Rig::new(BINANCE);
    *rig.rest.price.lock() = Some("105");
    let mut venue = None;
    for deed in deeds {
        deed.happens(&mut rig, &mut venue).await;
        if let Some(price) = rig.known("price.BTC-USDT.x") {
            prop_assert!((100..110).contains(&price.parse::<u32>().unwrap()), "{price}");
        }
    }
    // A feed is never asked faster than it is to be, whatever its stream does.
    let polled = rig.rest.polled.lock().clone();
    for pair in polled.windows(2) {
        prop_assert!(pair[1] - pair[0] >= Duration::from_millis(1600), "{:?}", pair[1] - pair[0]);
    }
    // It always comes back.
    let mut price = 100;
    while rig.known("price.BTC-USDT.x").as_deref() != Some("120") {
        price = if price == 120 { 119 } else { 120 };
        Deed::Price(price).happens(&mut rig, &mut venue).await;
    }
    prop_assert_eq!(rig.report().transport, Some(Transport::Ws));
    prop_assert_eq!(rig.report().state, State::Live);
    rig.trigger.advance(shutdown_stage());
    prop_assert!(rig.tasks.join(SECOND).await);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_a_venue_does_nothing_false_is_published_and_the_stream_comes_back(
        deeds in deeds(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(whatever_happens(deeds))?;
    }
}
