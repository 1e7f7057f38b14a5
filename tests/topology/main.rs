//! The topology file: errors, follow-up errors and the schema.

mod bad_input;
mod changes;
mod endpoints;
mod follow_ups;
mod gateways;
mod messages;
mod rollout;
mod schema;
mod versions;
