mod breaks;
mod equivalence;
mod laws;
mod many_hosts;
mod nameless;
mod tables;
pub(crate) mod test_network;
