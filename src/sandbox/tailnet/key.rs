//! Auth keys: shown once, good once.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The longest life of a key, which is also its life if none is asked for.
pub(super) const MAX_LIFE: i64 = 90 * 24 * 3600;

/// An auth key. The sandbox keeps only a digest of the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthKey {
    /// Its id, which is no secret.
    pub id: String,
    pub(super) digest: String,
    /// What it is for, in words.
    pub description: String,
    /// Tags of the devices that it brings in.
    pub tags: Vec<String>,
    /// Whether it brings in more than one device.
    pub reusable: bool,
    /// Whether its devices vanish when they disconnect.
    pub ephemeral: bool,
    /// Whether its devices need no approval.
    pub preauthorized: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was taken back.
    pub revoked: Option<Timestamp>,
    /// Whether a device came in with it.
    pub used: bool,
}

impl AuthKey {
    pub(super) fn asked(body: &Value, id: String, secret: &str, now: Timestamp) -> Option<Self> {
        let devices = body.pointer("/capabilities/devices")?;
        let create = &devices["create"];
        let is_set = |name: &str| create[name].as_bool().unwrap_or(false);
        let seconds = match body["expirySeconds"].as_i64() {
            Some(seconds) if seconds > 0 => seconds.min(MAX_LIFE),
            _ => MAX_LIFE,
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

    /// Whether a device may come in with it.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && now < self.expires && (self.reusable || !self.used)
    }

    /// The key as the API shows it, never with its secret.
    pub(super) fn show(&self, now: Timestamp) -> Value {
        let mut shown = json!({
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
            shown["revoked"] = json!(revoked.to_string());
        }
        shown
    }
}

/// What is kept of a secret.
pub(super) fn digest(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
