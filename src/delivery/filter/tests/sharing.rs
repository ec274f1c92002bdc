//! One filter for a text, one verdict for an update.

use super::*;

#[test]
fn the_same_text_is_the_same_filter_while_it_is_used() {
    let filters = Filters::new();
    let first = filters.compile("data.price > 1").unwrap();
    let second = filters.compile("data.price > 1").unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(first.text(), "data.price > 1");
    let other = filters.compile("data.price > 2").unwrap();
    assert_ne!(first.id, other.id);
    assert_eq!(filters.len(), 2);
    drop((first, other));
    assert_eq!(filters.len(), 1);
    drop(second);
    assert!(filters.is_empty());
    filters.compile("nonsense").unwrap_err();
    assert!(filters.is_empty());
    assert!(filters.compile("data.price > 1").is_ok());
}

#[test]
fn filters_come_and_go_on_many_threads() {
    let filters = Filters::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..60 {
                    let text = format!("data.price > {}", turn % 3);
                    assert_eq!(filters.compile(&text).unwrap().text(), text);
                }
            });
        }
    });
    assert!(filters.is_empty());
}

#[test]
fn a_filter_outlives_its_server() {
    let filters = Filters::new();
    let filter = filters.compile("data.price > 1").unwrap();
    drop(filters);
    assert!(filter.evaluate(&price()).passes());
}

#[test]
fn a_memo_knows_each_filter_apart() {
    let filters = Filters::new();
    let update = price();
    let mut memo = Memo::default();
    let texts = ["data.price > 1", "data.price > 99999", "data.state > 1", "data.ask > 1"];
    let all = texts.map(|text| filters.compile(text).unwrap());
    for _ in 0..3 {
        let verdicts = all.each_ref().map(|filter| memo.verdict(filter, &update));
        assert!(matches!(
            verdicts,
            [Verdict::True, Verdict::False, Verdict::Error(_), Verdict::False]
        ));
        assert_eq!(verdicts, all.each_ref().map(|filter| filter.evaluate(&update)));
    }
}
