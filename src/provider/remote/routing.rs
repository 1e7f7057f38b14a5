//! The names and numbers of stargate's routes and rules on hosts.

use crate::resource::host::KernelRoute;

/// The device of Tailscale's tunnel.
pub const TUNNEL_DEVICE: &str = "tailscale0";
/// The priority of stargate's rules: before Tailscale's first one, 5210, and so before its table 52
/// at 5270.
pub const RULE_PRIORITY: u32 = 5_200;
/// The metric of stargate's unreachable routes: any other route to the same prefix is preferred.
pub const UNREACHABLE_METRIC: u32 = KernelRoute::UNREACHABLE_METRIC;
