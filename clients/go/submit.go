package mitosis

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

const (
	defaultBatchSize = 2_000
	// A batch is sent when it reaches its number of tasks or this size: a quarter of what the coordinator accepts.
	maxBatchBytes = 4 << 20
	// Two calls keep the coordinator busy while the next batch is encoded; a third bridges an uneven one.
	defaultCallsInFlight = 3
)

// SubmitOption changes how [Client.SubmitTasks] submits.
type SubmitOption func(*submission)

// WithBatchSize stores at most so many tasks by one call, 1 to 10,000. The default is 2,000.
func WithBatchSize(tasks int) SubmitOption {
	return func(s *submission) { s.batchSize = min(max(tasks, 1), 10_000) }
}

// WithCallsInFlight makes at most so many calls at the same time. The default is 3.
func WithCallsInFlight(calls int) SubmitOption {
	return func(s *submission) { s.callsInFlight = max(calls, 1) }
}

// OnBatch calls a function with the UUIDs of each batch once it is stored, in the order of the tasks, on the goroutine
// that submits.
func OnBatch(stored func(uuids []string)) SubmitOption {
	return func(s *submission) { s.onBatch = stored }
}

// SubmitTasks submits any number of tasks in batches and returns how many are stored.
//
// Memory is bounded by the batches in flight, about 4 MiB each, however many tasks come. Every batch is one transaction
// that a repeated call cannot store twice. After an error nothing more is read from tasks; the batches that were stored,
// counted by the first result and told to [OnBatch], stay. The position in a field such as
// "tasks[17].task_spec.handler" counts from the first task of all.
//
// Errors: those of [Client.SubmitTask].
func (c *Client) SubmitTasks(
	ctx context.Context, to Destination, tasks iter.Seq[NewTask], options ...SubmitOption,
) (submitted int, err error) {
	// Should the iterator or a callback panic, no call is left behind.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &submission{
		client:        c,
		to:            to,
		batchSize:     defaultBatchSize,
		callsInFlight: defaultCallsInFlight,
		onBatch:       func([]string) {},
	}
	for _, option := range options {
		option(s)
	}
	for task := range tasks {
		if !s.add(ctx, task) {
			break
		}
	}
	s.send(ctx)
	for len(s.calls) > 0 {
		s.collect()
	}
	return s.submitted, s.err
}

// submission is one run of SubmitTasks. All of it belongs to the goroutine that submits; the calls' own goroutines see
// nothing but their batch.
type submission struct {
	client        *Client
	to            Destination
	batchSize     int
	callsInFlight int
	onBatch       func(uuids []string)

	read      int
	batch     []*mitosisv1.NewTask
	bytes     int
	calls     []<-chan outcome
	submitted int
	err       error
}

// outcome is how the call for one batch ended.
type outcome struct {
	uuids []string
	err   error
}

// add puts a task into the current batch, after sending what is full. It returns false when the submission has failed.
func (s *submission) add(ctx context.Context, task NewTask) bool {
	var found violations
	message := encodeNewTask(&found, fmt.Sprintf("tasks[%d]", s.read), task)
	if s.fail(found.err()); s.err != nil {
		return false
	}
	size := proto.Size(message)
	if len(s.batch) >= s.batchSize || len(s.batch) > 0 && s.bytes+size > maxBatchBytes {
		s.send(ctx)
	}
	s.batch = append(s.batch, message)
	s.bytes += size
	s.read++
	return s.err == nil
}

// send starts the call for the current batch once there is room for it, unless the submission has failed.
func (s *submission) send(ctx context.Context) {
	for len(s.calls) >= s.callsInFlight || len(s.calls) > 0 && len(s.calls[0]) > 0 {
		s.collect()
	}
	if s.err != nil || len(s.batch) == 0 {
		return
	}
	first := s.read - len(s.batch)
	request := &mitosisv1.SubmitTasksRequest{
		GroupName: s.to.groupName,
		SuiteUuid: s.to.suiteUUID,
		Tasks:     s.batch,
		RequestId: newRequestID(),
	}
	s.batch, s.bytes = nil, 0
	ended := make(chan outcome, 1)
	s.calls = append(s.calls, ended)
	go func() {
		answer, err := s.client.tasks.SubmitTasks(ctx, request)
		ended <- outcome{answer.GetTaskUuids(), shifted(err, first)}
	}()
}

// collect waits for the oldest call, so that batches are told in the order of their tasks.
func (s *submission) collect() {
	ended := <-s.calls[0]
	s.calls = s.calls[1:]
	if ended.err != nil {
		s.fail(ended.err)
		return
	}
	s.submitted += len(ended.uuids)
	s.onBatch(ended.uuids)
}

// fail keeps the first error.
func (s *submission) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// shifted makes the positions in an error's fields count from the first task of all.
func shifted(err error, first int) error {
	refusal, ok := err.(*Error)
	if !ok {
		return err
	}
	for i := range refusal.Fields {
		field := &refusal.Fields[i].Field
		rest, ok := strings.CutPrefix(*field, "tasks[")
		if !ok {
			continue
		}
		index, rest, ok := strings.Cut(rest, "]")
		if position, err := strconv.Atoi(index); ok && err == nil {
			*field = fmt.Sprintf("tasks[%d]%s", first+position, rest)
		}
	}
	return refusal
}
