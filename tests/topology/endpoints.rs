//! Clouds and the endpoints of services.

use stargate::diagnostics::Code;
use stargate::resource::settings::AzureCloud;
use stargate::topology::load::load_text;

use super::bad_input::{GOOD, only};

/// The topology with lines after the region and in the table of the tailnet.
fn with(azure: &str, tailnet: &str) -> String {
    let location = "location = \"canadacentral\"";
    let text = GOOD.replacen(location, &format!("{location}\n{azure}"), 1);
    text.replacen("[tailnet]\n", &format!("[tailnet]\n{tailnet}\n"), 1)
}

#[test]
fn clouds_and_endpoints_are_read() {
    let azure = "cloud = \"usgovernment\"\nendpoints.resource_manager = \"https://arm.example/\"";
    let text = with(azure, "api = \"https://headscale.example\"");
    let topology = load_text("stargate.toml", &text).unwrap().topology;
    assert_eq!(topology.azure.cloud, Some(AzureCloud::UsGovernment));
    let endpoints = &topology.azure.endpoints;
    assert_eq!(endpoints.resource_manager.as_deref(), Some("https://arm.example"));
    assert_eq!(endpoints.authority, None);
    assert_eq!(topology.tailnet.api.as_deref(), Some("https://headscale.example"));
    let topology = load_text("stargate.toml", GOOD).unwrap().topology;
    assert_eq!((topology.azure.cloud, topology.tailnet.api), (None, None));
}

#[test]
fn other_clouds_and_urls_are_refused() {
    for (azure, tailnet, code) in [
        ("cloud = \"germany\"", "", Code::UnknownValue),
        ("endpoints.authority = \"https://login.example/tenant\"", "", Code::InvalidUrl),
        ("endpoints.resource_manager = \"http://arm.example\"", "", Code::InvalidUrl),
        ("endpoints.audience = \"two words\"", "", Code::InvalidUrl),
        ("", "api = \"headscale.example\"", Code::InvalidUrl),
    ] {
        only(&with(azure, tailnet), code);
    }
}
