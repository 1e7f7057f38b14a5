//! The configuration of containerd.

/// The image of the container that holds a pod's namespaces. Microsoft's registry serves it without
/// authentication.
macro_rules! pause_image {
    () => {
        "mcr.microsoft.com/oss/v2/kubernetes/pause:3.10.2"
    };
}

/// For containerd 1.x.
pub(super) const VERSION_1: &str = concat!(
    r#"version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ""#,
    pause_image!(),
    r#""

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"

[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = true

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
"#
);

/// For containerd 2.x, whose format and names differ. Its default CNI folders are those of version
/// 1; the key that names them changed in 2.1.
pub(super) const VERSION_2: &str = concat!(
    r#"version = 3

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = ""#,
    pause_image!(),
    r#""

[plugins."io.containerd.cri.v1.images".registry]
  config_path = "/etc/containerd/certs.d"

[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = true
"#
);

/// The configuration for a version such as `1.7.34`.
pub(super) fn of_version(version: &str) -> &'static str {
    if version.starts_with("1.") { VERSION_1 } else { VERSION_2 }
}
