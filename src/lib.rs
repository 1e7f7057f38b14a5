//! Stargate plans, applies and checks an AKS cluster whose workers live in other
//! datacenters, joined by Tailscale subnet routers.

pub mod provider;
pub mod resource;
pub mod sandbox;
pub mod topology;
