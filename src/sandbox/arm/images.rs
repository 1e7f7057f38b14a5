//! Images of the marketplace.

use http::StatusCode;
use serde_json::{Value, json};

use super::errors::ArmError;

/// The version of every image.
pub(super) const IMAGE_VERSION: &str = "24.04.202511100";

/// Publisher, offer, SKU and architecture. Source: `az vm image list --publisher Canonical --all`.
const IMAGES: [(&str, &str, &str, &str); 6] = [
    ("Canonical", "ubuntu-24_04-lts", "server", "x64"),
    ("Canonical", "ubuntu-24_04-lts", "server-gen1", "x64"),
    ("Canonical", "ubuntu-24_04-lts", "server-arm64", "Arm64"),
    ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts", "x64"),
    ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", "x64"),
    ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-arm64", "Arm64"),
];

/// The versions of an image, which is named by region, publisher, offer and SKU. The answer is an
/// array, unlike other lists.
pub(super) fn versions(subscription: &str, path: &[String]) -> Result<Value, ArmError> {
    let found = find(path)?;
    let region = path.first().map_or("", String::as_str);
    Ok(json!([{
        "id": id(subscription, region, found, IMAGE_VERSION),
        "name": IMAGE_VERSION,
        "location": region,
    }]))
}

/// One version of an image.
pub(super) fn image(subscription: &str, path: &[String], version: &str) -> Result<Value, ArmError> {
    let found = find(path)?;
    if version != IMAGE_VERSION {
        return Err(not_found());
    }
    let region = path.first().map_or("", String::as_str);
    let generation = if found.2.ends_with("gen1") || found.2 == "22_04-lts" { "V1" } else { "V2" };
    Ok(json!({
        "id": id(subscription, region, found, version),
        "name": version,
        "location": region,
        "properties": {
            "hyperVGeneration": generation,
            "architecture": found.3,
            "osDiskImage": { "operatingSystem": "Linux", "sizeInGb": 30 },
            "dataDiskImages": [],
            "automaticOSUpgradeProperties": { "automaticOSUpgradeSupported": true },
            "features": [],
        },
    }))
}

type Image = (&'static str, &'static str, &'static str, &'static str);

fn find(path: &[String]) -> Result<Image, ArmError> {
    let [_, publisher, offer, sku] = path else { return Err(not_found()) };
    let is_it = |image: &Image| {
        image.0.eq_ignore_ascii_case(publisher)
            && image.1.eq_ignore_ascii_case(offer)
            && image.2.eq_ignore_ascii_case(sku)
    };
    IMAGES.into_iter().find(is_it).ok_or_else(not_found)
}

fn not_found() -> ArmError {
    ArmError::new(StatusCode::NOT_FOUND, "NotFound", "Artifact: VMImage was not found.")
}

fn id(
    subscription: &str,
    region: &str,
    (publisher, offer, sku, _): Image,
    version: &str,
) -> String {
    format!(
        "/Subscriptions/{subscription}/Providers/Microsoft.Compute/Locations/{region}/Publishers/\
         {publisher}/ArtifactTypes/VMImage/Offers/{offer}/Skus/{sku}/Versions/{version}"
    )
}

#[cfg(test)]
mod tests {
    use crate::sandbox::arm::test_client::TestClient;

    #[test]
    fn versions_of_an_image_are_an_array_and_unknown_images_are_not_found() {
        let mut client = TestClient::new();
        let skus = "/subscriptions/s/providers/Microsoft.Compute/locations/westeurope/publishers/\
                    Canonical/artifacttypes/vmimage/offers/ubuntu-24_04-lts/skus";
        let versions = client.get(&format!("{skus}/server/versions?$top=1")).body;
        let version = versions[0]["name"].as_str().unwrap();
        let image = client.get(&format!("{skus}/server/versions/{version}")).body;
        assert_eq!(image["properties"]["osDiskImage"]["operatingSystem"], "Linux");
        for path in [format!("{skus}/desktop/versions"), format!("{skus}/server/versions/1.0.0")] {
            assert_eq!(client.get(&path).refusal(), (404, "NotFound"));
        }
    }
}
