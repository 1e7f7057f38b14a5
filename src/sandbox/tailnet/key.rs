//! Auth keys: their secret is shown once.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::sandbox::digest::digest;

/// The maximum lifetime of a key, in seconds. It is also the default.
pub(super) const MAX_LIFETIME_SECONDS: i64 = 90 * 24 * 3600;

/// An auth key. The sandbox stores only a digest of the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthKey {
    /// The id, which is not secret.
    pub id: String,
    pub(super) digest: String,
    /// The description.
    pub description: String,
    /// The tags of devices that use the key.
    pub tags: Vec<String>,
    /// Whether the key can register more than one device.
    pub reusable: bool,
    /// Whether devices are deleted when they disconnect.
    pub ephemeral: bool,
    /// Whether devices need no approval.
    pub preauthorized: bool,
    /// When it was created.
    pub created: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// Whether a device was registered with it.
    pub used: bool,
}

impl AuthKey {
    pub(super) fn from_request(
        body: &Value,
        id: String,
        secret: &str,
        now: Timestamp,
    ) -> Option<Self> {
        let devices = body.pointer("/capabilities/devices")?;
        let create = &devices["create"];
        let is_set = |name: &str| create[name].as_bool().unwrap_or(false);
        let seconds = match body["expirySeconds"].as_i64() {
            Some(seconds) if seconds > 0 => seconds.min(MAX_LIFETIME_SECONDS),
            _ => MAX_LIFETIME_SECONDS,
        };
        let tags = create["tags"].as_array().cloned().unwrap_or_default();
        Some(Self {
            id,
            digest: digest(secret),
            description: body["description"].as_str().unwrap_or_default().to_owned(),
            tags: tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect(),
            reusable: is_set("reusable"),
            ephemeral: is_set("ephemeral"),
            preauthorized: is_set("preauthorized"),
            created: now,
            expires: now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now),
            revoked: None,
            used: false,
        })
    }

    /// Whether a device can be registered with it.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && now < self.expires && (self.reusable || !self.used)
    }

    /// The key in the API's format, without its secret.
    pub(super) fn show(&self, now: Timestamp) -> Value {
        let mut rendered = json!({
            "id": self.id,
            "keyType": "auth",
            "description": self.description,
            "created": self.created.to_string(),
            "expires": self.expires.to_string(),
            "expirySeconds": self.expires.duration_since(self.created).as_secs(),
            "invalid": !self.is_valid(now),
            "userId": "",
            "capabilities": { "devices": { "create": {
                "reusable": self.reusable,
                "ephemeral": self.ephemeral,
                "preauthorized": self.preauthorized,
                "tags": self.tags,
            }}},
        });
        if let Some(revoked) = self.revoked {
            rendered["revoked"] = json!(revoked.to_string());
        }
        rendered
    }
}
