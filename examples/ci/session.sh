#!/usr/bin/env bash
# Runs a command, such as `session.sh stargate plan`, with credentials that end with it:
# - an OIDC token of the CI job, which Azure accepts for a federated credential
#   (AZURE_CLIENT_ID, AZURE_TENANT_ID, AZURE_SUBSCRIPTION_ID);
# - if TAILSCALE_CLIENT_ID names a federated identity of the tailnet: a Tailscale API
#   token, and a userspace tailnet for SSH, with the tags of TAILSCALE_TAGS;
# - if STARGATE_SSH_KEY_SECRET is the URL of a Key Vault secret: the SSH key in it.
# AZURE_AUTHORITY_HOST and TAILSCALE_BASE_URL replace the public services, as for stargate.
# Only the output of the command is written to stdout. The exit code is that of the command.
set -euo pipefail
umask 077

authority=${AZURE_AUTHORITY_HOST:-https://login.microsoftonline.com}
authority=${authority%/}
case $authority in
  https://*.us) azure_audience=api://AzureADTokenExchangeUSGov ;;
  https://*.cn) azure_audience=api://AzureADTokenExchangeChina ;;
  *) azure_audience=api://AzureADTokenExchange ;;
esac
tailscale_api=${TAILSCALE_BASE_URL:-https://api.tailscale.com}
tailscale_api=${tailscale_api%/}/api/v2
work=$(mktemp -d)
started=()

stop() {
  if [ -S "$work/tailscaled.sock" ]; then
    tailscale --socket="$work/tailscaled.sock" logout >/dev/null 2>&1 || true
  fi
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf -- "$work"
}
trap stop EXIT

fail() {
  printf 'session.sh: %s\n' "$*" >&2
  exit 1
}

request() { curl --fail-with-body --silent --show-error --retry 3 "$@"; }
bearer() { printf 'Authorization: Bearer %s\n' "$1"; }
# field FILTER: a field of the JSON answer on stdin; without it, the reason of the service.
field() {
  local answer value
  answer=$(cat)
  value=$(jq -er "$1 // empty" <<<"$answer" 2>/dev/null) || value=
  if [ -z "$value" ]; then
    value=$(jq -r '.error_description? // .error.message? // .message? // .error?' <<<"$answer" 2>/dev/null) || value=
    printf 'session.sh: no %s in the answer: %s\n' "$1" "${value:-it is not JSON}" >&2
    return 1
  fi
  printf '%s' "$value"
}
mask() { [ -z "${GITHUB_ACTIONS:-}" ] || printf '::add-mask::%s\n' "$1" >&2; }

# id_token AUDIENCE GITLAB_TOKEN: prints an OIDC token of this job. GitLab made it before
# the job began; Azure DevOps has one audience for all.
id_token() {
  if [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ]; then
    request --header @<(bearer "$ACTIONS_ID_TOKEN_REQUEST_TOKEN") \
      "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$(jq -rn --arg it "$1" '$it | @uri')" | field .value
  elif [ -n "${SYSTEM_OIDCREQUESTURI:-}" ]; then
    request --header @<(bearer "$SYSTEM_ACCESSTOKEN") --header 'Content-Type: application/json' \
      --data '' "$SYSTEM_OIDCREQUESTURI?api-version=7.1&serviceConnectionId=$AZURESUBSCRIPTION_SERVICE_CONNECTION_ID" |
      field .oidcToken
  elif [ -n "$2" ]; then
    printf '%s' "$2"
  else
    fail "this job has no OIDC token: the template sets the permission for one"
  fi
}

write_azure_token() {
  # The token in use stays if there is no new one.
  id_token "$azure_audience" "${AZURE_ID_TOKEN:-}" >"$work/azure-token.new" &&
    mv "$work/azure-token.new" "$work/azure-token"
}

# Tokens of GitHub and Azure DevOps last for minutes; an apply may take longer.
keep_azure_token() {
  # Nothing is written to the pipe: the shell waits without a child that could outlive it.
  mkfifo "$work/pause"
  exec 9<>"$work/pause"
  while :; do
    read -r -t 240 -u 9 _ || true
    write_azure_token || true
  done
}

sign_in_to_azure() {
  write_azure_token
  export AZURE_FEDERATED_TOKEN_FILE=$work/azure-token
  if [ -z "${AZURE_ID_TOKEN:-}" ]; then
    keep_azure_token </dev/null >/dev/null 2>&1 &
    started+=($!)
  fi
}

read_ssh_key() {
  local token vault
  # Each cloud has its own domain for vaults, which is the scope of the token.
  vault=${STARGATE_SSH_KEY_SECRET#https://}
  vault=${vault%%/*}
  token=$(request \
    --data-urlencode grant_type=client_credentials \
    --data-urlencode "client_id=$AZURE_CLIENT_ID" \
    --data-urlencode "scope=https://${vault#*.}/.default" \
    --data-urlencode client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
    --data-urlencode "client_assertion@$work/azure-token" \
    "$authority/$AZURE_TENANT_ID/oauth2/v2.0/token" | field .access_token)
  mask "$token"
  request --header @<(bearer "$token") "$STARGATE_SSH_KEY_SECRET?api-version=7.4" |
    field .value >"$work/ssh-key"
  echo >>"$work/ssh-key"
  export STARGATE_SSH_KEY=$work/ssh-key
}

install_tailscale() {
  local architecture archive
  case $(uname -m) in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) fail "no Tailscale for $(uname -m): install it in the image of the job" ;;
  esac
  archive=tailscale_${TAILSCALE_VERSION:?is not set}_$architecture
  request --output "$work/$archive.tgz" "https://pkgs.tailscale.com/stable/$archive.tgz"
  echo "${TAILSCALE_SHA256:?is not set}  $work/$archive.tgz" | sha256sum --check --quiet >&2
  tar -xzf "$work/$archive.tgz" -C "$work"
  PATH=$work/$archive:$PATH
}

join_tailnet() {
  local token tags port=${STARGATE_SOCKS_PORT:-1055}
  id_token "api.tailscale.com/$TAILSCALE_CLIENT_ID" "${TAILSCALE_ID_TOKEN:-}" >"$work/tailscale-token"
  token=$(request --data-urlencode "client_id=$TAILSCALE_CLIENT_ID" \
    --data-urlencode "jwt@$work/tailscale-token" "$tailscale_api/oauth/token-exchange" |
    field .access_token)
  mask "$token"
  export TAILSCALE_API_KEY=$token
  tags=$(jq -cn --arg tags "${TAILSCALE_TAGS:-tag:ci}" '$tags | split(",")')
  jq -cn --argjson tags "$tags" '{expirySeconds: 300, capabilities: {devices: {create:
    {reusable: false, ephemeral: true, preauthorized: true, tags: $tags}}}}' >"$work/key-request"
  request --header @<(bearer "$token") --header 'Content-Type: application/json' \
    --data "@$work/key-request" "$tailscale_api/tailnet/-/keys" | field .key >"$work/auth-key"
  command -v tailscaled >/dev/null || install_tailscale
  tailscaled --tun=userspace-networking --state=mem: --statedir="$work/tailscale" \
    --socket="$work/tailscaled.sock" --socks5-server="127.0.0.1:$port" \
    </dev/null >"$work/tailscaled.log" 2>&1 &
  started+=($!)
  for _ in {1..100}; do
    if [ -S "$work/tailscaled.sock" ]; then break; fi
    sleep 0.1
  done
  tailscale --socket="$work/tailscaled.sock" up --auth-key="file:$work/auth-key" \
    --hostname=stargate-ci --timeout=60s >&2 || {
    cat "$work/tailscaled.log" >&2
    fail "the job could not join the tailnet"
  }
  export STARGATE_SSH_PROXY=socks5://127.0.0.1:$port
}

[ "$#" -gt 0 ] || fail "usage: session.sh COMMAND [ARGUMENT]…"
sign_in_to_azure
[ -z "${STARGATE_SSH_KEY_SECRET:-}" ] || read_ssh_key
[ -z "${TAILSCALE_CLIENT_ID:-}" ] || join_tailnet

# A job that is cancelled ends the command, which finishes its running steps first.
"$@" </dev/null &
command=$!
trap 'kill -TERM "$command" 2>/dev/null' INT TERM
while :; do
  code=0
  wait "$command" || code=$?
  kill -0 "$command" 2>/dev/null || exit "$code"
done
