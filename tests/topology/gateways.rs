//! Gateways of machines that are not on their router's segment.

use stargate::diagnostics::{Code, Severity};
use stargate::topology::load::load_text;

const TWO_DATACENTERS: &str = include_str!("../e2e/two_datacenters.toml");

fn edited(router: &str, worker: &str) -> String {
    TWO_DATACENTERS
        .replace("ip = \"10.60.0.4\"", &format!("ip = \"10.60.0.4\"\n{router}"))
        .replace("ip = \"10.60.1.6\"", &format!("ip = \"10.60.1.6\"\n{worker}"))
}

fn codes(text: &str) -> Vec<Code> {
    match load_text("stargate.toml", text) {
        Ok(_) => Vec::new(),
        Err(found) => {
            let errors = found.list.iter().filter(|it| it.severity == Severity::Error);
            errors.map(|diagnostic| diagnostic.code).collect()
        }
    }
}

#[test]
fn a_gateway_is_an_address_of_the_network_that_no_machine_has() {
    let router = "gateway = \"10.60.0.1\"";
    assert_eq!(codes(&edited(router, "gateway = \"10.60.1.1\"")), []);
    for (worker, code) in [
        ("gateway = \"10.61.1.1\"", Code::AddressOutsideSubnet),
        ("gateway = \"10.60.0.4\"", Code::DuplicateAddress),
        ("gateway = \"10.60.1.5\"", Code::DuplicateAddress),
        ("gateway = \"10.60.1\"", Code::InvalidAddress),
    ] {
        assert_eq!(codes(&edited(router, worker)), [code], "{worker}");
    }
}

#[test]
fn the_router_needs_a_gateway_to_such_workers() {
    assert_eq!(codes(&edited("", "gateway = \"10.60.1.1\"")), [Code::MissingMachineFact]);
}

#[test]
fn machines_in_azure_have_no_gateway() {
    let text = TWO_DATACENTERS
        .replace("name = \"cloud-a\"", "name = \"cloud-a\"\ngateway = \"10.50.1.1\"");
    assert_eq!(codes(&text), [Code::KeyNotForKind]);
}
