#!/usr/bin/env bash
# Reports drift: as SARIF for code scanning, or in one issue that is closed when there is no
# drift any more. Drift that an apply corrects (2) is no failure of the job.
set -euo pipefail
here=$(dirname "$0")
out=$RUNNER_TEMP/stargate-drift
mkdir -p "$out"

issue() { # issue: the number of the open issue of this topology
  gh api --paginate "repos/$GITHUB_REPOSITORY/issues?state=open&labels=stargate-drift" --jq '.[]
    | select(.body | startswith(env.marker)) | .number' | sed -n 1p
}

report_issue() {
  local number
  number=$(issue)
  if [ -n "$number" ]; then
    gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/$number" --field "body=@$out/issue.md"
  else
    gh api --silent --method POST "repos/$GITHUB_REPOSITORY/issues" --field "body=@$out/issue.md" \
      --raw-field "title=Drift of $TOPOLOGY" --raw-field 'labels[]=stargate-drift'
  fi
}

close_issue() {
  local number
  number=$(issue)
  [ -z "$number" ] || gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/$number" \
    --raw-field state=closed --raw-field state_reason=completed
}

code=0
case $DRIFT_REPORT in
  code-scanning) format=sarif report=$out/drift.sarif ;;
  *) format=markdown report=$out/drift.md ;;
esac
"$here/../session.sh" stargate drift --topology "$TOPOLOGY" --format "$format" >"$report" || code=$?
printf 'exit-code=%s\n' "$code" >>"$GITHUB_OUTPUT"
if [ "$format" = markdown ]; then
  cat "$report" >>"$GITHUB_STEP_SUMMARY"
  marker="<!-- stargate drift $TOPOLOGY -->"
  export marker
  { echo "$marker"; cat "$report"; } >"$out/issue.md"
  case $code in
    0) close_issue ;;
    2 | 5) report_issue ;;
  esac
fi
case $code in
  0 | 2) ;;
  *) exit "$code" ;;
esac
