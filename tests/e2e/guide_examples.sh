#!/usr/bin/env bash
# Runs every curl example of the user guide against a coordinator and checks each answer. The examples are the guide's
# own lines; replaced are the host, the token, and what stands there for a UUID.
#
# Usage: API=http://127.0.0.1:8080 METRICS=http://127.0.0.1:9090 TOKEN=... guide_examples.sh
#
# It runs a manager from the guide's config.yaml in the working directory; what the guide's tasks run, for they name no
# executor, comes from MITOSIS_WORKER_DEFAULTS__HANDLER in the environment. The suite's preparation needs
# /opt/ml/scripts/setup_training_env.sh, its cleanup ./scripts/cleanup.sh.
set -euo pipefail

: "${API:?}" "${METRICS:?}" "${TOKEN:?}"
MANAGER=${MANAGER:-mitosis-manager}
TASKS=${TASKS:-1000}
USER_TOKEN=$TOKEN
answer=$(mktemp)
manager_pid=
finish() {
  rm -f "$answer"
  if [ -n "$manager_pid" ]; then kill "$manager_pid" 2>/dev/null && wait "$manager_pid" || true; fi
}
trap finish EXIT
# Whoever runs an example as it is printed sees no progress bar.
curl() { command curl --silent --show-error "$@"; }

# Reads an answer from standard input; every jq expression must hold for it.
expect() {
  local what=$1 expression
  shift
  cat >"$answer"
  for expression in "$@"; do
    if ! jq --exit-status "$expression" "$answer" >/dev/null; then
      printf 'FAILED %s: %s does not hold for\n' "$what" "$expression" >&2
      jq . "$answer" >&2 || cat "$answer" >&2
      exit 1
    fi
  done
  echo "ok $what"
}

# Waits until an expression holds for what a path shows.
await() {
  local path=$1 expression=$2
  for _ in {1..600}; do
    if curl "$API$path" -H "Authorization: Bearer $TOKEN" | jq --exit-status "$expression" >/dev/null; then return; fi
    sleep 0.2
  done
  echo "waited in vain for $expression at $path" >&2
  curl "$API$path" -H "Authorization: Bearer $TOKEN" | jq . >&2
  exit 1
}

echo "# The group that the guide takes for granted"
curl -X POST "$API/groups" -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d '{"group_name": "ml-team"}' | expect "create the group" '.group_name == "ml-team"'

echo "# 9.1.2 Manager deployment"
# Register manager (one-time)
curl -X POST $API/managers \
  -H "Authorization: Bearer $USER_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "gpu-node-01",
    "tags": ["gpu", "linux", "cuda:12.0"],
    "group_memberships": [
      {"group_name": "ml-team", "role": "Worker"}
    ]
  }' | jq -r .token > manager-token.txt
jq --raw-input 'split(".")' manager-token.txt | expect "register a manager, keep its token" 'length == 3'

# Query manager status
curl -X GET $API/managers?tags=gpu \
  -H "Authorization: Bearer $TOKEN" |
  expect "query managers by tag" '.managers | length == 1' '.managers[0].name == "gpu-node-01"' \
    '.managers[0].state == "Offline"' '.managers[0].tags == ["gpu", "linux", "cuda:12.0"]'
MANAGER_UUID=$(jq -r '.managers[0].uuid' "$answer")

echo "# 9.1.1 Suite creation"
# Example: Create a suite
curl -X POST $API/suites \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "ML Training Campaign",
    "group_name": "ml-team",
    "description": "October 2024 ResNet training",
    "labels": ["project:resnet", "campaign:oct2024"],
    "tags": ["gpu", "linux", "cuda:12.0"],
    "worker_schedule": {
      "strategy": "Proportional",
      "worker_count": 16,
      "cpu_binding": "RoundRobin"
    },
    "env_preparation": {
      "command": "./scripts/setup_training_env.sh",
      "timeout_seconds": 300,
      "working_directory": "/opt/ml"
    },
    "env_cleanup": {
      "command": "./scripts/cleanup.sh",
      "timeout_seconds": 60
    },
    "auto_close_timeout_seconds": 180
  }' |
  expect "create a suite" '.state == "Queued"' '.group_name == "ml-team"' '.pending_tasks == 0' \
    '.labels == ["project:resnet", "campaign:oct2024"]' '.tags == ["gpu", "linux", "cuda:12.0"]' \
    '.worker_schedule | .strategy == "Proportional" and .worker_count == 16 and .cpu_binding == "RoundRobin"' \
    '.env_preparation | .timeout_seconds == 300 and .working_directory == "/opt/ml"' \
    '.env_cleanup.command == "./scripts/cleanup.sh"' '.auto_close_timeout_seconds == 180' \
    '.uuid | test("^[0-9a-f-]{36}$")' '.created_at | fromdateiso8601? // (sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601)'
SUITE_UUID=$(jq -r .uuid "$answer")

# Submit tasks to the suite
submitted=$(mktemp)
for i in $(seq 1 "$TASKS"); do
  curl -X POST $API/tasks \
    -H "Authorization: Bearer $TOKEN" \
    -H "Content-Type: application/json" \
    -d '{
      "group_name": "ml-team",
      "suite_uuid": "'$SUITE_UUID'",
      "task_spec": {
        "model": "resnet50",
        "batch": '$i',
        "epochs": 10
      }
    }'
done > "$submitted"
jq --slurp . "$submitted" | expect "submit $TASKS tasks" "length == $TASKS" 'all(.state == "Ready")' \
  ".[$TASKS - 1].task_spec.payload == {model: \"resnet50\", batch: $TASKS, epochs: 10}" \
  "[.[].uuid] | unique | length == $TASKS"
