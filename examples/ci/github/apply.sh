#!/usr/bin/env bash
# Applies exactly the plan that was reviewed on the pull request of this commit, or the plan
# of this run (PLAN_DIGEST), and reports the result on the pull request.
set -euo pipefail
here=$(dirname "$0")
out=$RUNNER_TEMP/stargate-apply
mkdir -p "$out"

fail() {
  printf '::error::%s\n' "$*"
  exit 1
}

number=
if [ -n "$PLAN_DIGEST" ]; then
  commit=$GITHUB_SHA digest=$PLAN_DIGEST run=$GITHUB_RUN_ID
else
  pull=$(gh api "repos/$GITHUB_REPOSITORY/commits/$GITHUB_SHA/pulls" --jq '[.[]
    | select(.merged_at != null and .base.ref == env.GITHUB_REF_NAME)][0]
    | select(. != null) | "\(.number) \(.head.sha)"')
  [ -n "$pull" ] || fail "No pull request brought commit $GITHUB_SHA: there is no reviewed plan. Run the workflow by hand to plan and apply it."
  read -r number commit <<<"$pull"
  marker="<!-- stargate plan $TOPOLOGY -->"
  export marker
  record=$(gh api --paginate "repos/$GITHUB_REPOSITORY/issues/$number/comments" --jq '.[]
    | select(.user.login == "github-actions[bot]" and (.body | startswith(env.marker)))
    | .body | split("\n")[1]' | sed -n 1p)
  digest=${record#"<!-- commit=$commit sha256="}
  digest=${digest%" -->"}
  run=$(gh api "repos/$GITHUB_REPOSITORY/actions/runs?head_sha=$commit&event=pull_request&status=success" \
    --jq '[.workflow_runs[] | select(.path == env.PLAN_WORKFLOW)][0].id // empty')
fi
[[ $digest =~ ^[0-9a-f]{64}$ ]] || fail "The pull request has no plan of commit $commit that can be applied."
[ -n "$run" ] || fail "No successful run of $PLAN_WORKFLOW planned commit $commit."
gh run download "$run" --repo "$GITHUB_REPOSITORY" --name "stargate-plan-$commit" --dir "$out"
echo "$digest  $out/plan.json" | sha256sum --check --quiet ||
  fail "The saved plan of commit $commit is not the one that was reviewed."

code=0
"$here/../session.sh" stargate apply --topology "$TOPOLOGY" "$out/plan.json" 2>"$out/log" || code=$?
cat "$out/log" >&2
case $code in
  0) result='Applied' ;;
  3) result='Applied in part: run the job again to continue' ;;
  4) result='Not applied: the plan is stale' ;;
  5) result='Not applied: the changes are blocked' ;;
  *) result="The apply failed with exit code $code" ;;
esac
{
  printf '<!-- stargate apply %s -->\n### %s\n\n' "$TOPOLOGY" "$result"
  printf 'Plan of commit %s, sha256:%s.\n\n' "$commit" "$digest"
  if [ "$code" = 4 ]; then
    printf 'The infrastructure or the topology changed after the review. Nothing was changed by this job. Run the workflow by hand for a new plan and its approval.\n\n'
  fi
  # An indented block: nothing in the log ends it.
  tail -c 20000 "$out/log" | sed 's/^/    /'
} >"$out/result.md"
tail -n +2 "$out/result.md" >>"$GITHUB_STEP_SUMMARY"
printf 'exit-code=%s\n' "$code" >>"$GITHUB_OUTPUT"
[ -z "$number" ] || "$here/comment.sh" "$number" "$out/result.md"
exit "$code"
