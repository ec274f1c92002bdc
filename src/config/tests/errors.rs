//! Every error names the key, the file and the line, and none hides another.

use super::*;

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_that_exists() {
    let found = refusals("[server]\nshards = 1\nlistenn = \"127.0.0.1:1\"\n");
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with(
            "x.toml:3:1: server.listenn: unknown key, did you mean listen? Possible are: listen, "
        ),
        "{}",
        found[0]
    );
    let found = refusals("[sever]\n");
    assert!(
        found[0].starts_with("x.toml:1:2: sever: unknown key, did you mean server?"),
        "{}",
        found[0]
    );
    let found = refusals("zzz = 1\n");
    assert!(found[0].contains("zzz: unknown key; possible are: "), "{}", found[0]);
}

#[test]
fn errors_in_different_places_are_all_told_in_the_order_of_the_file() {
    let text = format!(
        "[server]\nshards = 65\nlisten = \"here\"\nfoo = 1\n[limits]\ntopics = 0\nper_ip = -1\n\
         [hub]\nhistory = 0\n{FEED}every = \"10\"\nbar = 2\n\
         [[feeds]]\nname = \"b c\"\nprovider = \"mempool\"\ntimeout = \"0s\"\n\
         [[feeds]]\nname = \"d\"\n[consolidate]\nprefer = [\"a\", \"d\", \"e\"]\n"
    );
    let found = refusals(&text);
    let starts = [
        "x.toml:3:1: server.listen: not an address and port such as 127.0.0.1:8080",
        "x.toml:4:1: server.foo: unknown key; possible are: ",
        "x.toml:7:1: limits.per_ip: invalid value: integer `-1`",
        "x.toml:9:1: hub.history: must be at least 1",
        "x.toml:14:1: feeds[0].every: `10` is not a duration such as 250ms, 10s, 5m",
        "x.toml:15:1: feeds[0].bar: unknown key",
        "x.toml:17:1: feeds[1].name: \"b c\" becomes a part of topics",
        "x.toml:19:1: feeds[1].timeout: must be longer than 0s",
        "x.toml:20:1: feeds[2].provider: is required and not there",
        "x.toml:23:21: consolidate.prefer[2]: no feed is named \"e\"; feeds are: a, b c, d",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (line, start) in found.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\nis not\n{start}");
    }
}

#[test]
fn a_wrong_type_says_what_was_due() {
    let found = refusals("[server]\nallow_anonymous = \"yes\"\npublic_origins = [1]\n");
    assert_eq!(
        found,
        [
            "x.toml:2:1: server.allow_anonymous: invalid type: string \"yes\", expected a boolean",
            "x.toml:3:19: server.public_origins[0]: invalid type: integer `1`, expected a string",
        ]
    );
    let found = refusals("feeds = 3\nserver = 4\n");
    assert!(
        found[0].starts_with("x.toml:1:1: feeds: must be a list: write [[feeds]]"),
        "{found:?}"
    );
    assert!(found[1].starts_with("x.toml:2:1: server: invalid type: integer `4`"), "{found:?}");
    let found = refusals("feeds = [4]\n");
    assert!(found[0].starts_with("x.toml:1:10: feeds[0]: invalid type"), "{found:?}");
}

#[test]
fn a_required_key_is_told_once() {
    let found = refusals("[[feeds]]\nname = \"a\"\nprovider = \"binanse\"\n");
    assert_eq!(found.len(), 1, "{found:?}");
    let start = "x.toml:3:1: feeds[0].provider: `binanse` is not known here, did you mean binance?";
    assert!(found[0].starts_with(start), "{}", found[0]);
    let found = refusals(&format!("{FEED}budget = {{ weight = 1 }}\nsymbls = []\n"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("x.toml:5:1: feeds[0].budget.per_minute: is required"),
        "{}",
        found[0]
    );
    assert!(found[1].contains("did you mean symbols?"), "{}", found[1]);
}

#[test]
fn a_nested_error_keeps_its_place() {
    let text = "[[sandbox.faults]]\npath = \"/a\"\nkind = \"hang\"\n\
                [[sandbox.faults]]\npath = \"b\"\nkind = \"503\"\nprobability = 2\n";
    let found = refusals(text);
    assert!(found[0].starts_with("x.toml:6:1: sandbox.faults[1].kind: `503` is not"), "{found:?}");
    let found = refusals(&text.replace("503", "500"));
    assert_eq!(
        found,
        [
            "x.toml:5:1: sandbox.faults[1].path: must begin with /, for example \"/b\"",
            "x.toml:7:1: sandbox.faults[1].probability: 2 is not between 0 and 1",
        ]
    );
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    for (text, start) in [
        ("[server]\nlisten = \n", "x.toml:2:"),
        ("[server]\nlisten = \"a\n[hub]\n", "x.toml:2:"),
        ("[server\n", "x.toml:1:"),
        ("a = [1, 2\nb = 3\n", "x.toml:2:1: not TOML: missing comma"),
        ("[server]\nshards = 1\nshards = 2\n", "x.toml:3:1: not TOML: duplicate key"),
        ("a = 99999999999999999999\n", "x.toml:1:"),
    ] {
        let found = refusals(text);
        assert!(found[0].starts_with(start), "{text}: {found:?}");
        assert!(found.iter().all(|line| line.contains("not TOML")), "{found:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let path = shipped("no-such.toml");
    let errors = Config::load(Some(&path), variables(&[])).unwrap_err().to_string();
    assert!(errors.contains("no-such.toml: cannot read the configuration: No such file"));
}
