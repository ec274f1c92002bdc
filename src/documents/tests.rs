use std::{collections::BTreeSet, fs, path::Path};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::{Document, examples};
use crate::{
    http::{Body, ROUTES},
    market::State,
    protocol::{
        code::{Close, ErrorCode},
        command::{self, Method},
        encoding::Encoding,
    },
};

/// Why a topic may not be live, as the contract has it.
const REASONS: [&str; 13] = [
    "timeout",
    "connect",
    "tls",
    "rate_limited",
    "http_4xx",
    "http_5xx",
    "bad_body",
    "no_data",
    "quarantined",
    "breaker_open",
    "budget",
    "paused",
    "bus",
];

/// The schema of the protocol by the name of one of its parts.
fn part(name: &str) -> Validator {
    let mut schema = Document::Protocol.value();
    schema.as_object_mut().unwrap().remove("anyOf");
    schema["$ref"] = json!(format!("#/$defs/{name}"));
    jsonschema::draft202012::new(&schema).unwrap()
}

#[test]
fn every_document_is_what_it_says_it_is() {
    for document in [Document::Config, Document::Protocol] {
        let schema = document.value();
        assert!(jsonschema::meta::is_valid(&schema), "{document:?}");
        jsonschema::draft202012::new(&schema).unwrap();
    }
    assert_eq!(Document::OpenApi.value()["openapi"], "3.1.0");
    assert_eq!(Document::AsyncApi.value()["asyncapi"], "3.0.0");
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    for document in [Document::OpenApi, Document::AsyncApi, Document::Config, Document::Protocol] {
        let value = document.value();
        let mut found = Vec::new();
        references(&value, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(value.pointer(pointer).is_some(), "{document:?}: {reference}");
        }
    }
}

#[test]
fn what_the_writers_write_is_as_documented() {
    for (name, example) in examples::messages() {
        assert_eq!(example["type"], name);
        let errors: Vec<_> =
            part(&format!("Message.{name}")).iter_errors(&example).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        // And it is that message alone: another type is refused.
        let mut other = example.clone();
        other["type"] = json!("another");
        assert!(!part(&format!("Message.{name}")).is_valid(&other));
    }
    assert!(part("Failure").is_valid(&examples::failure()));
}

#[test]
fn a_request_is_read_where_it_is_as_documented() {
    for method in Method::ALL {
        let schema = part(&format!("Request.{}", method.as_str()));
        let request = examples::request(method);
        assert!(schema.is_valid(&request), "{request}");
        assert_eq!(command::parse(&request.to_string()).unwrap().command.method(), method);
        let mut misspelt = request.clone();
        misspelt["parms"] = json!({});
        assert!(!schema.is_valid(&misspelt) && command::parse(&misspelt.to_string()).is_err());
        if let Some(params) = request.get("params") {
            let mut misspelt = request.clone();
            misspelt["params"]["snapshoot"] = json!(true);
            assert!(!schema.is_valid(&misspelt) && command::parse(&misspelt.to_string()).is_err());
            for name in params.as_object().unwrap().keys() {
                let mut wrong = request.clone();
                wrong["params"][name] = json!([[0]]);
                let read = command::parse(&wrong.to_string()).is_ok();
                assert_eq!(schema.is_valid(&wrong), read, "{wrong}");
            }
        }
    }
}

#[test]
fn every_closed_set_is_documented_whole() {
    let protocol = Document::Protocol.value();
    let named = |name: &str| -> BTreeSet<String> {
        let options = protocol["$defs"][name]["oneOf"].as_array().unwrap();
        options.iter().map(|option| option["const"].as_str().unwrap().to_owned()).collect()
    };
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(named("ErrorCode"), all(&ErrorCode::ALL.map(ErrorCode::as_str)));
    assert_eq!(named("State"), all(&State::ALL.map(State::as_str)));
    for reason in named("Reason") {
        assert!(REASONS.contains(&reason.as_str()), "{reason}");
    }
    assert_eq!(named("Reason").len(), REASONS.len());
    assert_eq!(named("GapReason"), all(&["slow_consumer", "lag", "epoch", "unrecoverable"]));
    let openapi = Document::OpenApi.value();
    let breakers = openapi["components"]["schemas"]["Breaker"]["oneOf"].as_array().unwrap();
    assert_eq!(breakers.len(), 3);
    let channel = &Document::AsyncApi.value()["channels"]["session"];
    let codes = channel["x-closes"].as_array().unwrap().iter().map(|close| &close["code"]);
    assert!(codes.eq(Close::ALL.map(|close| json!(close.code())).iter()));
    let offered = &channel["bindings"]["ws"]["headers"]["properties"]["Sec-WebSocket-Protocol"];
    assert_eq!(offered["enum"], json!(Encoding::ALL.map(Encoding::subprotocol)));
}

#[test]
fn every_route_is_documented_with_its_parameters_and_answers() {
    let paths = Document::OpenApi.value()["paths"].clone();
    // And the one that takes something.
    assert_eq!(paths.as_object().unwrap().len(), ROUTES.len() + 1);
    assert!(paths["/v1/publish"]["post"]["requestBody"].is_object());
    for route in ROUTES {
        let operation = &paths[route.path]["get"];
        assert!(!operation["summary"].as_str().unwrap().is_empty());
        let parameters = operation["parameters"].as_array().unwrap();
        for parameter in parameters {
            let described = parameter["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described, "{}: {parameter}", route.path);
        }
        let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
        assert_eq!(in_path, route.path.matches('{').count());
        for answer in route.answers {
            let documented = &operation["responses"][answer.status.to_string()];
            let content = documented.get("content").is_some();
            assert_eq!(content, !matches!(answer.body, Body::Empty), "{}", route.path);
        }
    }
}

#[test]
fn every_configuration_file_is_as_documented_and_an_unknown_key_is_not() {
    let schema = jsonschema::draft202012::new(&Document::Config.value()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        files += 1;
        let table: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let mut value = serde_json::to_value(table).unwrap();
        let errors: Vec<_> = schema
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        value["server"]["lissten"] = json!("127.0.0.1:1");
        assert!(!schema.is_valid(&value));
    }
    assert!(files >= 4);
}
