#!/usr/bin/env bash
# comment.sh NUMBER FILE: writes the comment of this job on a pull request. There is one for
# each first line of FILE: a second call replaces it.
set -euo pipefail
number=$1 file=$2
marker=$(head -n 1 "$file")
export marker

comments=repos/$GITHUB_REPOSITORY/issues/$number/comments
id=$(gh api --paginate "$comments" --jq '.[] | select(.user.login == "github-actions[bot]"
  and (.body | startswith(env.marker))) | .id' | sed -n 1p)
if [ -n "$id" ]; then
  gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" --field "body=@$file"
else
  gh api --silent --method POST "$comments" --field "body=@$file"
fi