rm "$submitted"

# Get suite details
curl -X GET $API/suites/$SUITE_UUID \
  -H "Authorization: Bearer $TOKEN" |
  expect "get the suite" ".total_tasks == $TASKS and .pending_tasks == $TASKS" '.state == "Queued"'

# Refresh tag-matched managers
curl -X POST $API/suites/$SUITE_UUID/managers/refresh \
  -H "Authorization: Bearer $TOKEN" |
  expect "refresh managers" '.managers | length == 1' '.managers[0].selection == "TagMatched"'

echo "# 9.1.2 The manager, from the guide's own configuration"
cat > config.yaml <<END
# config.yaml
coordinator_url: "$API"
websocket_url: "${API/#http/ws}/ws/managers"

manager:
  name: "gpu-node-01"
  tags: ["gpu", "linux", "cuda:12.0", "datacenter:us-west"]
  max_workers: 16
  heartbeat_interval_seconds: 30

groups:
  - name: "ml-team"
    role: "Worker"

logging:
  level: "info"
  file: "/var/log/mitosis-manager.log"
END
# Start manager
$MANAGER \
  --config config.yaml \
  --token-file manager-token.txt &
manager_pid=$!
await "/suites/$SUITE_UUID" ".completed_tasks == $TASKS"

# Query suites with filters
curl -X GET "$API/suites?group_name=ml-team&state=Executing&labels=project:resnet" \
  -H "Authorization: Bearer $TOKEN" |
  expect "query suites with filters" ".suites | length == 1 and .[0].uuid == \"$SUITE_UUID\"" \
    ".suites[0] | .completed_tasks == $TASKS and .failed_tasks == 0 and .pending_tasks == 0"

echo "# 9.1.4 Troubleshooting"
# Check suite status
curl -X GET $API/suites/$SUITE_UUID \
  -H "Authorization: Bearer $TOKEN" | jq |
  expect "check the suite's status" '.state == "Executing"' '.hook_runs[0].result == "Success"' \
    '.eligible_managers[0].assigned'

# List all managers
curl -X GET $API/managers \
  -H "Authorization: Bearer $TOKEN" | jq |
  expect "list all managers" '.managers[0].state == "Executing"' \
    ".managers[0].assigned_suite_uuid == \"$SUITE_UUID\"" '.managers[0].tags | index("datacenter:us-west")'

# Query tasks in a suite
curl -X GET "$API/tasks?suite_uuid=$SUITE_UUID" \
  -H "Authorization: Bearer $TOKEN" | jq |
  expect "query tasks in a suite" '.tasks | length > 0 and all(.state == "Completed")' \
    '.tasks | all(.task_spec.payload.model == "resnet50")' ".tasks | all(.suite_uuid == \"$SUITE_UUID\")"

echo "# 9.1.1 Managing assignments, and cancelling"
# Add specific managers
curl -X POST $API/managers -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d '{"name": "gpu-node-02", "group_memberships": [{"group_name": "ml-team"}]}' |
  expect "register a second manager" '.manager.name == "gpu-node-02"'
SECOND_UUID=$(jq -r .manager.uuid "$answer")
curl -X POST $API/suites/$SUITE_UUID/managers \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "manager_uuids": ["'$MANAGER_UUID'", "'$SECOND_UUID'"]
  }' |
  expect "add managers" '.managers | length == 2 and all(.selection == "UserSpecified")'

# Remove managers
curl -X DELETE $API/suites/$SUITE_UUID/managers \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "manager_uuids": ["'$MANAGER_UUID'"]
  }' |
  expect "remove managers" ".managers | map(.manager_uuid) == [\"$SECOND_UUID\"]"

# Cancel suite and all running tasks
curl -X POST $API/suites/$SUITE_UUID/cancel \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "reason": "User requested cancellation",
    "cancel_running_tasks": true
  }' |
  expect "cancel the suite" '. == {cancelled_task_count: 0, suite_state: "Cancelled"}'
curl "$API/suites/$SUITE_UUID" -H "Authorization: Bearer $TOKEN" |
  expect "the suite is cancelled, its results are kept" '.reason == "User requested cancellation"' \
    ".completed_tasks == $TASKS"

echo "# Appendix"
echo '{"name": "from a file", "group_name": "ml-team", "tags": ["none-has-this"]}' > suite.json
echo '{"name": "gpu-node-03", "group_memberships": [{"group_name": "ml-team", "role": "Worker"}]}' > manager.json

# Create suite
curl -X POST $API/suites -H "Authorization: Bearer $TOKEN" -d @suite.json |
  expect "create a suite from a file" '.name == "from a file"' '.state == "Queued"'

# Query suites
curl -X GET "$API/suites?state=Executing" -H "Authorization: Bearer $TOKEN" |
  expect "query suites" '.suites == []' '.next_page_token == ""'

# Register manager
curl -X POST $API/managers -H "Authorization: Bearer $TOKEN" -d @manager.json |
  expect "register a manager from a file" '.manager.name == "gpu-node-03"' '.token | length > 20'

# Check manager status
curl -X GET $API/managers -H "Authorization: Bearer $TOKEN" |
  expect "check managers" '.managers | map(.name) == ["gpu-node-01", "gpu-node-02", "gpu-node-03"]'

# Check metrics
curl $METRICS/metrics | grep mitosis_ |
  jq --raw-input --slurp 'split("\n")' | expect "check metrics" 'length > 10'

kill "$manager_pid"
wait "$manager_pid"
manager_pid=
echo "every example of the guide does what the guide says"
