package mitosis

import (
	"encoding/json"
	"time"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// TaskState says where a task stands.
type TaskState string

// The states of a task.
const (
	// TaskReady is stored and waits to be handed out, also for a retry.
	TaskReady TaskState = "Ready"
	// TaskDispatched was sent to a holder and is not known to have started.
	TaskDispatched TaskState = "Dispatched"
	// TaskRunning is known to run. A task that ends within a second may never be seen in it.
	TaskRunning TaskState = "Running"
	// TaskCompleted ended with success.
	TaskCompleted TaskState = "Completed"
	// TaskFailed ended without success and without retries left.
	TaskFailed TaskState = "Failed"
	// TaskCancelled was cancelled before or while it ran.
	TaskCancelled TaskState = "Cancelled"
)

// Finished reports whether the task has ended.
func (s TaskState) Finished() bool {
	return s == TaskCompleted || s == TaskFailed || s == TaskCancelled
}

// FailureKind says which budget a failure was charged to.
type FailureKind string

// The kinds of failure.
const (
	// FailureTask means that the task exited non-zero, raised, timed out or could not be started.
	FailureTask FailureKind = "Task"
	// FailureWorker means that the worker process died while it ran the task.
	FailureWorker FailureKind = "Worker"
	// FailureNode means that the holder stayed away longer than the heartbeat timeout.
	FailureNode FailureKind = "Node"
	// FailureEnvironment means that the environment could not be prepared.
	FailureEnvironment FailureKind = "Environment"
)

var (
	taskStates   = newEnum[TaskState](mitosisv1.TaskState(0).Descriptor())
	failureKinds = newEnum[FailureKind](mitosisv1.FailureKind(0).Descriptor())
)

// TaskSpec says what to run. Exactly one of Command, Args and Handler names it; with none it comes from the suite's
// TaskDefaults, then from the manager's configuration.
type TaskSpec struct {
	// Command is a line for /bin/sh -c.
	Command string
	// Args are a program and its arguments, without a shell.
	Args []string
	// Handler is "package.module:function" in Python, called in the worker process with the payload.
	Handler string
	// Envs are added to the environment. Names that start with MITOSIS_ are refused.
	Envs map[string]string
	// WorkingDirectory is an absolute path.
	WorkingDirectory string
	// Timeout is the time a run may take. Zero: what the suite's TaskDefaults and the manager say, then no limit.
	Timeout time.Duration
	// Payload is marshalled to JSON; in answers it is a json.RawMessage. At most 1 MiB.
	Payload any
	// MaxRetries is how often a failed run is repeated. Nil: what the suite's TaskDefaults say, then never.
	MaxRetries *int
	// RetryBackoff is the time before the first repetition, doubled for each further one. Nil: what the suite's
	// TaskDefaults say, then one second.
	RetryBackoff *time.Duration
}

// DecodePayload unmarshals the payload of a task that came from the coordinator.
func (s *TaskSpec) DecodePayload(target any) error {
	document, _ := s.Payload.(json.RawMessage)
	return unmarshal(document, "payload", target)
}

func encodeTaskSpec(found *violations, path string, spec TaskSpec) *mitosisv1.TaskSpec {
	return &mitosisv1.TaskSpec{
		Command:             spec.Command,
		Args:                spec.Args,
		Handler:             spec.Handler,
		Envs:                spec.Envs,
		WorkingDirectory:    spec.WorkingDirectory,
		TimeoutSeconds:      givenSeconds(spec.Timeout),
		Payload:             encodeJSON(found, join(path, "payload"), spec.Payload),
		MaxRetries:          optionalInt(spec.MaxRetries),
		RetryBackoffSeconds: optionalSeconds(spec.RetryBackoff),
	}
}

func decodeTaskSpec(spec *mitosisv1.TaskSpec) *TaskSpec {
	if spec == nil {
		return nil
	}
	decoded := &TaskSpec{
		Command:          spec.GetCommand(),
		Args:             spec.GetArgs(),
		Handler:          spec.GetHandler(),
		Envs:             spec.GetEnvs(),
		WorkingDirectory: spec.GetWorkingDirectory(),
		Timeout:          decodeSeconds(spec.GetTimeoutSeconds()),
		MaxRetries:       decodeOptionalInt(spec.MaxRetries),
		RetryBackoff:     decodeOptionalSeconds(spec.RetryBackoffSeconds),
	}
	// A nil RawMessage in an interface would not be nil.
	if spec.Payload != nil {
		decoded.Payload = decodeJSON(spec.Payload)
	}
	return decoded
}

// TaskResult is what the last run of a task left behind.
type TaskResult struct {
	// ExitCode is nil for handlers and for processes ended by a signal.
	ExitCode *int
	// Error says in one sentence what went wrong. It is empty after success.
	Error string
	// StdoutTail is the last 64 KiB of standard output.
	StdoutTail string
	// StderrTail is the last 64 KiB of standard error, or a handler's traceback.
	StderrTail string
	// ReturnValue is what the handler returned, nil when there is nothing; see [TaskResult.Decode].
	ReturnValue json.RawMessage
}

// Decode unmarshals what the handler returned.
func (r *TaskResult) Decode(target any) error {
	return unmarshal(r.ReturnValue, "return_value", target)
}

func decodeTaskResult(result *mitosisv1.TaskResult) *TaskResult {
	if result == nil {
		return nil
	}
	return &TaskResult{
		ExitCode:    decodeOptionalInt(result.ExitCode),
		Error:       result.GetError(),
		StdoutTail:  result.GetStdoutTail(),
		StderrTail:  result.GetStderrTail(),
		ReturnValue: decodeJSON(result.ReturnValue),
	}
}

// TaskFailure is one failure in the life of a task.
type TaskFailure struct {
	Kind        FailureKind
	Attempt     int
	ManagerUUID string
	ManagerName string
	// WorkerUUID and WorkerName say which independent worker held it, in place of a manager.
	WorkerUUID string
	WorkerName string
	// Error says what happened, for example "killed by SIGSEGV".
	Error    string
	FailedAt time.Time
}

func decodeTaskFailure(failure *mitosisv1.TaskFailure) TaskFailure {
	return TaskFailure{
		Kind:        failureKinds.decode(failure.GetKind().Number()),
		Attempt:     int(failure.GetAttempt()),
		ManagerUUID: failure.GetManagerUuid(),
		ManagerName: failure.GetManagerName(),
		WorkerUUID:  failure.GetWorkerUuid(),
		WorkerName:  failure.GetWorkerName(),
		Error:       failure.GetError(),
		FailedAt:    decodeTime(failure.GetFailedAt()),
	}
}

// Task is one unit of work. Times that have not come are zero.
type Task struct {
	// UUID is a UUIDv7: tasks of one suite sort by it in the order in which they were stored.
	UUID string
	// SuiteUUID is empty for an independent task.
	SuiteUUID string
	GroupName string
	State     TaskState
	// Attempt is the number of the current or last hand-out, 0 before the first.
	Attempt   int
	Priority  int
	Spec      *TaskSpec
	CreatedBy string
	// ManagerUUID and ManagerName say which manager holds it or held it last.
	ManagerUUID string
	ManagerName string
	CreatedAt   time.Time
	StartedAt   time.Time
	FinishedAt  time.Time
	// Result is nil until the task has ended.
	Result *TaskResult
	// Failures are all so far, oldest first. Only [Client.GetTask] fills them.
	Failures []TaskFailure
	// RetryAt is when a Ready task that waits for a retry becomes available.
	RetryAt time.Time
	// Tags are what a worker must have to run an independent task.
	Tags []string
	// WorkerUUID and WorkerName say which independent worker holds it or held it last.
	WorkerUUID string
	WorkerName string
}

func decodeTask(task *mitosisv1.Task) *Task {
	return &Task{
		UUID:        task.GetUuid(),
		SuiteUUID:   task.GetSuiteUuid(),
		GroupName:   task.GetGroupName(),
		State:       taskStates.decode(task.GetState().Number()),
		Attempt:     int(task.GetAttempt()),
		Priority:    int(task.GetPriority()),
		Spec:        decodeTaskSpec(task.GetTaskSpec()),
		CreatedBy:   task.GetCreatedBy(),
		ManagerUUID: task.GetManagerUuid(),
		ManagerName: task.GetManagerName(),
		CreatedAt:   decodeTime(task.GetCreatedAt()),
		StartedAt:   decodeTime(task.GetStartedAt()),
		FinishedAt:  decodeTime(task.GetFinishedAt()),
		Result:      decodeTaskResult(task.GetResult()),
		Failures:    mapped(task.GetFailures(), decodeTaskFailure),
		RetryAt:     decodeTime(task.GetRetryAt()),
		Tags:        task.GetTags(),
		WorkerUUID:  task.GetWorkerUuid(),
		WorkerName:  task.GetWorkerName(),
	}
}
