//! The live page.

use super::*;

const HTML: &str = include_str!("../page/index.html");
const SCRIPT: &str = include_str!("../page/app.js");
const STYLE: &str = include_str!("../page/style.css");

#[tokio::test]
async fn the_page_and_its_assets_are_served_with_their_types() {
    let site = site();
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("content-type"), content_type);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        let again = get(path).header("if-none-match", answer.header("etag"));
        assert_eq!(site.send(again).await.status, StatusCode::NOT_MODIFIED, "{path}");
    }
}

#[test]
fn every_element_that_the_script_names_is_on_the_page() {
    let named = SCRIPT.split("$('").skip(1);
    let ids: Vec<&str> = named.filter_map(|rest| rest.split_once('\'').map(|(id, _)| id)).collect();
    assert!(ids.len() > 10, "{ids:?}");
    for id in ids {
        assert!(HTML.contains(&format!("id=\"{id}\"")), "{id} is not on the page");
    }
}

#[test]
fn data_never_becomes_markup_and_nothing_comes_from_elsewhere() {
    for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!SCRIPT.contains(word), "{word}");
    }
    for (name, text) in [("page", HTML), ("style", STYLE), ("script", SCRIPT)] {
        assert!(!text.contains("://") && !text.contains("@import"), "{name}");
    }
    // The policy would refuse them.
    assert!(!HTML.contains(" style=") && !HTML.contains("<style"));
    assert!(!HTML.contains(" onclick") && !HTML.contains("<script>"));
}
