package mitosis

import (
	"context"
	"iter"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// NewTask is a task to be submitted.
type NewTask struct {
	Spec TaskSpec
	// Priority is the place within the suite: higher goes first.
	Priority int
	// Tags are what a worker must have; of an independent task alone, a suite has its own.
	Tags []string
}

// Destination is where tasks go: to a suite, see [ToSuite], or to a group as independent tasks, see [ToGroup].
type Destination struct {
	suiteUUID string
	groupName string
}

// ToSuite sends tasks to a suite.
func ToSuite(uuid string) Destination { return Destination{suiteUUID: uuid} }

// ToGroup sends independent tasks to a group.
func ToGroup(name string) Destination { return Destination{groupName: name} }

// SubmitTask stores one task and returns it; a call that is repeated cannot store it twice. For more than a few tasks
// use [Client.SubmitTasks].
//
// Errors: [ErrInvalidField], [ErrNotFound] (group or suite), [ErrPermissionDenied], [ErrWrongState] (suite Cancelled or
// Failed), [ErrLimitExceeded].
func (c *Client) SubmitTask(ctx context.Context, to Destination, task NewTask) (*Task, error) {
	request, err := encodeSubmission(to, task)
	if err != nil {
		return nil, err
	}
	answer, err := c.tasks.SubmitTask(ctx, request)
	if err != nil {
		return nil, err
	}
	return decodeTask(answer.GetTask()), nil
}

func encodeSubmission(to Destination, task NewTask) (*mitosisv1.SubmitTaskRequest, error) {
	var found violations
	message := encodeNewTask(&found, "", task)
	request := &mitosisv1.SubmitTaskRequest{
		GroupName: to.groupName,
		SuiteUuid: to.suiteUUID,
		TaskSpec:  message.GetTaskSpec(),
		Priority:  message.Priority,
		RequestId: newRequestID(),
		Tags:      message.GetTags(),
	}
	return request, found.err()
}

func encodeNewTask(found *violations, path string, task NewTask) *mitosisv1.NewTask {
	return &mitosisv1.NewTask{
		TaskSpec: encodeTaskSpec(found, join(path, "task_spec"), task.Spec),
		Priority: givenInt(task.Priority),
		Tags:     task.Tags,
	}
}

// GetTask returns one task with its result and all its failures.
//
// Errors: [ErrInvalidField] (malformed UUID), [ErrNotFound].
func (c *Client) GetTask(ctx context.Context, uuid string) (*Task, error) {
	answer, err := c.tasks.GetTask(ctx, &mitosisv1.GetTaskRequest{Uuid: uuid})
	if err != nil {
		return nil, err
	}
	return decodeTask(answer.GetTask()), nil
}

// TaskFilter selects tasks: those that match all fields that are given.
type TaskFilter struct {
	GroupName string
	SuiteUUID string
	State     TaskState
	// PageSize is the number of tasks read by one call, 1 to 1000. Zero: 100.
	PageSize int
}

// ListTasks returns the tasks that the caller may see and that match a filter, newest first. It reads a page when the
// one before is used up. An error is the last thing that it yields.
//
// Errors: [ErrInvalidField].
func (c *Client) ListTasks(ctx context.Context, filter TaskFilter) iter.Seq2[*Task, error] {
	return pages(func(token string) ([]*mitosisv1.Task, string, error) {
		request, err := encodeTaskFilter(filter)
		if err != nil {
			return nil, "", err
		}
		request.PageToken = token
		page, err := c.tasks.ListTasks(ctx, request)
		return page.GetTasks(), page.GetNextPageToken(), err
	}, decodeTask)
}

func encodeTaskFilter(filter TaskFilter) (*mitosisv1.ListTasksRequest, error) {
	var found violations
	request := &mitosisv1.ListTasksRequest{
		GroupName: filter.GroupName,
		SuiteUuid: filter.SuiteUUID,
		State:     mitosisv1.TaskState(taskStates.encode(&found, "state", filter.State)),
		PageSize:  givenInt(filter.PageSize),
	}
	return request, found.err()
}

// CancelTask cancels one task and returns it. A process that still runs it is stopped, and what it reports is ignored.
// It is not repeated when its answer is lost: a Cancelled task answers [ErrWrongState].
//
// Errors: [ErrNotFound], [ErrPermissionDenied], [ErrWrongState] (already ended).
func (c *Client) CancelTask(ctx context.Context, uuid, reason string) (*Task, error) {
	answer, err := c.tasks.CancelTask(ctx, &mitosisv1.CancelTaskRequest{Uuid: uuid, Reason: reason})
	if err != nil {
		return nil, err
	}
	return decodeTask(answer.GetTask()), nil
}
