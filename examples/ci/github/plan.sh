#!/usr/bin/env bash
# Plans, and keeps one comment on the pull request up to date. Changes are no failure.
set -euo pipefail
here=$(dirname "$0")
out=$RUNNER_TEMP/stargate-plan
mkdir -p "$out"

code=0
"$here/../session.sh" stargate plan --topology "$TOPOLOGY" --detailed-exitcode \
  --format markdown --out "$out/plan.json" >"$out/plan.md" || code=$?
if [ ! -s "$out/plan.md" ]; then
  printf '### stargate plan ended with exit code %s\n\nSee the log of the job.\n' "$code" >"$out/plan.md"
fi
digest=
case $code in
  0 | 2) digest=$(sha256sum <"$out/plan.json" | cut -d ' ' -f 1) ;;
  *) rm -f "$out/plan.json" ;; # It must not be applied.
esac
printf 'exit-code=%s\ndigest=%s\n' "$code" "$digest" >>"$GITHUB_OUTPUT"
cat "$out/plan.md" >>"$GITHUB_STEP_SUMMARY"

if [ -n "$PULL_REQUEST" ]; then
  {
    printf '<!-- stargate plan %s -->\n<!-- commit=%s sha256=%s -->\n' "$TOPOLOGY" "$HEAD_SHA" "$digest"
    cat "$out/plan.md"
    if [ -n "$digest" ]; then
      printf '\nPlan of commit %s, sha256:%s. The merge applies these changes and no others.\n' \
        "$HEAD_SHA" "$digest"
    fi
  } >"$out/comment.md"
  "$here/comment.sh" "$PULL_REQUEST" "$out/comment.md"
fi
case $code in
  0 | 2) ;;
  *) exit "$code" ;;
esac
