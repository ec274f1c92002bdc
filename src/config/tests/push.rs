//! Feeds with `provider = "push"`.

use super::*;

const HEAD: &str = "[[feeds]]\nname = \"p\"\nprovider = \"push\"\n";

#[test]
fn the_readme_s_example_is_good_and_has_its_own_default_of_staleness() {
    let readme = include_str!("../../../README.md");
    let section = readme.split("### Your own signals").nth(1).unwrap();
    let block = section.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let key = [("DESK_KEY", "a-key-of-enough-characters")];
    let config = load_with(block, &key).unwrap();
    assert_eq!(config.feeds[0].topic_patterns().len(), 2);
    let bare = load(HEAD).unwrap();
    assert_eq!(bare.feeds[0].stale_after(), crate::units::Span::secs(60));
    assert!(load(&format!("{HEAD}stale_after = \"1s\"")).is_ok());
}

#[test]
fn mistakes_are_told_at_their_key() {
    for (text, key, words) in [
        ("key = { env = \"UNSET\" }", "key", "UNSET is not set"),
        ("key = { file = \"clippy.toml\" }\nrate = 0", "rate", "between 1 and"),
        ("topics = [\"a..b\"]", "topics[0]", "token here is empty"),
        ("topics = 5", "topics", "of a push feed are patterns"),
        ("topics = [\"a\", { topic = \"b\", fields = {} }]", "topics", "all tables or all"),
        ("base_url = \"https://a.example\"", "base_url", "nothing is asked"),
        ("symbols = [\"BTC-USD\"]", "symbols", "nothing is asked"),
    ] {
        let found = refusals(&format!("{HEAD}{text}\n"));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains(&format!(": feeds[0].{key}: ")), "{text}: {found:?}");
        assert!(found[0].contains(words), "{text}: {found:?}");
    }
    let found = load_with(&format!("{HEAD}key = {{ env = \"K\" }}\n"), &[("K", "short")]);
    assert!(found.unwrap_err().to_string().contains("less than 16 characters"));
    let found = refusals(&format!("{FEED}key = {{ env = \"K\" }}\n"));
    assert!(found[0].contains("feeds[0].key: is for push feeds"), "{found:?}");
}
