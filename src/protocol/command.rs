//! Requests from a client, read strictly: a misspelt option is an error, never ignored, because an
//! option that is silently not applied is a lie about what will be delivered.

use schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    code::{ErrorBody, ErrorCode},
    event::RequestId,
    params::{Auth, Replay, SnapshotQuery, Subscribe, TopicNames, TopicQuery},
};

/// The longest string id that is echoed.
const ID_BYTES_MAX: usize = 64;

/// A request that could be read.
#[derive(Debug)]
pub struct Request {
    /// Echoed in the answer.
    pub id: RequestId,
    /// What is asked.
    pub command: Command,
}

/// A request that could not be read, with its id where at least that could.
#[derive(Debug)]
pub struct Unreadable {
    /// Echoed in the answer.
    pub id: RequestId,
    /// The method, where it is one of ours.
    pub method: Option<Method>,
    /// What was wrong.
    pub error: ErrorBody,
}

/// The methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Begin to deliver, or change how.
    Subscribe,
    /// Stop to deliver.
    Unsubscribe,
    /// What is subscribed, with its ledger.
    Subscriptions,
    /// Which topics there are.
    Topics,
    /// Last values.
    Snapshot,
    /// Values of the past.
    Replay,
    /// Is anybody there.
    Ping,
    /// Who I am.
    Auth,
}

/// What is asked.
#[derive(Debug)]
pub enum Command {
    /// Begin to deliver, or change how.
    Subscribe(Box<Subscribe>),
    /// Stop to deliver.
    Unsubscribe(TopicNames),
    /// What is subscribed, with its ledger.
    Subscriptions,
    /// Which topics there are.
    Topics(TopicQuery),
    /// Last values.
    Snapshot(SnapshotQuery),
    /// Values of the past.
    Replay(Replay),
    /// Is anybody there.
    Ping,
    /// Who I am.
    Auth(Auth),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    /// Many client libraries cannot leave it out.
    #[serde(rename = "jsonrpc")]
    _jsonrpc: Option<String>,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 8] = [
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Subscriptions,
        Self::Topics,
        Self::Snapshot,
        Self::Replay,
        Self::Ping,
        Self::Auth,
    ];

    /// The name on the wire and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Subscriptions => "subscriptions",
            Self::Topics => "topics",
            Self::Snapshot => "snapshot",
            Self::Replay => "replay",
            Self::Ping => "ping",
            Self::Auth => "auth",
        }
    }
}

impl Command {
    /// The method that it was asked by.
    pub fn method(&self) -> Method {
        match self {
            Self::Subscribe(_) => Method::Subscribe,
            Self::Unsubscribe(_) => Method::Unsubscribe,
            Self::Subscriptions => Method::Subscriptions,
            Self::Topics(_) => Method::Topics,
            Self::Snapshot(_) => Method::Snapshot,
            Self::Replay(_) => Method::Replay,
            Self::Ping => Method::Ping,
            Self::Auth(_) => Method::Auth,
        }
    }
}

/// The shape of the parameters of a method, and whether they must be there; none where there are none.
pub fn params(method: Method, shapes: &mut SchemaGenerator) -> Option<(Schema, bool)> {
    Some(match method {
        Method::Subscribe => (shapes.subschema_for::<Subscribe>(), true),
        Method::Unsubscribe => (shapes.subschema_for::<TopicNames>(), true),
        Method::Topics => (shapes.subschema_for::<TopicQuery>(), false),
        Method::Snapshot => (shapes.subschema_for::<SnapshotQuery>(), true),
        Method::Replay => (shapes.subschema_for::<Replay>(), true),
        Method::Auth => (shapes.subschema_for::<Auth>(), true),
        Method::Subscriptions | Method::Ping => return None,
    })
}

/// Reads one message.
///
/// # Errors
/// [`Unreadable`] holds what to answer.
pub fn parse(text: &str) -> Result<Request, Unreadable> {
    let unreadable = |id, error| Unreadable { id, method: None, error };
    let envelope: Envelope<'_> = serde_json::from_str(text)
        .map_err(|error| unreadable(RequestId::Unknown, wrong(&error)))?;
    let id = request_id(envelope.id).map_err(|error| unreadable(RequestId::Unknown, error))?;
    let Some(name) = envelope.method else {
        let error = ErrorBody::new(ErrorCode::BadRequest, "`method` is missing");
        return Err(unreadable(id, error));
    };
    let Some(method) = Method::ALL.into_iter().find(|method| method.as_str() == name) else {
        let known = Method::ALL.map(Method::as_str).join(", ");
        let message = format!("no such method; there are {known}");
        return Err(unreadable(id, ErrorBody::new(ErrorCode::UnknownMethod, message)));
    };
    match command(method, envelope.params) {
        Ok(command) => Ok(Request { id, command }),
        Err(error) => Err(Unreadable { id, method: Some(method), error }),
    }
}

fn command(method: Method, params: Option<&RawValue>) -> Result<Command, ErrorBody> {
    let params = params.map(RawValue::get).filter(|text| *text != "null");
    Ok(match method {
        Method::Subscribe => Command::Subscribe(Box::new(required(params)?)),
        Method::Unsubscribe => Command::Unsubscribe(required(params)?),
        Method::Subscriptions => none(params, Command::Subscriptions)?,
        Method::Topics => Command::Topics(params.map_or_else(|| Ok(TopicQuery::default()), read)?),
        Method::Snapshot => Command::Snapshot(required(params)?),
        Method::Replay => Command::Replay(required(params)?),
        Method::Ping => none(params, Command::Ping)?,
        Method::Auth => Command::Auth(required(params)?),
    })
}

