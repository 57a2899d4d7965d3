#!/usr/bin/env bash
# Tries a deployment out: a suite of some tasks with both hooks, and with --independent one task of no suite.
# Ends with 0 when every one of them completed, and says what was missing otherwise. It leaves no work behind.
#
# Usage: smoke-test.sh [--group NAME] [--tag TAG]... [--tasks N] [--independent] [--timeout SECONDS]
#
# It finds the coordinator as every `mitosis` command does (docs/user-guide/cli.md), and needs the role Member in the
# group. A manager with the tags, or with --independent a worker, must be there. Needs jq.
set -euo pipefail

group=default tasks=100 timeout=120 independent=
tags=()
while [ $# -gt 0 ]; do
  case $1 in
    --group) group=${2:?} && shift 2 ;;
    --tag) tags+=(--tag "${2:?}") && shift 2 ;;
    --tasks) tasks=${2:?} && shift 2 ;;
    --timeout) timeout=${2:?} && shift 2 ;;
    --independent) independent=yes && shift ;;
    *) sed -n '5p' "$0" | cut -c3- >&2 && exit 2 ;;
  esac
done
suite='' task=''
work=$(mktemp -d)

# Whatever did not end is cancelled, so that a failed try is no load for the next one.
finish() {
  local code=$?
  if [ -n "$suite" ]; then mitosis suites cancel "$suite" --running >/dev/null || true; fi
  if [ -n "$task" ]; then mitosis tasks cancel "$task" >/dev/null || true; fi
  rm -rf "$work"
  [ "$code" -eq 0 ] || echo "FAILED" >&2
}
trap finish EXIT

fail() {
  echo "$1" >&2
  exit 1
}

seq 1 "$tasks" | sed 's/.*/{"command": "cat", "payload": {"n": &}}/' >"$work/tasks.jsonl"

suite=$(mitosis suites create --group "$group" --name smoke-test --label smoke-test "${tags[@]}" \
  --prepare 'echo prepared' --cleanup 'echo cleaned up')
mitosis suites submit "$suite" --file "$work/tasks.jsonl" --close
if ! mitosis suites wait "$suite" --released --timeout "$timeout"; then
  mitosis explain "$suite" >&2 || true
  fail "the suite did not complete within $timeout s"
fi
mitosis suites show "$suite" --json >"$work/suite.json"
jq --exit-status ".completed_tasks == $tasks" "$work/suite.json" >/dev/null || fail "results are missing"
jq --exit-status '[.hook_runs[] | select(.result == "Success") | .hook_type] | unique | length == 2' \
  "$work/suite.json" >/dev/null || fail "a hook did not succeed"
ended=$suite suite=
echo "ok $tasks tasks of suite $ended"

if [ -n "$independent" ]; then
  task=$(mitosis tasks submit --group "$group" "${tags[@]}" --command cat --payload '"smoke-test"' --json | jq -r .task_uuid)
  deadline=$((SECONDS + timeout))
  while state=$(mitosis tasks show "$task" --json | jq -r .state) && [ "$state" != Completed ]; do
    if [ "$state" = Failed ] || [ "$state" = Cancelled ] || [ "$SECONDS" -ge "$deadline" ]; then
      mitosis explain "$task" >&2 || true
      fail "task $task of no suite is $state"
    fi
    sleep 0.5
  done
  echo "ok task $task of no suite"
  task=
fi
