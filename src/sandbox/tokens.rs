//! Authentication with bootstrap tokens, which are Secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::kubernetes::{KubernetesStore, UserInfo};

/// The user that a valid bootstrap token authenticates.
pub(crate) fn user(store: &KubernetesStore, token: &str, now: Timestamp) -> Option<UserInfo> {
    let (id, secret) = token.split_once('.')?;
    let name = format!("bootstrap-token-{id}");
    let object = store.get("v1", "Secret", Some("kube-system"), &name)?;
    let field = |key: &str| field(object, key);
    let good = object["type"] == "bootstrap.kubernetes.io/token"
        && field("token-id").as_deref() == Some(id)
        && field("token-secret").as_deref() == Some(secret)
        && field("usage-bootstrap-authentication").as_deref() == Some("true");
    let ended = field("expiration")
        .is_some_and(|end| end.parse::<Timestamp>().map_or(true, |end| end <= now));
    if !good || ended {
        return None;
    }
    let mut groups = vec!["system:bootstrappers".to_owned(), "system:authenticated".to_owned()];
    let extra = field("auth-extra-groups").unwrap_or_default();
    let extra =
        extra.split(',').map(str::trim).filter(|it| it.starts_with("system:bootstrappers:"));
    groups.extend(extra.map(str::to_owned));
    Some(UserInfo { name: format!("system:bootstrap:{id}"), groups })
}

fn field(secret: &Value, key: &str) -> Option<String> {
    if let Some(plain) = secret.pointer("/stringData").and_then(|data| data.get(key)) {
        return plain.as_str().map(str::to_owned);
    }
    let encoded = secret.pointer("/data")?.get(key)?.as_str()?;
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}
