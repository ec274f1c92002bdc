use super::{NOVEMBER, mark};
use crate::{
    units::Secret,
    upstream::credits::form::{Account, Record, month_text, read, write},
};

fn records() -> Vec<Record> {
    let key = Secret::new("abc");
    let accounts = [Account::new("token_metrics", Some(&key)), Account::new("h\"", None)];
    accounts.map(|account| Record { account, mark: mark(300) }).into()
}

#[test]
fn the_file_holds_hosts_months_and_counts_and_of_a_key_only_the_beginning_of_its_hash() {
    let text = write(&records()).unwrap();
    // The SHA-256 of "abc" is the first example of FIPS 180.
    let expected = serde_json::json!({"version": 1, "budgets": [
        {"host": "token_metrics", "key_sha256": "ba7816bf8f01cfea", "month": "2026-11", "reserved": 300},
        {"host": "h\"", "key_sha256": null, "month": "2026-11", "reserved": 300},
    ]});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
    assert_eq!(read(&text), Ok(records()));
}

#[test]
fn months_are_written_as_people_write_them() {
    for (index, text) in [(0, "1970-01"), (11, "1970-12"), (12, "1971-01"), (NOVEMBER, "2026-11")] {
        assert_eq!(month_text(index), text);
    }
}

#[test]
fn a_file_that_is_not_wholly_understood_is_refused() {
    let line = r#"{"host":"h","key_sha256":null,"month":"2026-11","reserved":3}"#;
    for (text, why) in [
        (String::new(), "damaged"),
        ("{\"version\":1,\"bud".into(), "damaged"),
        ("[]".into(), "damaged"),
        ("{\"budgets\":[]}".into(), "damaged"),
        ("{\"version\":2,\"accounts\":{}}".into(), "version 2"),
        ("{\"version\":1,\"budgets\":[],\"more\":1}".into(), "damaged"),
        (format!("{{\"version\":1,\"budgets\":[{line},{line}]}}"), "twice"),
        (format!("{{\"version\":1,\"budgets\":[{}]}}", line.replace(":3", ":-3")), "damaged"),
        (format!("{{\"version\":1,\"budgets\":[{}]}}", line.replace("-11", "-13")), "no month"),
        (format!("{{\"version\":1,\"budgets\":[{}]}}", line.replace("-11", "-+1")), "no month"),
    ] {
        let error = read(&text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}
