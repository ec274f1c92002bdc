//! The block chains that `chain` of a feed may name.

use super::config::ProviderKind;

/// Names, as they stand in topics, and the ids by which Etherscan and the chains themselves know
/// them (EIP-155).
const CHAINS: [(&str, u64); 13] = [
    ("ethereum", 1),
    ("optimism", 10),
    ("bsc", 56),
    ("gnosis", 100),
    ("unichain", 130),
    ("polygon", 137),
    ("sonic", 146),
    ("mantle", 5_000),
    ("base", 8_453),
    ("arbitrum", 42_161),
    ("avalanche", 43_114),
    ("linea", 59_144),
    ("scroll", 534_352),
];

/// The id of a chain; `None` for one that is not known.
pub fn id(name: &str) -> Option<u64> {
    CHAINS.iter().find(|(known, _)| *known == name).map(|(_, id)| *id)
}

/// Checks that a provider can be asked about `chain`. A node of one's own may serve any chain, so
/// there the name need only fit a topic.
///
/// # Errors
/// Says what a name may be.
pub fn check(provider: ProviderKind, chain: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !(1..=32).contains(&chain.len()) || !chain.bytes().all(allowed) {
        return Err(format!(
            "{chain:?} becomes a part of topics: use only a-z, 0-9 and _, at most 32 of them"
        ));
    }
    if provider == ProviderKind::Etherscan && id(chain).is_none() {
        let names: Vec<&str> = CHAINS.iter().map(|(name, _)| *name).collect();
        return Err(format!("{chain:?} is not one of {}", names.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etherscan_knows_some_chains_and_a_node_may_serve_any() {
        assert_eq!((id("ethereum"), id("base"), id("devnet")), (Some(1), Some(8_453), None));
        assert_eq!(check(ProviderKind::Evm, "devnet_7"), Ok(()));
        assert_eq!(check(ProviderKind::Etherscan, "polygon"), Ok(()));
        let error = check(ProviderKind::Etherscan, "devnet").unwrap_err();
        assert!(error.contains("ethereum, optimism"), "{error}");
    }

    #[test]
    fn a_chain_that_is_no_token_of_a_topic_is_refused() {
        for chain in ["", "a.b", "Ethereum", "*", "é", &"x".repeat(33)] {
            assert!(check(ProviderKind::Evm, chain).is_err(), "{chain}");
        }
    }

    #[test]
    fn every_known_chain_fits_a_topic() {
        for (name, id) in CHAINS {
            assert_eq!((check(ProviderKind::Etherscan, name), id > 0), (Ok(()), true));
        }
    }
}
