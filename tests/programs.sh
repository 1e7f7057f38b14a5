# shellcheck shell=bash
# Programs that tests need: installed from Debian, or built once from Go modules.
# Sourced by the tests' `run`.

# Debian installs administration tools here.
export PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s\n' "$*" >&2; }

skip() {
  say "skipped: $*"
  exit 0
}

need_root() { # need_root ACTIVITY
  if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then skip "$1 needs root on Linux"; fi
}

need() { # need COMMAND PACKAGE: installs a Debian package if its command is missing
  command -v "$1" >/dev/null && return 0
  if command -v apt-get >/dev/null; then
    # RUNLEVEL=1 keeps packages from starting their services on this machine.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    apt-get -qq install --no-install-recommends "$2" >/dev/null 2>&1 ||
      { apt-get -qq update >/dev/null 2>&1 &&
        apt-get -qq install --no-install-recommends "$2" >/dev/null 2>&1; } || true
  fi
  command -v "$1" >/dev/null || skip "$1 is missing and cannot be installed"
}

# go_programs CACHE MODULE COMMAND…: prints the folder with the programs that
# `COMMAND… FOLDER` builds from the Go module, or fails with a message. They are built
# again only if the module or Go changes.
go_programs() {
  local cache=$1 module=$2 key folder new log
  shift 2
  if ! command -v go >/dev/null; then
    say "skipped: building $module needs Go"
    return 1
  fi
  key=$({ (cd "$module" && go version); find "$module" \( -name '*.go' -o -name 'go.*' \) -print0 | sort -z | xargs -0 cat; } |
    sha256sum | cut -c 1-16)
  folder=$cache/$key
  if [ ! -d "$folder" ]; then
    say "building the programs of $module once, which takes some minutes"
    # It is renamed when it is complete, so an interrupted run leaves none.
    mkdir -p "$cache" && new=$(mktemp -d "$cache/new.XXXXXX") || return 1
    log=$(mktemp)
    if ! "$@" "$new" >"$log" 2>&1; then
      say "skipped: $module cannot be built here: $(tail -n 1 "$log")"
      rm -rf "$new" "$log"
      return 1
    fi
    rm -f "$log"
    mv -T "$new" "$folder" 2>/dev/null || rm -rf "$new"
  fi
  printf '%s\n' "$folder"
}

build_kubernetes() { # build_kubernetes FOLDER: Kubernetes' programs, with their version
  local version minor package=k8s.io/component-base/version
  version=$(go list -C tests/kubernetes/tools -m -f '{{.Version}}' k8s.io/kubernetes) || return 1
  minor=${version#v1.}
  go_build tests/kubernetes/tools "$1" \
    "-X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}" \
    k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager
}

go_build() { # go_build MODULE FOLDER STAMPS PACKAGE…
  local module=$1 folder=$2 stamps=$3
  shift 3
  CGO_ENABLED=0 go build -C "$module" -mod=readonly -buildvcs=false -trimpath \
    -ldflags "-s -w $stamps" -o "$folder/" "$@"
}
