//! What the answers look like, for the documents.

use schemars::{Schema, SchemaGenerator};

use super::commands::{Pong, Rows, SnapshotsPage, Subscriptions, TopicsPage};
use crate::{
    delivery::{Replayed, SnapshotRow, SubscribeRow, SubscriptionRow, TopicRow, UnsubscribeRow},
    protocol::command::Method,
};

/// The shape of `result` in the answer to a method; none where there is never a result.
pub fn result(method: Method, shapes: &mut SchemaGenerator) -> Option<Schema> {
    Some(match method {
        Method::Subscribe => shapes.subschema_for::<Rows<'_, SubscribeRow>>(),
        Method::Unsubscribe => shapes.subschema_for::<Rows<'_, UnsubscribeRow>>(),
        Method::Subscriptions => shapes.subschema_for::<Subscriptions<SubscriptionRow>>(),
        Method::Topics => shapes.subschema_for::<TopicsPage<TopicRow>>(),
        Method::Snapshot => shapes.subschema_for::<SnapshotsPage<SnapshotRow>>(),
        Method::Replay => shapes.subschema_for::<Replayed>(),
        Method::Ping => shapes.subschema_for::<Pong>(),
        // Until there are keys, every token is refused.
        Method::Auth => return None,
    })
}