fn required<T: DeserializeOwned>(params: Option<&str>) -> Result<T, ErrorBody> {
    params
        .ok_or_else(|| ErrorBody::new(ErrorCode::BadRequest, "`params` is missing"))
        .and_then(read)
}

fn none(params: Option<&str>, command: Command) -> Result<Command, ErrorBody> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    params.map_or(Ok(Nothing {}), read).map(|Nothing {}| command)
}

fn read<T: DeserializeOwned>(params: &str) -> Result<T, ErrorBody> {
    serde_json::from_str(params).map_err(|error| {
        ErrorBody::new(ErrorCode::BadRequest, format!("`params`: {}", printable(&error)))
    })
}

fn wrong(error: &serde_json::Error) -> ErrorBody {
    let (code, what) = match error.classify() {
        serde_json::error::Category::Data => (ErrorCode::BadRequest, "not a request"),
        _ => (ErrorCode::BadJson, "not JSON"),
    };
    ErrorBody::new(code, format!("{what}: {}", printable(error)))
}

/// An error text may quote the client: without control characters and not at any length.
fn printable(error: &serde_json::Error) -> String {
    error.to_string().chars().filter(|char| !char.is_control()).take(200).collect()
}

fn request_id(raw: Option<&RawValue>) -> Result<RequestId, ErrorBody> {
    let wrong = |message: &str| Err(ErrorBody::new(ErrorCode::BadRequest, message));
    let Some(raw) = raw.map(RawValue::get) else {
        return wrong("`id` is missing");
    };
    if let Ok(int) = serde_json::from_str::<i64>(raw) {
        return Ok(RequestId::Int(int));
    }
    match serde_json::from_str::<String>(raw) {
        Ok(text) if text.len() <= ID_BYTES_MAX => Ok(RequestId::Text(text)),
        Ok(_) => wrong("`id` is longer than 64 bytes"),
        Err(_) => wrong("`id` must be an integer or a string"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::params::{Mode, Trigger};

    fn error(text: &str) -> (RequestId, &'static str) {
        let unreadable = parse(text).unwrap_err();
        (unreadable.id, unreadable.error.code.as_str())
    }

    #[test]
    fn a_full_subscribe_is_read() {
        let text = r#"{"id":"a","method":"subscribe","params":{"topics":["price.>"],"mode":"every",
            "filter":"true","fields":["price"],"min_change":{"field":"price","bps":10},
            "trigger":"edge","snapshot":false,"status":false,
            "resume":{"epoch":"e","seq":{"price.A-B":4,"price.C-D":{"epoch":"f","seq":5}}}}}"#;
        let request = parse(text).unwrap();
        assert_eq!(request.id, RequestId::Text("a".into()));
        let Command::Subscribe(subscribe) = request.command else { panic!() };
        assert_eq!((subscribe.mode, subscribe.trigger), (Mode::Every, Trigger::Edge));
        assert!(!subscribe.snapshot && !subscribe.status);
    }

    #[test]
    fn what_is_absent_takes_the_documented_default() {
        let request =
            parse(r#"{"id":1,"method":"subscribe","params":{"topics":["price.A-B"]}}"#).unwrap();
        let Command::Subscribe(subscribe) = request.command else { panic!() };
        assert_eq!((subscribe.mode, subscribe.trigger), (Mode::Latest, Trigger::Level));
        assert!(subscribe.snapshot && subscribe.status && subscribe.resume.is_none());
    }

    #[test]
    fn what_is_wrong_gets_its_code_and_its_id_where_that_can_be_read() {
        use RequestId::{Int, Text, Unknown};
        let long = format!(r#"{{"id":"{}","method":"ping"}}"#, "x".repeat(65));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let cases = [
            ("", Unknown, "bad_json"),
            ("{", Unknown, "bad_json"),
            ("\u{feff}{}", Unknown, "bad_json"),
            ("{\"id\":1} x", Unknown, "bad_json"),
            ("NaN", Unknown, "bad_json"),
            (&deep, Unknown, "bad_request"),
            ("[]", Unknown, "bad_request"),
            ("5", Unknown, "bad_request"),
            ("null", Unknown, "bad_request"),
            ("{}", Unknown, "bad_request"),
            (r#"{"id":1,"id":2,"method":"ping"}"#, Unknown, "bad_request"),
            (r#"{"id":{},"method":"ping"}"#, Unknown, "bad_request"),
            (r#"{"id":1.5,"method":"ping"}"#, Unknown, "bad_request"),
            (&long, Unknown, "bad_request"),
            (r#"{"id":7}"#, Int(7), "bad_request"),
            (r#"{"id":7,"method":"drop"}"#, Int(7), "unknown_method"),
            (r#"{"id":7,"method":"subscribe"}"#, Int(7), "bad_request"),
            (r#"{"id":7,"method":"subscribe","params":{}}"#, Int(7), "bad_request"),
            (r#"{"id":7,"method":"subscribe","params":{"topics":"a"}}"#, Int(7), "bad_request"),
            (
                r#"{"id":7,"method":"subscribe","params":{"topics":["a"],"mod":"every"}}"#,
                Int(7),
                "bad_request",
            ),
            (
                r#"{"id":"q","method":"subscribe","params":{"topics":["a"],"mode":"all"}}"#,
                Text("q".into()),
                "bad_request",
            ),
            (r#"{"id":7,"method":"ping","params":{"x":1}}"#, Int(7), "bad_request"),
            (r#"{"id":7,"method":"ping","filter":"x"}"#, Unknown, "bad_request"),
        ];
        for (text, id, code) in cases {
            assert_eq!(error(text), (id, code), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_never_echoes_much(text in ".{0,300}") {
            if let Err(unreadable) = parse(&text) {
                prop_assert!(unreadable.error.message.len() < 1000);
            }
        }
    }
}
